"""Mean interference and stiffness within and between train and test samples (eq. 7 and 8)."""

from typing import NamedTuple

import torch

from td_interference.gradients import PerSampleGradients, cosines, squared_norms


class PairMeans(NamedTuple):
    """Means over pairs of different samples."""

    train_train: float
    train_test: float
    test_test: float


class Interference(NamedTuple):
    """Of one network and one per-sample value."""

    inner_product: PairMeans
    cosine: PairMeans  # of the pairs that have an angle; NaN if none has


def interference(gradients: PerSampleGradients, n_train: int, n_test: int) -> Interference:
    """Return the mean inner products and cosines over all pairs u != v.

    Args:
        gradients: Of N samples: the first `n_train` of train, the last `n_test` of test. Any
            between are left out.
        n_train: At least 2.
        n_test: At least 2.
    """
    cosine = cosines(gradients).double()
    norm = squared_norms(gradients).double().sqrt()
    # The product of the norms and the cosine costs half of multiplying the gradients a second time.
    lengths = norm[:, None] * norm
    inner_product = torch.where(lengths == 0, 0, cosine * lengths)
    off_diagonal = ~torch.eye(len(cosine), dtype=torch.bool, device=cosine.device)
    train, test = slice(0, n_train), slice(len(cosine) - n_test, len(cosine))
    blocks = ((train, train), (train, test), (test, test))
    return Interference(
        # NaN here is a gradient that overflowed, and makes the mean NaN; in a cosine it is one
        # that is zero, and has no angle.
        PairMeans(*(inner_product[block][off_diagonal[block]].mean().item() for block in blocks)),
        PairMeans(*(cosine[block][off_diagonal[block]].nanmean().item() for block in blocks)),
    )
