"""How every figure looks: one set of sizes and colours, applied to each figure by itself.

Colours of ordered values run along viridis, whose lightness is monotone: they survive colour
blindness and grey print. Lines carry their names at their ends where there is room, so no legend
has to be matched by colour.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLUMN_WIDTH = 3.35  # inches, one column of a two-column page
ASPECT = 0.72  # height over width
PNG_DPI = 250

# The name and colour of each objective in every figure. The colours are Okabe and Ito's, which the
# colour-blind can tell apart.
OBJECTIVES = {
    "monte_carlo": ("MC", "#0072B2"),
    "expert_q": ("reg", "#D55E00"),
    "td_star": ("TD*", "#009E73"),
    "q_learning": ("DQN", "#CC79A7"),
    "q_learning_ema": ("DDQN", "#E69F00"),
    "q_learning_online": ("QL", "#56B4E9"),
    "td_lambda": ("TD(λ)", "#000000"),
}

_SETTINGS: dict[str, Any] = {
    "font.size": 7.5,
    "axes.titlesize": 7.5,
    "figure.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "pdf.fonttype": 42,  # text stays text
    "figure.dpi": 100,
}


@contextmanager
def applied() -> Iterator[None]:
    """Apply the style within the block alone."""
    with matplotlib.rc_context(_SETTINGS):  # type: ignore[arg-type]
        yield


def new_figure(n_panels: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure of one column's width with panels below one another."""
    size = (COLUMN_WIDTH, COLUMN_WIDTH * ASPECT * n_panels)
    figure = Figure(figsize=size, layout="constrained")
    return figure, list(figure.subplots(n_panels, squeeze=False)[:, 0])


def names_and_colours(by: str, values: Sequence[Any]) -> tuple[list[str], list[Any]]:
    """Return how lines are called and coloured.

    Args:
        by: "lambda" (dark to light in ascending order) or "objective" (a colour of its own each).
        values: What the lines stand for, in order.

    Raises:
        KeyError: If an objective has no name and colour in `OBJECTIVES`.
    """
    if by == "objective":
        return [OBJECTIVES[value][0] for value in values], [
            OBJECTIVES[value][1] for value in values
        ]
    # The yellow end of viridis is too light on white.
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, len(values)))
    return [f"λ = {value:g}" for value in values], [tuple(shade) for shade in shades]


def label_ends(
    axes: Axes, ends: Sequence[float], names: Sequence[str], colours: Sequence[Any]
) -> None:
    """Write each line's name right of its end, moved apart where they would overlap.

    Args:
        axes: With all its lines; a thin leader joins a moved name to its line.
        ends: The lines' last values, in data units.
        names: Of the lines.
        colours: Of the lines.
    """
    line_height = 0.062  # of the axes, at the style's font size
    axes.get_ylim()  # settles the limits, which are otherwise found when drawing
    # In axes units, which a logarithmic scale bends.
    to_axes = axes.transData + axes.transAxes.inverted()
    x = axes.get_xlim()[1]
    actual = [to_axes.transform((x, end))[1] for end in ends]
    order = np.argsort(actual)
    placed = np.array(actual)[order]
    for place in range(1, len(placed)):
        placed[place] = max(placed[place], placed[place - 1] + line_height)
    overhang = max(0.0, placed[-1] - 1.0)
    placed -= overhang
    for place in reversed(range(len(placed) - 1)):
        placed[place] = min(placed[place], placed[place + 1] - line_height)
    for line, height in zip(order, placed, strict=True):
        axes.annotate(
            names[line],
            xy=(1.0, actual[line]),
            xytext=(1.05, height),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            color=colours[line],
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": colours[line], "shrinkB": 0},
        )
