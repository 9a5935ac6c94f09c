"""Mean interference and stiffness within and between train and test samples (eq. 7 and 8)."""

from typing import NamedTuple, Self

import torch
from torch import Tensor

from td_interference.gradients import (
    PairMeans,
    PerSampleGradients,
    gradient_sums,
    means_between,
    means_within,
)


class Interference(NamedTuple):
    """Of R networks and one per-sample value; means over pairs of different samples, [R] each."""

    train_train: PairMeans
    train_test: PairMeans
    test_test: PairMeans

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Return the networks of all parts, in their order."""
        return cls(
            *(
                PairMeans(*(torch.cat(means) for means in zip(*pairs, strict=True)))
                for pairs in zip(*parts, strict=True)
            )
        )

    def columns(self, value: str) -> dict[str, list[float]]:
        """Return the numbers of the networks by their names in `storage.GENERALIZATION`."""
        found = {}
        for pair, means in self._asdict().items():
            found[f"{value}_interference_{pair}"] = means.inner_product.tolist()
            found[f"{value}_stiffness_{pair}"] = means.cosine.tolist()
        return found


def interference(gradients: PerSampleGradients, n_train: Tensor, n_test: int) -> Interference:
    """Return the mean inner products and cosines over all pairs u != v.

    Args:
        gradients: Of N samples for each of R networks, [R, N, ...]: network r's first
            `n_train[r]` are of train, its last `n_test` of test; what is between is left out.
        n_train: [R], at least 2 each.
        n_test: At least 2.
    """
    n_first = gradients.scale.shape[1] - n_test
    is_train = torch.arange(n_first, device=n_train.device) < n_train[:, None]
    train = gradient_sums(gradients, slice(0, n_first), is_train)
    test = gradient_sums(gradients, slice(n_first, None))
    return Interference(means_within(train), means_between(train, test), means_within(test))
