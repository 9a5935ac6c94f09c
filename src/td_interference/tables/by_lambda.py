"""The tables of TD(λ) policy evaluation, each at the runs' last checkpoint."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from td_interference.storage import Arrays
from td_interference.tables.reduce import Curve, Measured, by_lambda

NEARBY = (1, 5)  # agent steps: the offsets "near 0" of stiffness_nearby_by_lambda

LAST = -1  # checkpoint


def _mean_where_known(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean over `axis` leaving out NaN; NaN where all are."""
    return np.ma.masked_invalid(values).mean(axis=axis).filled(np.nan)


def _stiffness(arrays: Arrays) -> Curve:
    return Curve("offset", arrays["offset"].tolist(), _mean_where_known(arrays["cosine"][LAST], 1))


def _stiffness_nearby(arrays: Arrays) -> Curve:
    offset = arrays["offset"]
    near = (offset >= NEARBY[0]) & (offset <= NEARBY[1])
    cosine = arrays["cosine"][LAST][:, :, near]
    return Curve(None, [0.0], _mean_where_known(cosine.reshape(len(cosine), -1), 1)[:, None])


def _gain(arrays: Arrays) -> Curve:
    return Curve("offset", arrays["offset"].tolist(), _mean_where_known(arrays["gain"][LAST], 1))


def _singular_values(arrays: Arrays) -> Curve:
    values = arrays["singular_value"][LAST]
    return Curve("index", list(range(1, len(values) + 1)), values[None])


def _scalar(name: str, arrays: Arrays) -> Curve:
    return Curve(None, [0.0], arrays[name][LAST][:, None])


def stiffness_by_lambda(measured: Sequence[Measured], statistics: Mapping) -> pl.DataFrame:
    """Cosine of gradients against offset (figure 5); units are segments of anchor states."""
    return by_lambda(measured, _stiffness, statistics)


def stiffness_nearby_by_lambda(measured: Sequence[Measured], statistics: Mapping) -> pl.DataFrame:
    """Cosine of gradients, mean of the offsets `NEARBY`: figure 5's claim as one number per λ."""
    return by_lambda(measured, _stiffness_nearby, statistics)


def gain_by_lambda(measured: Sequence[Measured], statistics: Mapping) -> pl.DataFrame:
    """Gain against offset (figure 11); units are minibatches."""
    return by_lambda(measured, _gain, statistics)


def singular_values_by_lambda(measured: Sequence[Measured], statistics: Mapping) -> pl.DataFrame:
    """Singular values against their index from 1 (figure 13)."""
    return by_lambda(measured, _singular_values, statistics)


def sign_variance_by_lambda(measured: Sequence[Measured], statistics: Mapping) -> pl.DataFrame:
    """Sign variance; units are segments of consecutive steps."""
    return by_lambda(measured, lambda arrays: _scalar("sign_variance", arrays), statistics)


def function_interference_by_lambda(
    measured: Sequence[Measured], statistics: Mapping
) -> pl.DataFrame:
    """Function interference; units are states."""
    return by_lambda(measured, lambda arrays: _scalar("function_interference", arrays), statistics)
