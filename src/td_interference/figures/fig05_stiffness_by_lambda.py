"""Figure 5: cosine between gradients against temporal offset, one line per λ."""

from collections.abc import Mapping

import polars as pl
from matplotlib.figure import Figure

from td_interference.figures.lines import plot_lines

_COLUMNS = ("game", "lambda", "offset", "mean", "low", "high", "n")


def data(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the plotted numbers: game, lambda, offset, mean, low, high, n."""
    return tables["stiffness_by_lambda"].select(_COLUMNS)


def plot(tables: Mapping[str, pl.DataFrame], title: str) -> Figure:
    """Return the figure; `title` states scale, games and runs."""
    return plot_lines(
        data(tables),
        "offset",
        "lambda",
        title=title,
        x_label="offset x (agent steps)",
        y_label="cosine of ∇J(S$_t$) and ∇J(S$_{t+x}$)",
        y_scale="linear",
        labels="ends",
    )
