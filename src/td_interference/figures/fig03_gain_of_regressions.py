"""Figure 3: gain of one update against temporal offset, for the three regressions."""

from collections.abc import Mapping

import polars as pl
from matplotlib.figure import Figure

from td_interference.figures.lines import by_line, plot_lines

FIGURE = {
    "name": "fig3",
    "means": {
        "gain_by_objective": {
            "metric": "gain",
            "field": "gain",
            "experiments": ["regression"],
            "by": ["objective"],
            "games": "together",
        },
    },
    "caption": "Gain of the regressions to Monte-Carlo returns (MC), to Q* (reg) and to TD "
    "targets of Q* (TD*): pointwise TD loss before minus after one real optimizer step, at states "
    "around those of the step's minibatch (offset 0, dotted). {lines}",
}


def data(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the plotted numbers, as `by_line` has them."""
    return by_line(tables["gain_by_objective"], "offset")


def plot(table: pl.DataFrame, title: str) -> Figure:
    """Return the figure; `title` states scale, games and runs."""
    figure = plot_lines(table, title, axis="offset", y_label="gain in TD loss at S$_{t+x}$")
    for axes in figure.axes:
        # The paper dots what belongs to offset 0: that state itself was used for the update.
        axes.axvline(0, color="0.4", lw=0.6, ls=":", zorder=0)
    return figure
