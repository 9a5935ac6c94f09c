"""The tables that compare objectives, over all games together, at the runs' last checkpoint."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from td_interference.tables import curves
from td_interference.tables.reduce import Curve, Measured, all_games, means_by, trained_from_replay

TABLES = {
    "gain_by_objective": [{"experiment": "regression", "metric": "gain"}],
    "gain_nearby_by_objective": [{"experiment": "regression", "metric": "gain"}],
}


def _reduction(curve: Callable[[Measured], Curve]) -> Callable[..., pl.DataFrame]:
    def table(measured: Sequence[Measured], statistics: Mapping[str, Any]) -> pl.DataFrame:
        games = all_games(measured)
        return means_by(
            lambda item: {"game": games, "objective": trained_from_replay(item).objective},
            measured,
            curve,
            statistics,
        )

    return table


gain_by_objective = _reduction(curves.gain)  # figure 3, averaged over games as in the paper
gain_nearby_by_objective = _reduction(curves.gain_nearby)  # its claim as numbers
