"""What tables take from one run's measurement: a curve for each unit drawn within the run."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from td_interference.statistics import mean_where_known
from td_interference.storage.hdf5 import Arrays
from td_interference.tables.reduce import Curve, Key, Measured, along

NEARBY = (1, 5)  # agent steps: the offsets "near 0" of stiffness_nearby_by_lambda
AROUND = (1, 10)  # agent steps either way: the offsets of the gain_nearby tables

LAST = -1  # checkpoint


def stiffness(measured: Measured) -> Curve:
    """Cosines against offset; units are segments of anchor states."""
    arrays = measured.arrays
    units = mean_where_known(arrays["cosine"][LAST], 1)
    return Curve(along("offset", arrays["offset"].tolist()), units)


def stiffness_nearby(measured: Measured) -> Curve:
    """Mean cosine of the offsets `NEARBY`; units are segments of anchor states."""
    offset = measured.arrays["offset"]
    near = (offset >= NEARBY[0]) & (offset <= NEARBY[1])
    cosine = measured.arrays["cosine"][LAST][:, :, near]
    return number(mean_where_known(cosine.reshape(len(cosine), -1), 1))


def gain(measured: Measured) -> Curve:
    """Gain against offset; units are minibatches."""
    arrays = measured.arrays
    units = mean_where_known(arrays["gain"][LAST], 1)
    return Curve(along("offset", arrays["offset"].tolist()), units)


def gain_nearby(measured: Measured) -> Curve:
    """Mean gain at offset 0, at the offsets `AROUND` either way, and at unrelated transitions.

    Units are minibatches.
    """
    arrays = measured.arrays
    distance = np.abs(arrays["offset"])
    at_last = arrays["gain"][LAST]
    around = at_last[:, :, (distance >= AROUND[0]) & (distance <= AROUND[1])]
    places = {
        "offset 0": mean_where_known(at_last[:, :, distance == 0].reshape(len(at_last), -1), 1),
        f"offsets {AROUND[0]} to {AROUND[1]}": mean_where_known(around.reshape(len(around), -1), 1),
        "unrelated": mean_where_known(arrays["gain_unrelated"][LAST], 1),
    }
    return Curve([{"place": place} for place in places], np.stack(list(places.values()), 1))


def gain_over_training(measured: Measured) -> Curve:
    """Gain against update step and offset; units are minibatches."""
    arrays = measured.arrays
    steps, offsets = arrays["update_step"].tolist(), arrays["offset"].tolist()
    positions: list[Key] = [
        {"update_step": step, "offset": offset} for step in steps for offset in offsets
    ]
    by_unit = mean_where_known(arrays["gain"], 2).swapaxes(0, 1)  # [units, checkpoints, offsets]
    return Curve(positions, by_unit.reshape(len(by_unit), -1))


def singular_values(measured: Measured) -> Curve:
    """Singular values at the last checkpoint; a run is one unit."""
    return _spectrum(measured.arrays, LAST)


def singular_values_at(measured: Measured, update_step: int) -> Curve:
    """Singular values at the checkpoint of `update_step`; a run is one unit."""
    place = measured.arrays["update_step"].tolist().index(update_step)
    return _spectrum(measured.arrays, place)


def _spectrum(arrays: Arrays, place: int) -> Curve:
    values = arrays["singular_value"][place]
    return Curve(along("index", list(range(1, len(values) + 1))), values[None])


def sign_variance(measured: Measured) -> Curve:
    """Sign variance; units are segments of consecutive steps."""
    return number(measured.arrays["sign_variance"][LAST])


def function_interference(measured: Measured) -> Curve:
    """Function interference; units are states.

    A state is in its own inner products and in those of all others: its unit is the jackknife's
    pseudo-value, for the spread of the states' own means is half of what the mean varies by. Two
    states are one pair, and one unit.
    """
    own = measured.arrays["function_interference"][LAST].astype(np.float64)
    n = len(own)
    if n < 3:
        return number(own[:1])
    return number(own.mean() + 2 * (n - 1) / (n - 2) * (own - own.mean()))


def policy_score(measured: Measured) -> Curve:
    """Undiscounted score of an episode; units are episodes."""
    return number(measured.arrays["score"][LAST])


def number(units: NDArray) -> Curve:
    """Return the curve that is one number, from a value for each unit, [units]."""
    return Curve([{}], units[:, None])


def over_checkpoints(measured: Measured, values: Mapping[str, NDArray], column: str) -> Curve:
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
