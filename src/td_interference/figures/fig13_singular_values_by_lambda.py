"""Figure 13: singular values of the last hidden layer, one line per λ."""

from collections.abc import Mapping
from functools import partial

import polars as pl

from td_interference.figures.lines import by_line, plot_lines

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


def data(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the plotted numbers, as `by_line` has them."""
    return by_line(tables["singular_values_by_lambda"], "index")


plot = partial(plot_lines, axis="index", y_label="singular value", log=True)
