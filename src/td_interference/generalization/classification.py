"""Classification of images (paper, section 4 and appendix B.1)."""

from torch import Tensor
from torch.nn import functional

from td_interference.generalization.tasks import Task

LEARNER = {
    "title": "classification",
    "family": "supervised",
    "data": "images",
    "function": "the largest output, before the softmax",
    "performance": "accuracy",
}


class Learner(Task):
    """Cross entropy; f is the largest output, performance the accuracy."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the cross entropy of each sample, [M], nats."""
        return functional.cross_entropy(outputs, targets, reduction="none")

    def function(self, outputs: Tensor) -> Tensor:
        """Return the largest output (before the softmax), [M]."""
        return outputs.amax(1)

    def performance(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the accuracy, 0..1."""
        return (outputs.argmax(1) == targets).double().mean().item()
