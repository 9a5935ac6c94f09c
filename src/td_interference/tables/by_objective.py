"""The tables that compare objectives, over all games together, at the runs' last checkpoint."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from td_interference.tables import curves
from td_interference.tables.reduce import Measured, means_by


def gain_by_objective(measured: Sequence[Measured], statistics: Mapping[str, Any]) -> pl.DataFrame:
    """Gain against offset for each objective (figure 3), averaged over games as in the paper."""
    games = "+".join(sorted({item.run.game for item in measured}))
    return means_by(
        lambda run: {"game": games, "objective": run.objective}, measured, curves.gain, statistics
    )
