"""How interference changes: the terms of ρ' by objective (figure 7), and under momentum (6.1)."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from td_interference.statistics import mean_where_known
from td_interference.tables.reduce import Curve, Key, Measured, means_by, trained_from_replay

TABLES = {
    "second_order_by_objective": [
        {"experiment": "second_order", "metric": "second_order", "checkpoints": "named"},
    ],
    "momentum_variance": [
        {"experiment": "momentum", "metric": "momentum", "checkpoints": "named"},
    ],
}


def second_order_by_objective(
    measured: Sequence[Measured], statistics: Mapping[str, Any]
) -> pl.DataFrame:
    """Of each term: mean over all pairs, over the positive and over the negative ones, and a share.

    The share is that of negative pairs, 0..1.
    """
    return pl.concat(
        means_by(partial(_line, term), measured, partial(_parts, term), statistics)
        for term in ("r1", "r2", "r3")
    )


def _line(term: str, item: Measured) -> Key:
    run = trained_from_replay(item)
    return {"game": run.game, "objective": run.objective, "term": term}


def _parts(term: str, item: Measured) -> Curve:
    pairs = item.arrays[term].astype(np.float64).reshape(len(item.arrays[term]), -1)
    values = {
        "mean": pairs.mean(1),
        "positive": mean_where_known(np.where(pairs > 0, pairs, np.nan), 1),
        "negative": mean_where_known(np.where(pairs < 0, pairs, np.nan), 1),
        "share_negative": (pairs < 0).mean(1),
    }
    return _over_checkpoints(item, values, "part")


def momentum_variance(measured: Sequence[Measured], statistics: Mapping[str, Any]) -> pl.DataFrame:
    """Standard deviations, over pairs A ≠ B, of ρ and ρ' of plain and of momentum SGD.

    The "change_ratio" is that of ρ'_μ to ρ'. As a step of momentum takes (1 - β) of the gradient
    alone, all of ρ_μ is smaller too; so the "relative_change_ratio" compares ρ'_μ in units of ρ_μ
    with ρ' in units of ρ.
    """

    def quantities(item: Measured) -> Curve:
        spread = {
            name: _spread(item.arrays[name])
            for name in ("interference", "change", "momentum_interference", "momentum_change")
        }
        ratio = _ratio(spread["momentum_change"], spread["change"])
        own_units = _ratio(spread["momentum_interference"], spread["interference"])
        relative = _ratio(ratio, own_units)
        values = {**spread, "change_ratio": ratio, "relative_change_ratio": relative}
        return _over_checkpoints(item, values, "quantity")

    return means_by(lambda item: {"game": item.run.game}, measured, quantities, statistics)


def _spread(pairs: NDArray) -> NDArray[np.float64]:
    """Return the standard deviation over pairs A ≠ B, [checkpoints, N, N] to [checkpoints]."""
    apart = ~np.eye(pairs.shape[-1], dtype=bool)
    return pairs[:, apart].astype(np.float64).std(axis=1)


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ratio, NaN (nothing measured) where there is nothing to divide by."""
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)


def _over_checkpoints(measured: Measured, values: Mapping[str, NDArray], column: str) -> Curve:
    """Return several quantities at each checkpoint that the experiment looks at; a run is one unit.

    Args:
        measured: The run.
        values: Each [checkpoints of the run], by what the table's `column` says of it.
        column: Of the table.
    """
    steps = measured.arrays["update_step"].tolist()
    wanted = [place for place, step in enumerate(steps) if step in measured.checkpoints]
    positions: list[Key] = [
        {column: name, "update_step": steps[place]} for name in values for place in wanted
    ]
    return Curve(positions, np.concatenate([value[wanted] for value in values.values()])[None])
