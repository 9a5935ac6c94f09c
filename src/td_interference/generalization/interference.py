"""Mean interference and stiffness within and between train and test samples (eq. 7 and 8)."""

from typing import NamedTuple

import numpy as np

from td_interference.gradients import (
    PairMeans,
    PerSampleGradients,
    gradient_sums,
    means_between,
    means_within,
)


class Interference(NamedTuple):
    """Of one network and one per-sample value; means over pairs of different samples."""

    train_train: PairMeans
    train_test: PairMeans
    test_test: PairMeans


UNKNOWN = Interference(*[PairMeans(np.nan, np.nan)] * 3)


def interference(gradients: PerSampleGradients, n_train: int, n_test: int) -> Interference:
    """Return the mean inner products and cosines over all pairs u != v.

    Args:
        gradients: Of N samples: the first `n_train` of train, the last `n_test` of test. Any
            between are left out.
        n_train: At least 2.
        n_test: At least 2.
    """
    n_samples = len(gradients.scale)
    train = gradient_sums(gradients, slice(0, n_train))
    test = gradient_sums(gradients, slice(n_samples - n_test, n_samples))
    return Interference(means_within(train), means_between(train, test), means_within(test))
