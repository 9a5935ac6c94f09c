"""Classification of images (paper, section 4 and appendix B.1)."""

import torch
from torch import Tensor
from torch.nn import functional

from td_interference.errors import UserError
from td_interference.generalization.tasks import Split, Task

LEARNER = {
    "title": "classification",
    "family": "supervised",
    "data": "images",
    "function": "the largest output, before the softmax",
    "performance": "accuracy",
}


class Learner(Task):
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
