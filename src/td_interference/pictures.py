"""How every picture is drawn and written: alike for all users, whatever their matplotlibrc says."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from td_interference.storage.files import atomic_path

PNG_DPI = 250

_SETTINGS: dict[str, Any] = {
    "font.size": 7.5,
    "axes.titlesize": 7.5,
    "figure.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "pdf.fonttype": 42,  # text stays text
    "figure.dpi": 100,
}


@contextmanager
def style() -> Iterator[None]:
    """Apply the project's style within the block alone, over matplotlib's own defaults."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)  # type: ignore[arg-type]
        yield


def write(figure: Figure, path: Path | str, caption: str = "") -> None:
    """Write a picture; within `style`. Equal pictures are equal files: there is no date in them.

    Args:
        figure: The picture.
        path: File to write, .pdf or .png.
        caption: For the file's own description; "" for none.
    """
    path = Path(path)
    if path.suffix == ".pdf":
        metadata = {"CreationDate": None} | ({"Subject": caption} if caption else {})
    else:
        metadata = {"Description": caption} if caption else {}
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=PNG_DPI, metadata=metadata)


def broken(text: str, room: float, font: FontProperties, separators: Sequence[str]) -> str:
    """Return a text with its lines broken where they are too wide, in place of a separator.

    Args:
        text: Of one line or more.
        room: Width that there is, points.
        font: In which it is written.
        separators: At which a line may be broken, the next only where the first are not enough.
    """

    def fits(line: str) -> bool:
        if not line.strip():
            return True
        # Of outlines: what a text is wide as pixels depends on how many there are.
        width, _, _ = text_to_path.get_text_width_height_descent(line, font, is_math_text(line))
        return bool(width <= room)

    lines = []
    for line in text.split("\n"):
        for separator in separators:
            fitting = [""]
            for part in line.split(separator):
                longer = f"{fitting[-1]}{separator}{part}" if fitting[-1] else part
                if not fitting[-1] or fits(longer):
                    fitting[-1] = longer
                else:
                    fitting.append(part)
            if all(map(fits, fitting)):
                break
        lines += fitting
    return "\n".join(lines)
