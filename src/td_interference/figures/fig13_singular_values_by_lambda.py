"""Figure 13: singular values of the last hidden layer, one line per λ."""

from collections.abc import Mapping

import polars as pl
from matplotlib.figure import Figure

from td_interference.figures.lines import compared, plot_lines

FIGURE = {
    "name": "fig13",
    "means": {
        "singular_values_by_lambda": {
            "metric": "singular_values",
            "field": "singular_value",
            "experiments": ["td_lambda"],
            "by": ["lambda"],
        },
    },
    "caption": "Singular values of the last hidden layer's weights after TD(λ) policy evaluation. "
    "{lines}",
}

_COLUMNS = ("variant", "index", "mean", "low", "high", "n")


def data(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the plotted numbers: those of `_COLUMNS` by game and λ (or objective)."""
    table = tables["singular_values_by_lambda"]
    return table.select("game", compared(table), *_COLUMNS)


def plot(tables: Mapping[str, pl.DataFrame], title: str) -> Figure:
    """Return the figure; `title` states scale, games and runs."""
    table = data(tables)
    return plot_lines(
        table,
        "index",
        compared(table),
        title=title,
        x_label="index of the singular value",
        y_label="singular value",
        y_scale="log",
        labels="legend",
    )
