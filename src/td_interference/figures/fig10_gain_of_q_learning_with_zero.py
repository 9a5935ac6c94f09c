"""Figure 10: figure 4 with the update's own sample, offset 0."""

from collections.abc import Mapping

import polars as pl
from matplotlib.figure import Figure

from td_interference.figures.experiments import GAIN_COLUMNS, plot_gain

FIGURE = {
    "name": "fig10",
    "tables": ["gain_by_optimizer"],
    "caption": "Figure 4 with offset 0, the states of the step's own minibatch. Full lines: "
    "control; dashed: policy evaluation. {lines}",
}


def data(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the plotted numbers, of the columns `GAIN_COLUMNS`."""
    return tables["gain_by_optimizer"].select(GAIN_COLUMNS)


def plot(tables: Mapping[str, pl.DataFrame], title: str) -> Figure:
    """Return the figure; `title` states scale, games and runs."""
    return plot_gain(data(tables), title)
