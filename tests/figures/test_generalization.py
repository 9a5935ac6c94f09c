"""Figures 1, 2, 8 and 9 draw what their tables say."""

import dataclasses
import itertools

import numpy as np
import polars as pl
import pytest
from figure_tables import draw_figure
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from measured_groups import measured_groups, spoil

from td_interference import figures, pictures, tables
from td_interference.figures import generalization, style
from td_interference.figures.render import make_figure
from td_interference.storage.parquet import write_table

NAMES = [entry.name for entry in figures.FIGURES if entry.about == "generalization"]
SETTINGS = {"confidence": 0.9, "resamples": 100}
PANELS = {
    "classification": "images",
    "regression": "table",
    "value-based (Double DQN)": "values",
    "policy gradient (REINFORCE)": "policies",
}
RHO = "function_interference_train_train"


def made_up(groups):
    """Every table of these figures, of made-up runs."""
    needed = {table for name in NAMES for table in figures.entry(name).tables}
    return {name: tables.load(name)(groups, SETTINGS) for name in needed}


@pytest.fixture(scope="module")
def four():
    """Tables of four experiments; of one, a run diverged and one has negative interference."""
    groups = measured_groups()
    # That one counts as diverged alone.
    groups[0] = spoil(groups[0], 0, diverged=True, generalization_gap=np.nan, **{RHO: -1.0})
    groups[0] = spoil(groups[0], 1, **{RHO: -0.5})
    return made_up(groups)


def by_title(figure):
    return {axes.get_legend().get_title().get_text(): axes for axes in figure.axes}


def data_lines(axes):
    """Lines of the panel by their label; the line at 0 has none."""
    return {line.get_label(): line for line in axes.get_lines() if line.get_label()[0] != "_"}


def band(axes, number=0):
    shaded = [c for c in axes.collections if type(c).__name__ == "FillBetweenPolyCollection"]
    heights = {}
    for x, y in shaded[number].get_paths()[0].vertices:
        heights.setdefault(x, []).append(y)
    return {x: (min(ys), max(ys)) for x, ys in heights.items()}


def test_figure_1_has_r_by_size_with_its_interval(four):
    panels = by_title(draw_figure("fig1", four))
    assert list(panels) == ["supervised", *list(PANELS)[2:]]
    drawn = data_lines(panels["supervised"])
    table = four["generalization_by_size"].filter(pl.col("pair") == "train_train")
    for number, (label, name) in enumerate((("UCI digits", "images"), ("Diabetes", "table"))):
        rows = table.filter(pl.col("name") == name)
        np.testing.assert_array_equal(drawn[label].get_xdata(), rows["n_train"])
        np.testing.assert_array_equal(drawn[label].get_ydata(), rows["r"])
        assert band(panels["supervised"], number) == {
            x: (low, high) for x, low, high in rows.select("n_train", "low", "high").iter_rows()
        }
    assert to_rgba(drawn["UCI digits"].get_color()) == to_rgba(style.DATASETS["digits"])
    for axes in panels.values():
        assert axes.get_xscale() == "log"
        assert [text.get_text() for text in axes.get_xticklabels()] == ["20", "100", "300"]


def test_figure_2_is_standardised_and_its_lines_are_the_least_squares(four):
    data = figures.load("fig2").data(four)
    panels = by_title(draw_figure("fig2", four))
    assert list(panels) == list(PANELS)
    for title, name in PANELS.items():
        rows = data.filter(pl.col("name") == name)
        kept = rows.drop_nulls("x")
        assert len(rows) - len(kept) == 2 * (name == "images")
        for column, raw in (("x", np.log(kept[RHO])), ("y", kept["generalization_gap"])):
            raw = raw.to_numpy()
            expected = (raw - raw.mean()) / raw.std()
            np.testing.assert_allclose(kept[column], expected, rtol=1e-9, atol=1e-12)
        (line,) = data_lines(panels[title]).values()
        slope, intercept = np.polyfit(kept["x"], kept["y"], 1)
        np.testing.assert_allclose(
            line.get_ydata(), intercept + slope * np.asarray(line.get_xdata()), atol=1e-9
        )
        (circles,) = panels[title].collections
        assert sorted(map(tuple, circles.get_offsets())) == sorted(kept.select("x", "y").rows())
        largest = kept["n_parameters"].max()
        offsets, sizes = circles.get_offsets(), circles.get_sizes()
        for x, _, n in kept.select("x", "y", "n_parameters").rows():
            (size,) = sizes[offsets[:, 0] == x]
            assert size == pytest.approx(max(2, 40 * n / largest))
    assert data.filter(pl.col("name") == "images")["n"].unique().to_list() == [34]


def test_figure_8_has_gaps_and_their_means(four):
    panels = by_title(draw_figure("fig8", four))
    for title, name in PANELS.items():
        means = four["gap_by_size"].filter(pl.col("name") == name)
        (line,) = data_lines(panels[title]).values()
        np.testing.assert_array_equal(line.get_xdata(), means["n_train"])
        np.testing.assert_array_equal(line.get_ydata(), means["mean"])
        assert band(panels[title]) == {
            x: (low, high) for x, low, high in means.select("n_train", "low", "high").iter_rows()
        }
        runs = four["generalization_runs"].filter(pl.col("name") == name)
        last = runs.group_by("run_id", maintain_order=True).last().filter(~pl.col("diverged"))
        circles = panels[title].collections[0]
        assert len(circles.get_offsets()) == len(last) == 36 - (name == "images")
        assert sorted(circles.get_offsets()[:, 1]) == sorted(last["generalization_gap"])
    assert "accuracy" in panels["classification"].get_ylabel()
    assert "error" in panels["regression"].get_ylabel()


def test_figure_9_has_interference_by_capacity(four):
    panels = by_title(draw_figure("fig9", four))
    table = four["interference_by_capacity"].filter(pl.col("pair") == "train_train")
    for title, name in PANELS.items():
        rows = table.filter(pl.col("name") == name).sort("n_parameters")
        (label,) = data_lines(panels[title])
        lines = panels[title].get_lines()
        assert [line.get_linestyle() for line in lines] == ["-", "--"]
        for depth, line in enumerate(lines):
            own = rows.filter(pl.col("extra_layers") == depth)
            np.testing.assert_array_equal(line.get_xdata(), own["n_parameters"])
            np.testing.assert_array_equal(line.get_ydata(), own["mean"])
            assert band(panels[title], depth) == {
                x: (low, high)
                for x, low, high in own.select("n_parameters", "low", "high").iter_rows()
            }
        r = four["capacity_correlations"].filter(
            pl.col("name") == name, pl.col("pair") == "train_train"
        )["r"][0]
        assert f"r = {r:.2f} [" in label
        assert (panels[title].get_xscale(), panels[title].get_yscale()) == ("log", "log")


def test_training_sizes_that_crowd_are_not_all_named():
    axes = Figure().subplots()
    generalization.size_axis(axes, [20, 4000, 5000, 8152, 8500, 19608, 20])
    assert axes.get_xticks().tolist() == [20, 4000, 5000, 8152, 8500, 19608]
    names = [text.get_text() for text in axes.get_xticklabels()]
    assert names == ["20", "", "5k", "", "8.5k", "19.6k"]


@pytest.mark.parametrize("name", NAMES)
def test_families_without_experiments_have_no_panel(name):
    figure = draw_figure(name, made_up(measured_groups(["table"])))
    assert len(figure.axes) == 1


def test_experiments_of_one_data_set_are_told_apart():
    colours = style.experiment_colours({"a": "digits", "b": "digits", "c": "mine", "d": "svhn"})
    assert colours["a"] == style.DATASETS["digits"] and colours["d"] == style.DATASETS["svhn"]
    assert len(set(colours.values())) == 4
    assert len(set(style.DATASETS.values())) == len(style.DATASETS)


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "PNG_DPI", 40)  # fast

    def make(name, frames):
        paths = {table: tmp_path / f"{table}.parquet" for table in figures.entry(name).tables}
        for table, path in paths.items():
            write_table(frames[table], path, path.with_suffix(".csv"), {})
        outputs = [tmp_path / f"{name}.{kind}" for kind in ("pdf", "png", "csv")]
        make_figure(name, paths, "smoke", 0.9, *outputs)
        return [path.read_bytes() for path in outputs]

    return make


@pytest.mark.parametrize(
    "name", ["fig1", *(pytest.param(n, marks=pytest.mark.slow) for n in NAMES[1:])]
)
def test_three_files_and_the_same_bytes_again(made, four, name):
    pdf, png, csv = made(name, four)
    assert pdf.startswith(b"%PDF") and png.startswith(b"\x89PNG")
    assert pl.read_csv(csv).columns == figures.load(name).data(four).columns
    assert made(name, four) == [pdf, png, csv]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "fig1",
            "each r over 10 to 12 runs of 5 to 6 capacities · bands: 90% interval over capacities",
        ),
        (
            "fig2",
            "34 to 36 runs of 17 to 18 cells (capacity and n$_T$) per line · r with "
            "90% interval over cells",
        ),
        (
            "fig9",
            "4 to 6 runs per point · bands: 90% interval over runs · "
            "r over 17 to 18 cells (capacity and n$_T$)",
        ),
    ],
)
def test_titles_say_data_scale_runs_and_what_is_left_out(made, four, name, said, monkeypatch):
    titles = []
    plot = figures.load(name).plot
    monkeypatch.setattr(
        figures.load(name), "plot", lambda t, title: titles.append(title) or plot(t, title)
    )
    made(name, four)
    (title,) = titles
    assert title == (
        f"UCI digits; Diabetes · smoke scale\n{said} · left out: 1 diverged, 1 with ρ ≤ 0"
    )


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        ({}, "no run left out"),
        ({"diverged": True}, "left out: 1 diverged"),
        ({RHO: 0.0}, "left out: 1 with ρ ≤ 0"),
    ],
)
def test_titles_name_the_reasons_there_are(made, monkeypatch, spoilt, said):
    first, *rest = measured_groups(["table"])
    titles = []
    plot = figures.load("fig1").plot
    monkeypatch.setattr(
        figures.load("fig1"), "plot", lambda t, title: titles.append(title) or plot(t, title)
    )
    made("fig1", made_up([spoil(first, 0, **spoilt), *rest]))
    assert titles[0].endswith(f" · {said}")


def test_figure_8_leaves_out_what_diverged_alone(made, four, monkeypatch):
    titles = []
    plot = figures.load("fig8").plot
    monkeypatch.setattr(
        figures.load("fig8"), "plot", lambda t, title: titles.append(title) or plot(t, title)
    )
    made("fig8", four)
    assert titles[0].endswith(
        "11 to 12 runs per n$_T$ · bands: 90% interval over runs · "
        "r over 18 cells (capacity and n$_T$) · left out: 1 diverged"
    )


@pytest.mark.parametrize("value", [3e19, -3e19, np.inf, np.nan])
@pytest.mark.parametrize("column", ["generalization_gap", RHO])
def test_pictures_leave_out_the_runs_that_their_tables_do(column, value):
    first, *rest = measured_groups(["table"])
    frames = made_up([spoil(first, 0, **{column: value}), *rest])
    for name, numbers in (("fig2", "generalization_lines"), ("fig8", "gap_correlations")):
        drawn = figures.load(name).data(frames)
        expected = frames[numbers][0]  # of train_train, where there are several
        assert drawn["diverged"].sum() == expected["diverged"].item()
        assert (drawn["diverged"] == 0).sum() == expected["n"].item()
        draw_figure(name, frames).draw_without_rendering()


def test_figure_2_shows_no_rounding():
    groups = [
        group._replace(
            arrays=group.arrays
            | {"generalization_gap": np.resize([0.3, 0.1 + 0.2], len(group.arrays["seed"]))}
        )
        for group in measured_groups(["table"])
    ]
    drawn = figures.load("fig2").data(made_up(groups))
    assert drawn["y"].unique().to_list() == [0.0] and drawn["r"].is_nan().all()
    assert drawn["x"].std() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_table_raises(four, name):
    for missing in figures.entry(name).tables:
        with pytest.raises(KeyError, match=missing):
            draw_figure(name, {t: four[t] for t in four if t != missing})


LONG = "California Housing in place of SARCOS, 4,000 rows"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("experiments", "data"),
    [
        pytest.param(["table"], None, marks=pytest.mark.slow),
        (["table"], LONG),
        pytest.param(["table", "values", "policies"], LONG, marks=pytest.mark.slow),
    ],
)
def test_nothing_of_few_experiments_is_cut_off(made, monkeypatch, name, experiments, data):
    drawn = []
    plot = figures.load(name).plot

    def keep(frames, title):
        drawn.append(plot(frames, title))
        return drawn[-1]

    monkeypatch.setattr(figures.load(name), "plot", keep)
    groups = measured_groups(experiments)
    if data is not None:
        groups = [
            group._replace(group=dataclasses.replace(group.group, data=data)) for group in groups
        ]
    made(name, made_up(groups))
    (figure,) = drawn
    with pictures.style():
        figure.draw_without_rendering()
        title = figure._suptitle.get_window_extent()
        legends = [axes.get_legend().get_window_extent() for axes in figure.axes]
        panels = [axes.get_window_extent() for axes in figure.axes]
    assert title.x1 <= figure.bbox.width and title.y1 <= figure.bbox.height
    assert len(legends) == len(experiments)
    assert all(box.x1 <= figure.bbox.width and box.y1 <= title.y0 for box in legends)
    assert all(box.x1 <= after.x0 for box, after in itertools.pairwise(legends))
    assert all(min(box.width, box.height) > 0.75 * figure.dpi for box in panels), "inches"
    circles = [
        collection
        for axes in figure.axes
        for collection in axes.collections
        if type(collection).__name__ == "PathCollection"
    ]
    assert bool(circles) == (name in {"fig2", "fig8"})
    assert not any(collection.get_clip_on() for collection in circles)
