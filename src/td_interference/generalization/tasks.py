"""What learners of a data set are: per-sample loss, the function f, performance (paper, B.1)."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor


class Split(NamedTuple):
    """Samples to learn from, or to test on."""

    inputs: Tensor  # [N, ...], as the network takes them
    targets: Tensor  # classes, [N] int64; or numbers, [N, outputs] floating

    def to(self, device: torch.device) -> "Split":
        """Return the same samples on a device."""
        return Split(self.inputs.to(device), self.targets.to(device))


class Task(ABC):
    """A train and a test split, and how to judge outputs for them.

    Outputs and targets are of any M samples; nothing here depends on which.

    Args:
        train: The first n_T samples of it are learned from.
        test: Never learned from.
    """

    def __init__(self, train: Split, test: Split) -> None:
        self.train, self.test = train, test

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each sample, [M].

        Args:
            outputs: [M, outputs].
            targets: [M] or [M, outputs], as the splits hold them.
        """

    @abstractmethod
    def function(self, outputs: Tensor) -> Tensor:
        """Return f of each sample, [M], whose interference is measured (eq. 8)."""

    @abstractmethod
    def performance(self, outputs: Tensor, targets: Tensor) -> float:
        """Return what the samples' outputs are worth, as the paper reports it."""
