"""Figure 5: cosine between gradients against temporal offset, one line per λ."""

from collections.abc import Mapping
from functools import partial

import polars as pl

from td_interference.figures.lines import by_line, plot_lines

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


def data(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the plotted numbers, as `by_line` has them."""
    return by_line(tables["stiffness_by_lambda"], "offset")


plot = partial(plot_lines, axis="offset", y_label="cosine of ∇J(S$_t$) and ∇J(S$_{t+x}$)")
