"""The figure of ρ' at initialisation: what is drawn is what the tables say."""

import io

import numpy as np
import polars as pl
import pytest

from td_interference import pictures
from td_interference.figures.random_networks import COLOURS, _number, data, plot
from td_interference.planning.studies import Study
from td_interference.tables.random_networks import (
    MeasuredStudy,
    random_networks_histogram,
    random_networks_step_sizes,
    random_networks_summary,
)

TABLES = (random_networks_summary, random_networks_histogram, random_networks_step_sizes)


@pytest.fixture(scope="module")
def tables():
    """Two studies whose scales differ by a thousand; one network is worse than the others."""
    generator = np.random.default_rng(0)
    measured = []
    for study, scale in (
        (Study("mlp", 4, networks=7, checked_networks=6), 1.0),
        (Study("q", 2, "target", networks=6, checked_networks=6), 1e3),
    ):
        changes = scale * (generator.standard_t(2, size=(study.networks, 20)) - 0.5)
        errors = np.array([[1.0], [1.5], [2.0], [3.0], [4.0], [50.0]]) * study.step_sizes
        arrays = {"change": changes, "relative_error": errors, "step_size": study.step_sizes}
        measured.append(MeasuredStudy(study, arrays))
    settings = {"confidence": 0.95, "resamples": 50}
    return {table.__name__: table(measured, settings) for table in TABLES}


@pytest.fixture(scope="module")
def figure(tables):
    with pictures.style():
        figure = plot(data(tables), "title")
        figure.draw_without_rendering()
    return figure


def of(table, study):
    return table.filter(pl.col("study") == study)


def test_data_holds_every_row_of_every_table(tables):
    table = data(tables)
    assert table.columns[:5] == ["study", "network", "hidden", "normal", "quantity"]
    assert len(table) == sum(map(len, tables.values()))
    bins = table.filter(pl.col("quantity") == "share")
    histogram = tables["random_networks_histogram"]
    assert bins["value"].to_list() == histogram["share"].to_list()
    assert bins["bin_low"].to_list() == histogram["bin_low"].to_list()
    assert bins["low"].null_count() == len(bins)
    errors = table.filter(pl.col("quantity") == "relative_error")
    expected = tables["random_networks_step_sizes"]
    for column, original in (("value", "median"), ("low", "low"), ("high", "high")):
        assert errors[column].to_list() == expected[original].to_list()
    assert errors["step_size"].to_list() == expected["step_size"].to_list()
    mean = table.filter(pl.col("quantity") == "mean")
    summary = tables["random_networks_summary"].filter(pl.col("statistic") == "mean")
    assert mean.select("value", "low", "high", "n").equals(
        summary.select("value", "low", "high", "n")
    )


def test_each_study_has_a_panel_with_its_histogram(figure, tables):
    assert len(figure.axes) == 3
    for study, axes in zip(("mlp-h4-delta-seed0", "q-h2-target-seed0"), figure.axes, strict=False):
        bins = of(tables["random_networks_histogram"], study)
        filled, mirrored = (patch.get_data() for patch in axes.patches[:2])
        np.testing.assert_array_equal(filled.values, bins["share"])
        np.testing.assert_array_equal(filled.edges, [*bins["bin_low"], bins["bin_high"][-1]])
        np.testing.assert_array_equal(mirrored.values, bins["share"][::-1])
        np.testing.assert_array_equal(mirrored.edges, filled.edges)


def test_bins_are_drawn_equally_wide(figure):
    for axes in figure.axes[:-1]:
        edges = axes.patches[0].get_data().edges
        drawn = axes.transData.transform([(edge, 0) for edge in edges])[:, 0]
        np.testing.assert_allclose(np.diff(drawn), np.diff(drawn)[0], rtol=1e-6)


def test_mean_and_median_are_marked_with_their_intervals(figure, tables):
    for study, axes in zip(("mlp-h4-delta-seed0", "q-h2-target-seed0"), figure.axes, strict=False):
        summary = of(tables["random_networks_summary"], study)
        for name, line, band in zip(("mean", "median"), axes.lines, axes.patches[2:], strict=True):
            row = summary.row(by_predicate=pl.col("statistic") == name, named=True)
            assert line.get_xdata()[0] == row["value"]
            assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx(
                (row["low"], row["high"])
            )
            assert line.get_label().startswith(f"{name} {_number(row['value'])} [")
        assert axes.lines[0].get_linestyle() != axes.lines[1].get_linestyle()


def test_panels_say_what_they_show(figure, tables):
    first, second, last = figure.axes
    share = of(tables["random_networks_summary"], "mlp-h4-delta-seed0").row(-1, named=True)
    assert share["statistic"] == "share_negative"
    assert first.get_title("left").startswith(f"MLP 4, n = 7: {share['value']:.0%} [")
    assert second.get_title("left").startswith("DQN 2 (y), n = 6: ")
    assert last.get_title("left").endswith("n = 6")


def test_errors_are_lines_over_step_sizes(figure, tables):
    axes = figure.axes[-1]
    assert axes.get_xscale() == axes.get_yscale() == "log"
    lines = axes.lines[1:]  # the first one is that of 100%
    assert axes.lines[0].get_ydata()[0] == 1
    for line, study, colour in zip(
        lines, ("mlp-h4-delta-seed0", "q-h2-target-seed0"), COLOURS, strict=False
    ):
        rows = of(tables["random_networks_step_sizes"], study)
        np.testing.assert_array_equal(line.get_xdata(), rows["step_size"])
        np.testing.assert_array_equal(line.get_ydata(), rows["median"])
        assert line.get_color() == colour
    band = axes.collections[0].get_paths()[0].vertices
    rows = of(tables["random_networks_step_sizes"], "mlp-h4-delta-seed0")
    assert {*rows["low"], *rows["high"]} == set(band[:, 1])
    assert axes.get_legend().get_texts()[1].get_text() == "DQN 2 (y)"


@pytest.mark.parametrize("name", [table.__name__ for table in TABLES])
def test_a_missing_table_is_an_error(tables, name):
    with pytest.raises(KeyError, match=name):
        data({key: table for key, table in tables.items() if key != name})


def test_same_tables_same_bytes(tables):
    def pdf():
        with pictures.style(), io.BytesIO() as file:
            plot(data(tables), "title").savefig(file, format="pdf", metadata={"CreationDate": None})
            return file.getvalue()

    assert pdf() == pdf()


@pytest.mark.parametrize(
    ("value", "text"),
    [(-61.8, "−62"), (0.0123, "0.012"), (123456.0, "120000"), (-7.0, "−7"), (3.96, "4")],
)
def test_numbers_have_two_digits(value, text):
    assert _number(value) == text
