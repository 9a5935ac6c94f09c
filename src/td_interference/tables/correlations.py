"""Pearson's r of runs on a grid, with an interval that covers although runs repeat cells.

Seeds of one cell (a width, a learning rate) are alike, so that ten runs of three cells say little
more about a trend than three runs do. What varies independently is the cell. Numbers only; never
imports torch.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from td_interference.statistics import Floats, constant

FEWEST_PAIRS = 3  # of a correlation: any two points lie on a line
FEWEST_FREE_CELLS = 3  # cells beyond the first of each stratum, that an interval takes

_LARGEST_R = 1 - 1e-12  # whose z is taken for that of 1, which is infinite


class Correlation(NamedTuple):
    """Pearson's r with its interval; NaN where either is not defined."""

    r: float
    low: float  # NaN, as is `high`, where there are too few cells
    high: float
    n: int  # pairs
    cells: int  # among them, each with all its pairs


def pearson(
    x: ArrayLike,
    y: ArrayLike,
    *,
    confidence: float,
    cells: ArrayLike | None = None,
    strata: ArrayLike | None = None,
) -> Correlation:
    """Return Pearson's correlation of x and y over pairs, with an interval over cells.

    The interval is Student's of Fisher's z = artanh r. Its variance is the delete-one-cell
    jackknife's, within strata, its degrees of freedom Satterthwaite's. (Resampling pairs, or
    Fisher's 1 / (n - 3), take the seeds of a cell for independent: nominal 90% then covers 53% to
    75%.)

    There is no r of fewer than `FEWEST_PAIRS` pairs, of a constant x or y, rounding aside, or
    where a number is not finite. There is no interval where a stratum has one cell alone, or fewer
    than `FEWEST_FREE_CELLS` cells are left with one of each stratum aside.

    Args:
        x: [n].
        y: [n].
        confidence: Of the interval, e.g. 0.95.
        cells: What pairs of one cell share, [n], of any type; None where each is one by itself.
        strata: The level of a fixed design factor, [n], which is not resampled; cells of two
            strata are two cells. None for no such factor.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    n = len(x)
    cell, stratum_of_cell = _cells(n, cells, strata)
    n_cells = len(stratum_of_cell)
    unknown = Correlation(np.nan, np.nan, np.nan, n, n_cells)
    if n < FEWEST_PAIRS or not np.isfinite([x, y]).all() or constant(x) or constant(y):
        return unknown
    sides = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    (r,) = _weighted_r(*sides, np.ones((1, n)))
    counts = np.bincount(stratum_of_cell)
    if counts.min() < 2 or n_cells - len(counts) < FEWEST_FREE_CELLS:
        return unknown._replace(r=float(r))
    z = _z(_weighted_r(*sides, _without_each_cell(cell, stratum_of_cell)))
    error, degrees = _jackknife(z, stratum_of_cell)
    reach = error * stats.t.ppf((1 + confidence) / 2, degrees) if error > 0 else error
    low, high = np.tanh([_z(r) - reach, _z(r) + reach])
    # At r = ±1, whose z is cut off, r itself is the bound.
    return Correlation(float(r), float(np.minimum(low, r)), float(np.maximum(high, r)), n, n_cells)


def _cells(
    n: int, cells: ArrayLike | None, strata: ArrayLike | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the number of each pair's cell, [n], and the number of each cell's stratum, [C]."""
    labels = np.arange(n) if cells is None else np.unique(cells, return_inverse=True)[1].ravel()
    levels = np.zeros(n, int) if strata is None else np.unique(strata, return_inverse=True)[1]
    both = np.stack([levels.ravel(), labels], axis=1).reshape(n, 2)
    distinct, cell = np.unique(both, axis=0, return_inverse=True)
    return cell.ravel(), distinct[:, 0]


def _without_each_cell(
    cell: NDArray[np.int64], stratum_of_cell: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the weights of pairs, [C, n], for each cell left out; its stratum keeps its weight."""
    same_stratum = stratum_of_cell[:, None] == stratum_of_cell
    counts = same_stratum.sum(axis=1, keepdims=True)
    weights = np.where(same_stratum, counts / (counts - 1), 1.0)
    np.fill_diagonal(weights, 0.0)
    return weights[:, cell]


def _weighted_r(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Return r for each row of weights, [W] of [W, n]; NaN where x or y is then constant.

    Args:
        x: Standardised, [n].
        y: Standardised, [n].
        weights: Of the pairs.
    """
    total = weights.sum(axis=1)
    mean_x, mean_y = weights @ x / total, weights @ y / total
    variance_x = weights @ x**2 / total - mean_x**2
    variance_y = weights @ y**2 / total - mean_y**2
    covariance = weights @ (x * y) / total - mean_x * mean_y
    known = (variance_x > 1e-12) & (variance_y > 1e-12)
    scale = np.sqrt(np.where(known, variance_x * variance_y, np.nan))
    return np.clip(covariance / scale, -1.0, 1.0)


def _z(r: Floats) -> Floats:
    """Return Fisher's z of r."""
    return np.arctanh(np.clip(r, -_LARGEST_R, _LARGEST_R))


def _jackknife(z: Floats, stratum_of_cell: NDArray[np.int64]) -> tuple[float, float]:
    """Return the standard error of z and its degrees of freedom, from z without each cell, [C]."""
    counts = np.bincount(stratum_of_cell)
    means = np.bincount(stratum_of_cell, z) / counts
    squares = np.bincount(stratum_of_cell, (z - means[stratum_of_cell]) ** 2)
    variances = squares * (counts - 1) / counts
    variance = float(variances.sum())
    parts = float((variances**2 / (counts - 1)).sum())
    return float(np.sqrt(variance)), variance**2 / parts if parts else np.inf
