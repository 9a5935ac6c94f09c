"""Figure 11: gain of one update against temporal offset, one line per λ."""

from collections.abc import Mapping
from functools import partial

import polars as pl

from td_interference.figures.lines import by_line, plot_lines

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


def data(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the plotted numbers, as `by_line` has them."""
    return by_line(tables["gain_by_lambda"], "offset")


plot = partial(plot_lines, axis="offset", y_label="gain: J(S$_{t+x}$) before - after")
