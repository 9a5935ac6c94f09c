"""The three files of every figure, and their title."""

import figure_tables
import polars as pl
import pytest
from figure_tables import draw_figure
from matplotlib.figure import Figure

from td_interference import figures, pictures
from td_interference.errors import UserError
from td_interference.figures import style
from td_interference.figures.render import make_figure
from td_interference.optimizers import OPTIMIZERS
from td_interference.storage.parquet import write_table

# The others have tests of their own.
NAMES = [
    entry.name
    for entry in figures.FIGURES
    if entry.about == "atari" and entry.name != "random_networks"
]


@pytest.fixture(scope="module")
def tables():
    made_up = figure_tables.tables()
    # A picture of sixteen panels takes seconds.
    two = pl.col("objective").is_in(["expert_q", "q_learning"])
    terms = "second_order_by_objective"
    return {**made_up, terms: made_up[terms].filter(two)}


@pytest.fixture
def made(tables, tmp_path, monkeypatch):
    """Return a function that makes a figure and returns the bytes of its PDF, PNG and CSV."""
    monkeypatch.setattr(pictures, "PNG_DPI", 40)  # fast

    def make(name, tables=tables):
        paths = {table: tmp_path / f"{table}.parquet" for table in figures.entry(name).tables}
        for table, path in paths.items():
            write_table(tables[table], path, path.with_suffix(".csv"), {})
        outputs = [tmp_path / f"{name}.{kind}" for kind in ("pdf", "png", "csv")]
        make_figure(name, paths, "smoke", 0.95, *outputs)
        return [path.read_bytes() for path in outputs]

    return make


@pytest.fixture
def titled(made, monkeypatch):
    """Return a function that returns a figure's title, drawing nothing but it."""

    def title_of(name, tables):
        titles = []
        monkeypatch.setattr(
            figures.load(name), "plot", lambda data, title: titles.append(title) or Figure()
        )
        made(name, tables)
        return titles[0]

    return title_of


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_vector_picture_and_numbers(made, tables, name):
    pdf, png, csv = made(name)
    assert pdf.startswith(b"%PDF") and png.startswith(b"\x89PNG")
    drawn = figures.load(name).data(tables)
    written = pl.read_csv(csv)
    assert written.columns == drawn.columns and written.rows() == drawn.rows()


# One of each kind of drawing: lines, panels of scales of their own, markers, a heat map.
@pytest.mark.parametrize(
    "name",
    ["fig5", *(pytest.param(n, marks=pytest.mark.slow) for n in ("fig4", "fig6", "fig14"))],
)
def test_same_numbers_give_the_same_bytes(made, name):
    assert made(name) == made(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_table_or_column_raises(tables, name):
    module = figures.load(name)
    for missing in figures.entry(name).tables:
        with pytest.raises(KeyError, match=missing):
            module.data({table: tables[table] for table in tables if table != missing})
        for column in ("game", tables[missing].columns[-1]):
            without = {**tables, missing: tables[missing].drop(column)}
            with pytest.raises(pl.exceptions.ColumnNotFoundError, match=column):
                module.data(without)


@pytest.mark.parametrize("name", NAMES)
def test_several_games_have_panels_of_their_own(made, tables, name):
    both = {
        table: pl.concat([frame, frame.with_columns(game=pl.lit("seaquest"))])
        for table, frame in tables.items()
    }
    one = draw_figure(name, tables)
    two = draw_figure(name, both)
    bars = name == "fig14"  # whose colour bar is an axes too
    assert len(two.axes) - bars == 2 * (len(one.axes) - bars)


@pytest.mark.parametrize(
    ("name", "n", "title"),
    [
        (
            "fig5",
            3,
            "ms pacman · smoke scale · 3 runs per line\nbands: 95% interval over runs",
        ),
        (
            "fig13",
            1,
            "ms pacman · smoke scale · 1 run per line\nbands: no interval with one run",
        ),
        (
            "fig4",
            4,
            "asterix+ms pacman · smoke scale · 4 to 5 runs per line\nbands: 95% interval over runs",
        ),
        (
            "fig6",
            3,
            "ms pacman · smoke scale · 36 runs, a marker each\n"
            "bars: 95% interval over a run's episodes or states · of r: over cells",
        ),
        (
            "fig14",
            3,
            "ms pacman, control · smoke scale · 3 runs\n95% interval over runs (dots: 0 is inside)",
        ),
    ],
)
def test_titles_say_scale_runs_and_what_intervals_resample(titled, name, n, title):
    assert titled(name, figure_tables.tables(n)) == title


def test_a_damaged_table_is_named(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"no parquet")
    outputs = [tmp_path / f"x.{kind}" for kind in ("pdf", "png", "csv")]
    with pytest.raises(UserError, match=r"t\.parquet: .*not a table"):
        make_figure(
            "fig5", {"stiffness_by_lambda": tmp_path / "t.parquet"}, "smoke", 0.95, *outputs
        )
    assert not any(path.exists() for path in outputs)


def test_every_optimizer_has_its_own_name_and_colour():
    assert set(style.OPTIMIZERS) == set(OPTIMIZERS)
    for entries in (style.OPTIMIZERS, style.OBJECTIVES):
        names, colours = zip(*entries.values(), strict=True)
        assert len(set(names)) == len(set(colours)) == len(entries)
