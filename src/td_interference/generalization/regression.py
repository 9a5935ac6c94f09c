"""Regression of numbers on features (paper, section 4 and appendix B.1)."""

from torch import Tensor

from td_interference.errors import UserError
from td_interference.generalization.tasks import Split, Task

LEARNER = {
    "title": "regression",
    "family": "supervised",
    "data": "regression",
    # Small MLPs train faster together; convolutional networks take turns anyway.
    "together": True,
    "function": "the mean output",
    "performance": "error / variance",
    "higher_is_better": False,
    "decades": True,
}


class Learner(Task):
    """Squared error; f is the mean output, performance the error in units of the variance."""

    def __init__(self, train: Split, test: Split) -> None:
        """See `Task`.

        Raises:
            UserError: If an output is constant.
        """
        super().__init__(train, test)
        # Over all of the train split, not the n_T samples: a unit that is the same for every run.
        self.variance = self.train.targets.double().var(0, correction=0)
        constant = (self.variance == 0).nonzero().flatten().tolist()
        if constant:
            raise UserError(f"the data's output {constant[0]} is constant in train; leave it out")

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
