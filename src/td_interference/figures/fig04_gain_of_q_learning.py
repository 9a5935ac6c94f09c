"""Figure 4: gain of one Q-learning update against temporal offset, without the update's sample."""

from collections.abc import Mapping

import polars as pl

from td_interference.figures.experiments import gains, plot_gain

FIGURE = {
    "name": "fig4",
    "means": {
        "gain_by_optimizer": {
            "metric": "gain",
            "field": "gain",
            "experiments": ["policy_evaluation", "control"],
            "by": ["experiment", "optimizer"],
            "games": "together",
        },
    },
    "caption": "Gain of Q-learning: pointwise TD loss before minus after one real optimizer step, "
    "at states around those of the step's minibatch. Full lines: control; dashed: policy "
    "evaluation. Each optimizer has a panel and a scale of its own. Offset 0, of far higher gain, "
    "is left out (figure 10 has it). {lines}",
}


def data(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the plotted numbers, as `gains` has them."""
    # "We exclude x = 0 for clarity, as it has a high value" (below the paper's figure 4).
    return gains(tables["gain_by_optimizer"]).filter(pl.col("offset") != 0)


plot = plot_gain
