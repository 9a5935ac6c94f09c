"""The tables of TD(λ) policy evaluation, each at the runs' last checkpoint.

An experiment of a user's own has them too; where a run of it has no λ, they are by objective.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from td_interference.planning.digits import digits
from td_interference.tables import curves
from td_interference.tables.reduce import Curve, Key, Measured, means_by, trained_from_replay

TABLES = {
    "stiffness_by_lambda": [{"experiment": "td_lambda", "metric": "stiffness"}],
    "stiffness_nearby_by_lambda": [{"experiment": "td_lambda", "metric": "stiffness"}],
    "gain_by_lambda": [{"experiment": "td_lambda", "metric": "gain"}],
    "singular_values_by_lambda": [{"experiment": "td_lambda", "metric": "singular_values"}],
    "sign_variance_by_lambda": [{"experiment": "td_lambda", "metric": "sign_variance"}],
    "function_interference_by_lambda": [
        {"experiment": "td_lambda", "metric": "function_interference"},
    ],
}


def _game_and_lambda(item: Measured) -> Key:
    run = trained_from_replay(item)
    assert run.lambda_ is not None, "asked of runs with a λ alone"
    return {"game": run.game, "lambda": run.lambda_}


def _game_and_objective(item: Measured) -> Key:
    run = trained_from_replay(item)
    lambda_ = "" if run.lambda_ is None else digits(run.lambda_)
    return {"game": run.game, "objective": f"{run.objective}{lambda_}"}


def _reduction(curve: Callable[[Measured], Curve]) -> Callable[..., pl.DataFrame]:
    def table(measured: Sequence[Measured], statistics: Mapping[str, Any]) -> pl.DataFrame:
        if any(trained_from_replay(item).lambda_ is None for item in measured):
            return means_by(_game_and_objective, measured, curve, statistics)
        ascending = sorted(measured, key=lambda item: _game_and_lambda(item)["lambda"])
        return means_by(_game_and_lambda, ascending, curve, statistics)

    return table


stiffness_by_lambda = _reduction(curves.stiffness)  # figure 5
stiffness_nearby_by_lambda = _reduction(curves.stiffness_nearby)  # its claim as a number per λ
gain_by_lambda = _reduction(curves.gain)  # figure 11
singular_values_by_lambda = _reduction(curves.singular_values)  # figure 13
sign_variance_by_lambda = _reduction(curves.sign_variance)
function_interference_by_lambda = _reduction(curves.function_interference)
