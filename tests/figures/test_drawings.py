"""What the figures of Q-learning, of ρ' and of momentum draw is what their tables say."""

import figure_tables
import numpy as np
import polars as pl
import pytest
from figure_tables import draw_figure
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from td_interference import figures
from td_interference.figures import style
from td_interference.figures.fig14_gain_over_training import cell_edges


@pytest.fixture(scope="module")
def tables():
    return figure_tables.tables()


def drawn_lines(axes, dashes=None):
    """Return the lines of a panel that hold data, optionally of one line style."""
    lines = [line for line in axes.get_lines() if len(line.get_xdata()) > 2]
    return [line for line in lines if dashes in (None, line.get_linestyle())]


def bands(axes):
    """Return each band's lower and upper border by position."""
    return [borders(band.get_paths()[0].vertices) for band in axes.collections]


def borders(vertices):
    heights = {}
    for x, y in vertices:
        heights.setdefault(x, []).append(y)
    return {x: (min(ys), max(ys)) for x, ys in heights.items()}


def assert_line_is(line, rows, axis):
    np.testing.assert_array_equal(line.get_xdata(), rows[axis])
    np.testing.assert_array_equal(line.get_ydata(), rows["mean"])


def band_of(rows, axis):
    return {x: (low, high) for x, low, high in rows.select(axis, "low", "high").iter_rows()}


EXPERIMENTS = {"control": "-", "policy_evaluation": "--"}


@pytest.mark.parametrize(("name", "with_zero"), [("fig4", False), ("fig10", True)])
def test_gain_has_a_panel_per_optimizer_and_a_line_per_experiment(tables, name, with_zero):
    figure = draw_figure(name, tables, "title")
    table = tables["gain_by_optimizer"]
    assert len(figure.axes) == 4
    for optimizer, axes in zip(style.OPTIMIZERS, figure.axes, strict=True):
        name_, colour = style.OPTIMIZERS[optimizer]
        assert axes.get_title(loc="right").startswith(name_)
        assert axes.get_yscale() == ("symlog" if with_zero else "linear")
        found_bands = bands(axes)
        for experiment, dashes in EXPERIMENTS.items():
            rows = table.filter(
                pl.col("optimizer") == optimizer, pl.col("experiment") == experiment
            )
            lines = drawn_lines(axes, dashes)
            offsets = pl.col("offset")
            parts = [pl.lit(True)] if with_zero else [offsets < 0, offsets > 0]
            assert len(lines) == len(parts)
            for line, part in zip(lines, parts, strict=True):
                assert_line_is(line, rows.filter(part), "offset")
                found_bands.remove(band_of(rows.filter(part), "offset"))
                assert to_rgba(line.get_color()) == to_rgba(colour)
        assert not found_bands


def test_offset_0_is_in_figure_10_alone(tables):
    assert 0 not in figures.load("fig4").data(tables)["offset"]
    assert (figures.load("fig10").data(tables)["offset"] == 0).sum() == 8
    for axes in draw_figure("fig4", tables).axes:
        for line in drawn_lines(axes):
            offsets = line.get_xdata()
            assert max(offsets) < 0 or min(offsets) > 0, "a line crosses offset 0"


def test_the_legend_says_line_styles_and_runs(tables):
    figure = draw_figure("fig4", tables)
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["control, n = 3", "policy evaluation, n = 4"]
    assert [line.get_linestyle() for line in legend.get_lines()] == ["-", "--"]


def test_an_experiment_without_runs_is_not_in_the_legend(tables):
    only = tables["gain_by_optimizer"].filter(pl.col("experiment") == "policy_evaluation")
    figure = draw_figure("fig4", {"gain_by_optimizer": only})
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["policy evaluation, n = 4"]
    assert not any(drawn_lines(axes, "-") for axes in figure.axes)


def test_singular_values_are_lines_by_optimizer_and_experiment(tables):
    figure = draw_figure("fig12", tables)
    (axes,) = figure.axes
    assert axes.get_yscale() == "log" and "100,000 updates" in axes.get_title(loc="left")
    for optimizer in ("adam", "rmsprop"):
        for experiment, dashes in EXPERIMENTS.items():
            colour = style.OPTIMIZERS[optimizer][1]
            (line,) = [line for line in drawn_lines(axes, dashes) if line.get_color() == colour]
            rows = tables["singular_values_by_optimizer"].filter(
                pl.col("optimizer") == optimizer, pl.col("experiment") == experiment
            )
            assert_line_is(line, rows, "index")


def test_gain_over_training_is_a_map_centred_on_0_with_a_gap(tables):
    figure = draw_figure("fig14", tables)
    axes, bar = figure.axes
    mesh = axes.collections[0]
    low, high = mesh.get_clim()
    table = tables["gain_over_training"].filter(pl.col("offset") != 0)
    assert high == -low == table["mean"].abs().max()
    values = mesh.get_array()
    assert values.shape == (61, 4)
    for step, offset, mean in table.select("update_step", "offset", "mean").iter_rows():
        assert values[offset + 30, figure_tables.STEPS.index(step)] == mean
    assert np.ma.getmaskarray(values)[30].all()
    assert np.ma.getmaskarray(values).sum() == 4  # nothing else is grey
    corners = mesh.get_coordinates()
    assert corners[0, :, 0].tolist() == [5_000, 15_000, 35_000, 75_000, 125_000]
    assert corners[:, 0, 1].tolist() == [x - 0.5 for x in range(-30, 32)]
    assert mesh.cmap(0.0)[2] > mesh.cmap(0.0)[0], "a loss is blue"
    assert "gain" in bar.get_ylabel()


def test_dots_mark_cells_that_may_be_0(tables):
    axes, _ = draw_figure("fig14", tables).axes
    (dots,) = axes.get_lines()
    expected = {(step, x) for step in figure_tables.STEPS for x in range(-30, 31) if abs(x) > 20}
    assert set(zip(dots.get_xdata(), dots.get_ydata(), strict=True)) == expected


def test_cells_reach_halfway_to_their_neighbours():
    assert cell_edges(np.array([10, 20, 50])).tolist() == [5, 15, 35, 65]
    assert cell_edges(np.array([7])).tolist() == [6.5, 7.5]


def test_runs_are_markers_by_learning_rate_and_width(tables):
    figure = draw_figure("fig6", tables)
    table = tables["parameterizations"].sort("hidden", descending=True)
    assert figure.axes[0].get_shared_x_axes().joined(*figure.axes)
    for y, axes in zip(("score", "function_interference"), figure.axes, strict=True):
        bars, markers = axes.collections
        np.testing.assert_array_equal(markers.get_offsets(), table.select("sign_variance", y))
        # Areas in proportion to the hidden units.
        np.testing.assert_allclose(markers.get_sizes(), 45 * table["hidden"].to_numpy() / 64)
        ends = np.array([segment for segment in bars.get_segments()])
        np.testing.assert_array_equal(ends[:, 0, 0], table["sign_variance"])
        np.testing.assert_array_equal(ends[:, 0, 1], table[f"{y}_low"])
        np.testing.assert_array_equal(ends[:, 1, 1], table[f"{y}_high"])
        of_rate = {}
        for rate, colour in zip(table["learning_rate"], markers.get_facecolors(), strict=True):
            of_rate.setdefault(rate, set()).add(tuple(colour))
        lightness = [sum(next(iter(of_rate[rate]))[:3]) for rate in sorted(of_rate)]
        assert [len(colours) for colours in of_rate.values()] == [1, 1, 1]
        assert lightness == sorted(lightness), "dark to light"
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "symlog"]


def test_correlations_are_written_and_in_the_numbers(tables):
    numbers = figures.load("fig6").data(tables)
    assert len(numbers) == 36 and numbers["n"].unique().to_list() == [36]
    assert numbers.select(r"^score_r.*$").unique().rows() == [(-0.62, -0.81, -0.4, 36, 12)]
    assert numbers.select(r"^function_interference_r.*$").unique().rows() == [
        (0.71, 0.5, 0.85, 36, 12)
    ]
    titles = [axes.get_title(loc="left") for axes in draw_figure("fig6", tables).axes]
    assert titles == [
        "r = -0.62 [-0.81, -0.40], 36 runs of 12 cells",
        "r = 0.71 [0.50, 0.85], 36 runs of 12 cells",
    ]


def test_the_legends_of_figure_6_name_rates_and_widths(tables):
    rates, widths = draw_figure("fig6", tables).legends
    assert [text.get_text() for text in rates.get_texts()] == ["1e-5", "1e-4", "1e-3"]
    assert [text.get_text() for text in widths.get_texts()] == ["8", "16", "32", "64"]
    sizes = [line.get_markersize() for line in widths.get_lines()]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


def test_terms_have_their_parts_and_shares(tables):
    figure = draw_figure("fig7", tables)
    table = tables["second_order_by_objective"]
    panels = np.array(figure.axes).reshape(4, 4)  # rows r1, r2, r3, shares; columns objectives
    objectives = ["expert_q", "q_learning", "q_learning_ema", "q_learning_online"]
    for column, objective in zip(panels.T, objectives, strict=True):
        assert column[0].get_title() == style.OBJECTIVES[objective][0]
        of_objective = table.filter(pl.col("objective") == objective)
        shares = drawn_lines(column[3])
        for axes, share, term in zip(column[:3], shares, ("r1", "r2", "r3"), strict=True):
            assert axes.get_yscale() == "symlog"
            rows = of_objective.filter(pl.col("term") == term)
            part = {name: rows.filter(pl.col("part") == name) for name in rows["part"].unique()}
            positive, negative, mean = drawn_lines(axes)
            assert_line_is(positive, part["positive"], "update_step")
            assert_line_is(negative, part["negative"], "update_step")
            assert_line_is(mean, part["mean"], "update_step")
            assert_line_is(share, part["share_negative"], "update_step")
            styles = [line.get_linestyle() for line in (positive, negative, mean)]
            assert styles == ["-", "-", "--"] and mean.get_alpha() < 1
            for band, name in zip(bands(axes), ("positive", "negative", "mean"), strict=True):
                assert band == band_of(part[name], "update_step")
        assert [line.get_linestyle() for line in shares] == ["-", "--", ":"]
    for axes in panels[:3].flat:  # a scale of its own each, which it states
        assert axes.get_xlabel().startswith("linear within")
    for axes in panels[3]:
        assert axes.get_ylim() == (0, 1) and axes.get_xlabel() == "updates"


def test_each_panel_of_terms_shows_its_own_size(tables):
    """Q-learning without a frozen network is orders of magnitude above; the rest stays readable."""
    huge = pl.col("objective").eq("q_learning_online") & pl.col("part").ne("share_negative")
    names = ("mean", "low", "high")
    scaled = [
        pl.when(huge).then(pl.col(name) * 1e9).otherwise(pl.col(name)).alias(name) for name in names
    ]
    frame = tables["second_order_by_objective"].with_columns(scaled)
    figure = draw_figure("fig7", {"second_order_by_objective": frame})
    before = draw_figure("fig7", tables)
    for axes, alone in zip(figure.axes[:3], before.axes[:3], strict=True):  # reg, DQN, DDQN
        assert axes.get_ylim() == alone.get_ylim()
    assert max(figure.axes[3].get_ylim()) > 1e6 * max(before.axes[3].get_ylim())


def test_momentum_has_deviations_above_ratios(tables):
    deviations, ratios = draw_figure("momentum", tables).axes
    table = tables["momentum_variance"]
    for axes, quantities in (
        (deviations, ("change", "momentum_change")),
        (ratios, ("change_ratio", "relative_change_ratio")),
    ):
        assert axes.get_yscale() == "log"
        for line, band, quantity in zip(drawn_lines(axes), bands(axes), quantities, strict=True):
            rows = table.filter(pl.col("quantity") == quantity)
            assert_line_is(line, rows, "update_step")
            assert band == band_of(rows, "update_step")
    flat = [line.get_ydata() for line in ratios.get_lines() if len(line.get_xdata()) == 2]
    assert flat == [[1, 1]]
    assert "interference" not in figures.load("momentum").data(tables)["quantity"]


@pytest.mark.parametrize("name", ["fig7", "fig14", "momentum"])
def test_a_single_checkpoint_can_be_drawn(tables, name):
    (needed,) = figures.entry(name).tables
    one = tables[needed].filter(pl.col("update_step") == 10_000)
    draw_figure(name, {needed: one}).draw_without_rendering()


@pytest.mark.parametrize(
    ("values", "threshold"),
    [
        ([0.5, -20.0, 3.0], 0.1),  # 3 decades below 100, but nothing lies below 0.1
        ([1e-9, 20.0], 0.1),
        ([20.0, np.nan, 0.0, np.inf], 10.0),
        ([-1e-9, -2e-5], 1e-7),
    ],
)
def test_symlog_is_linear_below_a_power_of_ten(values, threshold):
    axes = new_axes()
    note = style.symlog(axes, values)
    assert axes.yaxis.get_transform().linthresh == pytest.approx(threshold)
    assert note == f"linear within ±10$^{{{round(np.log10(threshold))}}}$"


def test_symlog_of_nothing_stays_linear():
    axes = new_axes()
    assert style.symlog(axes, [0.0, np.nan]) == "linear" and axes.get_yscale() == "linear"


def new_axes() -> Axes:
    return Figure().subplots()


@pytest.mark.parametrize("exponent", [3, 6])  # whose logarithms are rounded down
def test_symlog_has_no_ticks_where_it_is_linear(exponent):
    axes = Figure().subplots()
    largest = 10.0 ** (exponent + 3)
    style.symlog(axes, [largest, 10.0**exponent])
    axes.plot([-largest, largest])
    ticks = abs(axes.get_yticks())
    assert not ((ticks > 0) & (ticks < 0.99 * 10.0**exponent)).any()
