"""Figure 11: gain of one update against temporal offset, one line per λ."""

from collections.abc import Mapping

import polars as pl
from matplotlib.figure import Figure

from td_interference.figures.lines import compared, plot_lines

FIGURE = {
    "name": "fig11",
    "means": {
        "gain_by_lambda": {
            "metric": "gain",
            "field": "gain",
            "experiments": ["td_lambda"],
            "by": ["lambda"],
        },
    },
    "caption": "Gain: pointwise TD(λ) loss before minus after one real optimizer step, at states "
    "around those of the step's minibatch (offset 0). {lines}",
}

_COLUMNS = ("variant", "offset", "mean", "low", "high", "n")


def data(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the plotted numbers: those of `_COLUMNS` by game and λ (or objective)."""
    table = tables["gain_by_lambda"]
    return table.select("game", compared(table), *_COLUMNS)


def plot(tables: Mapping[str, pl.DataFrame], title: str) -> Figure:
    """Return the figure; `title` states scale, games and runs."""
    table = data(tables)
    return plot_lines(
        table,
        "offset",
        compared(table),
        title=title,
        x_label="offset x (agent steps)",
        y_label="gain: J(S$_{t+x}$) before - after",
        y_scale="linear",
        labels="ends",
    )
