"""Figure 1: correlation of interference and generalization gap, by training set size."""

from collections.abc import Mapping

import polars as pl
from matplotlib.figure import Figure

from td_interference.figures import generalization as shared

FIGURE = {
    "name": "fig1",
    "tables": ["generalization_by_size"],
    "caption": "Pearson's r of log ρ and generalization gap, over capacities and seeds, for each "
    "training set size n_T. {generalization} Shaded: interval of r; {of_r}.",
    "title": "{data} · {scale} scale\neach r over {runs} of {cells} capacities · bands: "
    "{confidence:.0%} interval over capacities · {left_out}",
    "about": "generalization",
}

_COLUMNS = (
    *("name", "data", "dataset", "task", "n_train", "r", "low", "high", "n", "cells"),
    *("diverged", "not_positive"),
)


def data(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the plotted numbers: r with its interval for each experiment and n_T."""
    table = tables["generalization_by_size"].filter(pl.col("pair") == shared.PAIR)
    return table.select(_COLUMNS)


def plot(table: pl.DataFrame, title: str) -> Figure:
    """Return the figure, a panel for each family; `title` states scale, data and runs."""
    figure, panels = shared.panels(table, shared.FAMILIES, title, row_height=3.1)
    for panel in panels:
        axes = panel.axes
        axes.axhline(0, color="0.6", lw=0.5, zorder=0)
        for look in panel.experiments:
            rows = look.rows.sort("n_train")
            axes.fill_between(
                rows["n_train"], rows["low"], rows["high"], color=look.colour, alpha=0.2, lw=0
            )
            axes.plot(
                rows["n_train"], rows["r"], color=look.colour, marker="o", ms=2.5, label=look.label
            )
        shared.size_axis(axes, panel.rows["n_train"])
        axes.set_ylim(-1.05, 1.05)
        shared.heading(panel)
    panels[0].axes.set_ylabel("r of log $\\overline{ρ}$ and gap")
    return figure
