"""Figure 10: figure 4 with the update's own sample, offset 0."""

from collections.abc import Mapping

import polars as pl

from td_interference.figures.experiments import gains, plot_gain

FIGURE = {
    "name": "fig10",
    "tables": ["gain_by_optimizer"],
    "caption": "Figure 4 with offset 0, the states of the step's own minibatch. Full lines: "
    "control; dashed: policy evaluation. {lines}",
}


def data(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the plotted numbers, as `gains` has them."""
    return gains(tables["gain_by_optimizer"])


plot = plot_gain
