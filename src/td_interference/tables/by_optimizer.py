"""The tables that compare Q-learning in control and policy evaluation, by optimizer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from td_interference.errors import UserError
from td_interference.tables import curves
from td_interference.tables.reduce import Curve, Key, Measured, all_games, means_by

TABLES = {
    "gain_by_optimizer": [
        {"experiment": "policy_evaluation", "metric": "gain"},
        {"experiment": "control", "metric": "gain"},
    ],
    "gain_nearby_by_optimizer": [
        {"experiment": "policy_evaluation", "metric": "gain"},
        {"experiment": "control", "metric": "gain"},
    ],
    "singular_values_by_optimizer": [  # of the optimizers that the paper's figure 12 compares
        {
            "experiment": "policy_evaluation",
            "metric": "singular_values",
            "optimizers": ["adam", "rmsprop"],
            "first_game": True,
        },
        {
            "experiment": "control",
            "metric": "singular_values",
            "optimizers": ["adam", "rmsprop"],
            "first_game": True,
        },
    ],
}


def _key(measured: Sequence[Measured]) -> Callable[[Measured], Key]:
    games = all_games(measured)
    return lambda item: {
        "game": games,
        "experiment": item.experiment,
        "optimizer": item.run.optimizer,
    }


def _reduction(curve: Callable[[Measured], Curve]) -> Callable[..., pl.DataFrame]:
    def table(measured: Sequence[Measured], statistics: Mapping[str, Any]) -> pl.DataFrame:
        return means_by(_key(measured), measured, curve, statistics)

    return table


gain_by_optimizer = _reduction(curves.gain)  # figures 4 and 10, averaged over games as in the paper
gain_nearby_by_optimizer = _reduction(curves.gain_nearby)  # their claims as numbers


def singular_values_by_optimizer(
    measured: Sequence[Measured], statistics: Mapping[str, Any]
) -> pl.DataFrame:
    """Singular values at the earliest checkpoint of all experiments (figure 12: "after 100k").

    Raises:
        UserError: If the experiments have no checkpoint in common.
    """
    common = set.intersection(*(set(item.checkpoints) for item in measured))
    if not common:
        experiments = " and ".join(sorted({item.experiment for item in measured}))
        raise UserError(
            f"config key 'checkpoints': {experiments} have no update step in common at which "
            "figure 12 could compare them; add one to both"
        )
    step = min(common)
    key = _key(measured)
    return means_by(
        lambda item: {**key(item), "update_step": step},
        measured,
        lambda item: curves.singular_values_at(item, step),
        statistics,
    )
