"""Pictures depend on the project alone, their text is text, and nothing of them is cut off."""

import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from td_interference import pictures
from td_interference.agents.expert.report import write_picture
from td_interference.agents.learning_curve import TrainingEpisode
from td_interference.agents.playing import EpisodeScore, Evaluation, Scores
from td_interference.figures import style
from td_interference.statistics import Estimate

DRAW = """
from td_interference.planning import thread_variables
thread_variables.clear()
import sys
from pathlib import Path
import figure_tables
from td_interference import figures, pictures
from td_interference.figures.render import make_figure
from td_interference.storage.parquet import write_table
pictures.PNG_DPI = 40
out = Path(sys.argv[1])
tables = figure_tables.tables()
for name in ("fig5", "fig6"):
    paths = {table: out / f"{table}.parquet" for table in figures.entry(name).tables}
    for table, path in paths.items():
        write_table(tables[table], path, path.with_suffix(".csv"), {"name": table})
    make_figure(name, paths, "smoke", 0.95, *(out / f"{name}.{k}" for k in ("pdf", "png", "csv")))
"""
THEIRS = {
    "fonts": "font.family: serif\nfont.size: 20\nmathtext.fontset: cm\npdf.fonttype: 3\n",
    "colours": "axes.facecolor: black\nsavefig.facecolor: 808080\nsavefig.transparent: True\n"
    "lines.marker: x\npatch.force_edgecolor: True\nimage.cmap: gray\n",
    "layout": "savefig.bbox: tight\nfigure.autolayout: True\naxes.grid: True\nxtick.direction: in\n"
    "axes.xmargin: 0.3\npath.simplify: False\npdf.compression: 0\naxes.formatter.limits: -1, 1\n",
}


def drawn(directory: Path, environment: dict[str, str]) -> dict[str, bytes]:
    directory.mkdir()
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    subprocess.run(
        [sys.executable, "-c", DRAW, str(directory)],
        check=True,
        env={**os.environ, "PYTHONPATH": paths, **environment},
    )
    return {path.name: path.read_bytes() for path in directory.glob("fig*")}


@pytest.mark.slow
def test_the_users_matplotlibrc_and_environment_change_no_byte(tmp_path):
    settings = tmp_path / "matplotlibrc"
    settings.write_text("".join(THEIRS.values()))
    plain = drawn(tmp_path / "plain", {"MATPLOTLIBRC": os.devnull})
    assert len(plain) == 6
    theirs = {"MATPLOTLIBRC": str(settings), "MPLBACKEND": "theirs"}
    theirs |= {"FREETYPE_PROPERTIES": "truetype:interpreter-version=35"}
    assert drawn(tmp_path / "theirs", theirs) == plain


@pytest.mark.parametrize("theirs", THEIRS)
def test_settings_of_the_process_change_no_byte_and_stay(tmp_path, theirs):
    def write(path):
        with pictures.style():
            figure, (axes,) = style.new_figure("")
            axes.plot([0, 1], [0.001, 2000], label="a label")
            axes.legend()
            pictures.write(figure, path, "caption")
        return path.read_bytes()

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        plain = [write(tmp_path / f"plain.{kind}") for kind in ("pdf", "png")]
        (tmp_path / "rc").write_text(THEIRS[theirs])
        changed = matplotlib.rc_params_from_file(tmp_path / "rc", use_default_template=False)
        matplotlib.rcParams.update(changed)
        assert [write(tmp_path / f"theirs.{kind}") for kind in ("pdf", "png")] == plain
        assert all(matplotlib.rcParams[name] == value for name, value in changed.items())


@pytest.mark.parametrize("n_episodes", [1, 5])
def test_the_experts_picture_has_text_as_text(tmp_path, n_episodes):
    scores = [EpisodeScore(100 * number, 10, False) for number in range(n_episodes)]
    bounds = (np.nan, np.nan) if n_episodes == 1 else (100.0, 300.0)
    mean = Estimate(200.0, *bounds)
    curve = [TrainingEpisode(*[1] * len(TrainingEpisode._fields))]
    paths = [tmp_path / "expert.pdf", tmp_path / "expert.png"]
    write_picture(paths, "a game", curve, Evaluation(Scores(scores, mean), Scores(scores, mean)))
    content = paths[0].read_bytes()
    assert b"/Type3" not in content and b"/CIDFontType2" in content
    assert paths[1].read_bytes().startswith(b"\x89PNG")


TITLES = [
    "UCI digits; Diabetes · smoke scale\n34 to 36 runs of 18 cells (capacity and n$_T$) per line · "
    "r with 90% interval over cells · left out: 1 diverged, 1 with ρ ≤ 0",
    "ms pacman, asterix, seaquest, space invaders, qbert, breakout · laptop scale · 3 runs",
    "one_word_" * 12,
    "",
]


@pytest.mark.parametrize("title", TITLES)
@pytest.mark.parametrize("width", [style.COLUMN_WIDTH, style.DOUBLE_WIDTH])
def test_titles_are_broken_into_lines_that_fit(title, width):
    with pictures.style():
        figure = Figure(figsize=(width, 3), layout="constrained", dpi=250)
        figure.subplots()
        style.write_title(figure, title)
        figure.draw_without_rendering()
        written = figure.get_suptitle()
        extent = figure._suptitle.get_window_extent()
    words = title.replace(" · ", " ").split()
    assert written.replace(" · ", " ").split() == words, "nothing is lost"
    if len(words) > 1:
        assert extent.x1 <= figure.bbox.width and extent.y1 <= figure.bbox.height
    if title == TITLES[0] and width == style.COLUMN_WIDTH:
        assert all(
            "interval over cells" in line for line in written.split("\n") if "r with" in line
        )


def test_names_stand_where_lines_end():
    with pictures.style():
        figure, (axes,) = style.new_figure("")
        axes.plot([0, 1, 2], [[1, 5], [2, np.nan], [3, np.nan]])
        style.label_ends(axes, [3.0, 5.0, np.nan], ["a", "b", "c"], ["k", "r", "g"])
        figure.draw_without_rendering()
    assert [text.get_text() for text in axes.texts] == ["a", "b"]
    empty = Figure().subplots()
    style.label_ends(empty, [np.nan, np.nan], ["a", "b"], ["k", "r"])
    assert not empty.texts


def test_wide_bands_leave_the_lines_their_scale():
    with pictures.style():
        _, (axes,) = style.new_figure("")
        axes.axhline(0)
        axes.plot([0, 1, 2], [0.2, 0.5, np.nan])
        axes.fill_between([0, 1], [-6, -6], [7, 7])
        style.frame_lines(axes, [0.2, 0.5, np.nan])
        assert axes.get_ylim() == pytest.approx((-0.5, 1.0))
        _, (narrow,) = style.new_figure("")
        narrow.plot([0, 1], [0.2, 0.5])
        before = narrow.get_ylim()
        style.frame_lines(narrow, [0.2, 0.5])
        assert narrow.get_ylim() == before
