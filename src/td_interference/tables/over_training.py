"""Gain against offset and training time (figure 14)."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from td_interference.tables import curves
from td_interference.tables.reduce import Measured, means_by

TABLES = {
    "gain_over_training": [
        {
            "experiment": "control",
            "metric": "gain_over_training",
            "optimizers": ["adam"],
            "first_game": True,
        },
    ],
}


def gain_over_training(measured: Sequence[Measured], statistics: Mapping[str, Any]) -> pl.DataFrame:
    """Gain at each checkpoint and offset."""
    return means_by(
        lambda item: {"game": item.run.game}, measured, curves.gain_over_training, statistics
    )
