"""Figure 5: cosine between gradients against temporal offset, one line per λ."""

from collections.abc import Mapping

import polars as pl
from matplotlib.figure import Figure

from td_interference.figures.lines import compared, plot_lines

FIGURE = {
    "name": "fig5",
    "means": {
        "stiffness_by_lambda": {
            "metric": "stiffness",
            "field": "cosine",
            "experiments": ["td_lambda"],
            "by": ["lambda"],
        },
    },
    "caption": "Cosine similarity between the loss gradients at S_t (offset 0) and at "
    "neighbouring states of its episode, after TD(λ) policy evaluation. {lines}",
}

_COLUMNS = ("variant", "offset", "mean", "low", "high", "n")


def data(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the plotted numbers: those of `_COLUMNS` by game and λ (or objective)."""
    table = tables["stiffness_by_lambda"]
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
        y_label="cosine of ∇J(S$_t$) and ∇J(S$_{t+x}$)",
        y_scale="linear",
        labels="ends",
    )
