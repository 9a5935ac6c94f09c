"""ρ' at initialisation: its distribution over random networks, and how far eq. 36 holds."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from td_interference.figures import style
from td_interference.tables.random_networks import BINS_PER_DECADE

FIGURE = {
    "name": "random_networks",
    "tables": [
        "random_networks_summary",
        "random_networks_histogram",
        "random_networks_step_sizes",
    ],
    "caption": "Distribution of ρ' (eq. 14) over pairs of samples of randomly initialised "
    "networks with standard normal inputs and δ (section 6), or, at (y), standard normal targets "
    "y; the number after a network is its hidden units. Bins are of equal width on the axis, "
    "which is linear around 0 and logarithmic beyond; the outline is the same histogram mirrored "
    "at 0, so that the side that stands out of it is the heavier one. Lines: mean and median, "
    "with their intervals. Below: relative error of eq. 36 against how interference changes over "
    "a real step of gradient descent, median over networks; in networks of leaky ReLUs it rises "
    "where steps are long enough for units to cross their kinks. Intervals: over networks.",
    "title": "random networks · {scale} scale\nintervals: {confidence:.0%}, over networks",
}

# What a study's network is called.
NETWORKS = {"mlp": "MLP", "smooth_mlp": "tanh MLP", "value": "V", "q": "DQN"}

# Of the studies, in the order of the tables: Okabe and Ito's, as in `style`.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

PANEL_HEIGHT = 1.35  # inches, of one histogram
HEADROOM = 1.3  # height of a histogram's panel over that of its highest bin, for the legend
_MARKED = (("mean", "-"), ("median", (0, (1, 1))))  # drawn, each with its interval


def data(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the plotted numbers, in long format.

    Returns:
        study, network, hidden, normal, quantity, bin_low, bin_high, step_size, value, low, high, n.
        The quantity is a statistic of ρ', the "share" of its samples in a bin, or the
        "relative_error" of eq. 36 at a step size; what does not apply to it is null.
    """
    summary = tables["random_networks_summary"].rename({"statistic": "quantity"})
    histogram = tables["random_networks_histogram"].select(
        pl.lit("share").alias("quantity"),
        pl.exclude("count", "share"),
        pl.col("share").alias("value"),
    )
    errors = (
        tables["random_networks_step_sizes"]
        .rename({"median": "value"})
        .with_columns(pl.lit("relative_error").alias("quantity"))
    )
    return pl.concat([summary, histogram, errors], how="diagonal_relaxed").select(
        *("study", "network", "hidden", "normal", "quantity", "bin_low", "bin_high", "step_size"),
        *("value", "low", "high", "n"),
    )


def plot(drawn: pl.DataFrame, title: str) -> Figure:
    """Return the figure; `title` states scale and what the intervals resample."""
    studies = drawn["study"].unique(maintain_order=True).to_list()
    heights = [PANEL_HEIGHT] * len(studies) + [style.COLUMN_WIDTH * style.ASPECT]
    figure = Figure(figsize=(style.COLUMN_WIDTH, sum(heights)), layout="constrained")
    style.write_title(figure, title)
    panels = figure.subplots(len(heights), height_ratios=heights)
    colours = [COLOURS[place % len(COLOURS)] for place in range(len(studies))]
    names = [_name(drawn.filter(pl.col("study") == study)) for study in studies]
    for study, name, colour, axes in zip(studies, names, colours, panels[:-1], strict=True):
        rows = drawn.filter(pl.col("study") == study)
        _plot_distribution(axes, rows, colour)
        axes.set_title(f"{name}, {_negative(rows)}", loc="left", color=colour)
    panels[-2].set_xlabel("ρ' of two samples")
    errors = drawn.filter(pl.col("quantity") == "relative_error")
    _plot_errors(panels[-1], errors, studies, names, colours)
    return figure


def _name(rows: pl.DataFrame) -> str:
    network, hidden, normal = rows.select("network", "hidden", "normal").row(0)
    return f"{NETWORKS[network]} {hidden}" + ("" if normal == "delta" else " (y)")


def _plot_distribution(axes: Axes, rows: pl.DataFrame, colour: str) -> None:
    bins = rows.filter(pl.col("quantity") == "share").sort("bin_low")
    edges = [*bins["bin_low"], bins["bin_high"][-1]]
    threshold, top = edges[len(edges) // 2 + BINS_PER_DECADE], edges[-1]
    # With this linscale the even bins around 0 are drawn as wide as those beyond.
    axes.set_xscale("symlog", linthresh=threshold, linscale=1 - 1 / 10)
    axes.stairs(bins["value"], edges, fill=True, color=colour, alpha=0.4, lw=0)
    axes.stairs(bins["value"][::-1], edges, color="0.35", lw=0.6)  # mirrored
    for name, line in _MARKED:
        value, low, high = _statistic(rows, name)
        label = f"{name} {_number(value)} [{_number(low)}, {_number(high)}]"
        axes.axvspan(low, high, 0, 1 / HEADROOM, color="0.2", alpha=0.2, lw=0)
        axes.axvline(value, 0, 1 / HEADROOM, color="black", lw=0.9, ls=line, label=label)
    axes.legend(
        loc="upper center",
        ncols=2,
        frameon=False,
        fontsize="small",
        borderpad=0,
        handlelength=1.2,
        columnspacing=1,
    )
    # Every other power of ten from the largest on, down to the even part around 0.
    exponents = np.arange(np.log10(top).round(), np.log10(threshold) + 0.5, -2)
    labels = [f"10$^{{{exponent:.0f}}}$" for exponent in exponents]
    axes.set_xticks(
        [*-(10**exponents), 0, *10**exponents],
        [*("\N{MINUS SIGN}" + label for label in labels), "0", *labels],
    )
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlim(-top, top)
    axes.set_ylim(0, HEADROOM * max(bins["value"]))
    axes.set_ylabel("pairs per bin")


def _statistic(rows: pl.DataFrame, name: str) -> tuple[float, float, float]:
    return rows.filter(pl.col("quantity") == name).select("value", "low", "high").row(0)


def _negative(rows: pl.DataFrame) -> str:
    """Say what share of the pairs is below 0, and of how many networks."""
    value, low, high = _statistic(rows, "share_negative")
    n = style.count(rows.filter(pl.col("quantity") == "share_negative")["n"])
    return f"n = {n}: {value:.0%} [{low:.0%}, {high:.0%}] < 0"


def _number(value: float) -> str:
    """Return two significant digits without an exponent."""
    digits = np.format_float_positional(value, precision=2, fractional=False, trim="-")
    return digits.replace("-", "\N{MINUS SIGN}")


def _plot_errors(
    axes: Axes, errors: pl.DataFrame, studies: list[str], names: list[str], colours: list[str]
) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.axhline(1, color="0.6", lw=0.5, zorder=0)
    for study, name, colour in zip(studies, names, colours, strict=True):
        line = errors.filter(pl.col("study") == study).sort("step_size")
        axes.fill_between(
            line["step_size"], line["low"], line["high"], color=colour, alpha=0.2, lw=0
        )
        axes.plot(line["step_size"], line["value"], color=colour, marker="o", ms=2, label=name)
    steps = errors["step_size"].to_numpy()
    axes.set_xlim(steps.min(), steps.max())
    axes.set_title(f"eq. 36 against a real step, n = {style.count(errors['n'])}", loc="left")
    axes.set_xlabel("step size α")
    axes.set_ylabel("relative error of ρ'")
    axes.legend(loc="upper left", bbox_to_anchor=(0, 0.95), frameon=False, labelspacing=0.3)
