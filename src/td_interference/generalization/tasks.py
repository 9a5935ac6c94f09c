"""What is learned from a data set: per-sample loss, the function f, performance (paper, B.1)."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from td_interference.errors import UserError
from td_interference.planning.cells import Experiment


class Split(NamedTuple):
    """Samples to learn from, or to test on."""

    inputs: Tensor  # [N, ...], as the network takes them
    targets: Tensor  # classes, [N] int64; or numbers, [N, outputs] or [N] floating

    def to(self, device: torch.device) -> "Split":
        """Return the same samples on a device."""
        return Split(self.inputs.to(device), self.targets.to(device))


class Task(ABC):
    """A train and a test split, and how to judge outputs for them.

    Outputs and targets are of any M samples; nothing here depends on which.
    """

    def __init__(self, train: Split, test: Split) -> None:
        """Check that the splits fit each other.

        Args:
            train: The first n_T samples of it are learned from.
            test: Never learned from.

        Raises:
            UserError: If they do not fit each other.
        """
        for name, split in (("train", train), ("test", test)):
            if len(split.inputs) != len(split.targets):
                raise UserError(
                    f"the data's {name} split has {len(split.inputs)} inputs but "
                    f"{len(split.targets)} targets; give each input its target"
                )
        for name in Split._fields:
            shapes = [list(getattr(split, name).shape[1:]) for split in (train, test)]
            if shapes[0] != shapes[1]:
                raise UserError(
                    f"the data's {name} are {shapes[0]} each in train and {shapes[1]} in test; "
                    "give both splits one shape"
                )
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


class Classification(Task):
    """Cross entropy; f is the largest output, performance the accuracy."""

    def __init__(self, train: Split, test: Split) -> None:
        """See `Task`; targets are classes.

        Raises:
            UserError: If they are not, or the splits do not fit each other.
        """
        super().__init__(train, test)
        for name, split in (("train", train), ("test", test)):
            if split.targets.dtype != torch.int64 or split.targets.ndim != 1:
                raise UserError(
                    f"the data's {name} targets are {split.targets.dtype} "
                    f"{list(split.targets.shape)}; classification takes one class per sample, int64"
                )

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the cross entropy of each sample, [M], nats."""
        return functional.cross_entropy(outputs, targets, reduction="none")

    def function(self, outputs: Tensor) -> Tensor:
        """Return the largest output (before the softmax), [M]."""
        return outputs.amax(1)

    def performance(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the accuracy, 0..1."""
        return (outputs.argmax(1) == targets).double().mean().item()


class Regression(Task):
    """Squared error; f is the mean output, performance the error in units of the variance."""

    def __init__(self, train: Split, test: Split) -> None:
        """See `Task`; targets are numbers, and get one column where they have none.

        Raises:
            UserError: If they are not, or the splits do not fit each other, or an output is
                constant.
        """
        super().__init__(*(self._with_columns(split) for split in (train, test)))
        # Over all of the train split, not the n_T samples: a unit that is the same for every run.
        self.variance = self.train.targets.double().var(0, correction=0)
        constant = (self.variance == 0).nonzero().flatten().tolist()
        if constant:
            raise UserError(f"the data's output {constant[0]} is constant in train; leave it out")

    @staticmethod
    def _with_columns(split: Split) -> Split:
        if not split.targets.is_floating_point() or split.targets.ndim not in (1, 2):
            raise UserError(
                f"regression takes floating targets [N] or [N, outputs], not "
                f"{split.targets.dtype} {list(split.targets.shape)}"
            )
        return Split(split.inputs, split.targets.reshape(len(split.targets), -1))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean over outputs of the squared error of each sample, [M], units of y².

        Raises:
            ValueError: If the shapes differ, which would spread [M, 1] over [M, M] silently.
        """
        if outputs.shape != targets.shape:
            raise ValueError(f"outputs {list(outputs.shape)}, targets {list(targets.shape)}")
        return (outputs - targets).square().mean(1)

    def function(self, outputs: Tensor) -> Tensor:
        """Return the mean output, [M]."""
        return outputs.mean(1)

    def performance(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the squared error over the train variance of its output, mean of all.

        1 is as bad as the train split's mean.
        """
        squared = (outputs.double() - targets.double()).square()
        return (squared / self.variance.to(squared.device)).mean().item()


def make_task(experiment: Experiment, train: Split, test: Split) -> Task:
    """Return the task of an experiment.

    Args:
        experiment: A name of `cells.EXPERIMENTS`.
        train: The first n_T samples of it are learned from.
        test: Never learned from.

    Raises:
        UserError: If the data do not fit the experiment.
    """
    tasks: dict[str, type[Task]] = {"classification": Classification, "regression": Regression}
    return tasks[experiment](train, test)
