"""Plain means: tables that are described in a card and computed here, whatever the metric.

What a run contributes follows from the named dimensions of the measured field
(`metrics.FieldCard`): an axis gives the positions, the first other dimension is the unit drawn
within the run, over the rest there is a mean.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from td_interference import metrics
from td_interference.errors import UserError
from td_interference.planning.digits import digits
from td_interference.planning.means import Means
from td_interference.statistics import mean_where_known
from td_interference.tables.reduce import (
    Curve,
    Key,
    Measured,
    means_by,
    trained_from_replay,
)

LAST = -1  # checkpoint


def table(
    means: Means, measured: Sequence[Measured], statistics: Mapping[str, Any]
) -> pl.DataFrame:
    """Return the means that a card describes, as `means_by` does.

    Args:
        means: The description. Where it is by λ and a run has none, it is by objective.
        measured: The runs.
        statistics: "confidence" of the intervals, and "resamples" of their bootstrap.

    Raises:
        UserError: If all runs diverged, or experiments have no checkpoint in common at which they
            are to be compared.
    """
    by: tuple[str, ...] = means.by
    if "lambda" in by:
        if all(trained_from_replay(item).lambda_ is not None for item in measured):
            measured = sorted(measured, key=lambda item: trained_from_replay(item).lambda_ or 0)
        else:
            by = tuple("target" if column == "lambda" else column for column in by)
    games = "+".join(sorted({item.run.game for item in measured}))  # "asterix+ms_pacman"
    common = {"update_step": _common(measured)} if means.checkpoints == "common" else {}

    def line(item: Measured) -> Key:
        named = (_COLUMNS[column](item) for column in by)
        game = games if means.games == "together" else item.run.game
        return {"game": game, **dict(named), **common}

    return means_by(line, measured, lambda item: curve(means, item, **common), statistics)


def _of_target(item: Measured) -> tuple[str, str]:
    run = trained_from_replay(item)
    return "objective", f"{run.objective}{'' if run.lambda_ is None else digits(run.lambda_)}"


# Name and value of the column that tells runs apart by a word of `Means.by`.
_COLUMNS: Mapping[str, Any] = {
    "experiment": lambda item: ("experiment", item.experiment),
    "lambda": lambda item: ("lambda", trained_from_replay(item).lambda_),
    "objective": lambda item: ("objective", trained_from_replay(item).objective),
    "optimizer": lambda item: ("optimizer", item.run.optimizer),
    "target": _of_target,
}


def _common(measured: Sequence[Measured]) -> int:
    """Return the earliest checkpoint that all experiments look at."""
    common = set.intersection(*(set(item.checkpoints) for item in measured))
    if not common:
        experiments = " and ".join(sorted({item.experiment for item in measured}))
        raise UserError(
            f"config key 'checkpoints': {experiments} have no update step in common at which they "
            "could be compared; add one to both"
        )
    return min(common)


def curve(means: Means, item: Measured, update_step: int | None = None) -> Curve:
    """Return what one run contributes to a plain table.

    Args:
        means: The description.
        item: The run.
        update_step: Of the checkpoint to look at; None for the last, or all by the description.
    """
    steps = item.arrays["update_step"].tolist()
    place = LAST if update_step is None else steps.index(update_step)
    if means.parts:
        numbers = [number(item, part.field, part.over, place) for part in means.parts.values()]
        return Curve([{"place": name} for name in means.parts], np.concatenate(numbers, 1))
    if means.over:
        return Curve([{}], number(item, means.field, means.over, place))
    coordinates = {name: item.arrays[name].tolist() for name in _axes(item, means.field)}
    if means.checkpoints == "all":
        found = [_units(item, means.field, at) for at in range(len(steps))]
        values, coordinates = np.stack(found, 1), {"update_step": steps, **coordinates}
    else:
        values = _units(item, means.field, place)
    positions: list[Key] = [
        dict(zip(coordinates, at, strict=True)) for at in itertools.product(*coordinates.values())
    ]
    return Curve(positions, values.reshape(len(values), -1))


def number(
    item: Measured, field: str, over: Sequence[tuple[int, int]] = (), place: int = LAST
) -> NDArray[np.float64]:
    """Return the mean of a field for each unit of one run, [units, 1].

    Args:
        item: The run.
        field: Of its metric.
        over: From where to where along the field's axis; () for all.
        place: Of the checkpoint among the measured ones.
    """
    values = _in_order(item, field, place)
    if over:
        (axis,) = _axes(item, field)
        along = item.arrays[axis]
        values = values[..., np.any([(low <= along) & (along <= high) for low, high in over], 0)]
    return _independent(item, field, mean_where_known(values.reshape(len(values), -1), 1)[:, None])


def _units(item: Measured, field: str, place: int) -> NDArray[np.float64]:
    """Return the means of a field for each unit of one run, [units, *axes]."""
    values = _in_order(item, field, place)
    sizes = values.shape[values.ndim - len(_axes(item, field)) :]
    means = mean_where_known(values.reshape(len(values), -1, *sizes), 1)
    return _independent(item, field, means)


def _in_order(item: Measured, field: str, place: int) -> NDArray[Any]:
    """Return a field at one checkpoint, [units, ..., *axes]; a run is one unit if none is drawn."""
    dimensions, axes = _field(item, field).dimensions, _axes(item, field)
    drawn = [name for name in dimensions if name not in axes]
    order = [dimensions.index(name) for name in (*drawn, *axes)]
    values = item.arrays[field][place].transpose(order)
    return values if drawn else values[None]


def _independent(item: Measured, field: str, means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return units that vary as much as a mean over them does, [units, ...].

    Where each is a mean over pairs with all others, a sample is in its own pairs and in those of
    all others: its unit is the jackknife's pseudo-value, for the spread of the samples' own means
    is half of what the mean varies by. Two samples are one pair, and one unit.
    """
    if not _field(item, field).of_pairs:
        return means
    n = len(means)
    if n < 3:
        return means[:1]
    mean = np.ascontiguousarray(means.T).mean(-1)
    return mean + 2 * (n - 1) / (n - 2) * (means - mean)


def _axes(item: Measured, field: str) -> list[str]:
    fields = metrics.entry(item.metric).card.fields
    return [
        name
        for name in fields[field].dimensions
        if name in fields and fields[name].dimensions == (name,)
    ]


def _field(item: Measured, field: str) -> metrics.FieldCard:
    return metrics.entry(item.metric).card.fields[field]
