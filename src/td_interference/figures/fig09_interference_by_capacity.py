"""Figure 9: function interference during training against capacity."""

from collections.abc import Mapping

import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from td_interference.figures import generalization as shared
from td_interference.figures.lines import draw_line

FIGURE = {
    "name": "fig9",
    "tables": ["interference_by_capacity", "capacity_correlations"],
    "caption": "Function interference ρ, averaged over training, against capacity. Lines: "
    "geometric mean over the runs of all training set sizes, with the {of_a_mean}; full for n_L = "
    "0, dashed for 1, dash-dotted for 2, dotted for 3. r: Pearson's, of log ρ and log capacity "
    "over runs; {of_r}. {generalization}",
    "title": "{data} · {scale} scale\n{runs} per point · bands: {interval} · r over {cells} cells "
    "(capacity and n$_T$) · {left_out}",
    "about": "generalization",
}

_COLUMNS = (
    *("name", "data", "dataset", "task", "hidden", "extra_layers", "n_parameters"),
    *("mean", "low", "high", "n", "diverged", "not_positive"),
)

_DASHES = ("-", "--", "-.", ":")  # of the lines of 0, 1, 2, and 3 or more extra layers


def data(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the plotted numbers, one row per experiment and capacity.

    mean is that of interference over training and, geometrically, over n runs; r, r_low, r_high are
    of log interference and log capacity over the experiment's runs, of so many cells.
    """
    table = tables["interference_by_capacity"].filter(pl.col("pair") == shared.PAIR)
    correlations = tables["capacity_correlations"].filter(pl.col("pair") == shared.PAIR)
    return shared.with_r(table.select(_COLUMNS), correlations)


def plot(table: pl.DataFrame, title: str) -> Figure:
    """Return the figure, a panel for each family; `title` states scale, data and runs."""
    figure, panels = shared.panels(table, shared.SINGLE, title, row_height=1.95)
    for panel in panels:
        axes = panel.axes
        axes.set_xscale("log")
        axes.set_yscale("log")
        for look in panel.experiments:
            label = look.label
            for depth in look.rows["extra_layers"].unique().sort():
                rows = look.rows.filter(pl.col("extra_layers") == depth).sort("n_parameters")
                dashes = _DASHES[min(depth, len(_DASHES) - 1)]
                line = draw_line(axes, rows, "n_parameters", look.colour, dashes, marker="o")
                line.set_label(label)
                label = "_"  # the depths of an experiment share one entry
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
            axis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("parameters")
        axes.set_ylabel("$\\overline{ρ}$ during training")
        shared.heading(panel)
    return figure
