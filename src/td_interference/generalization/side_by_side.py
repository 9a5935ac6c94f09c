"""R networks of one shape that learn side by side, whatever they are: one after the other."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from td_interference.gradients import PerSampleGradients, per_sample_gradients
from td_interference.gradients.records import DenseGradient, FactoredGradient, LayerGradient
from td_interference.optimizers import make_optimizer

# Maps the outputs [M, outputs] and targets [M, ...] of any M samples to a number of each, [M].
Value = Callable[[Tensor, Tensor], Tensor]

Reduced = TypeVar("Reduced")
Reduce = Callable[[PerSampleGradients, slice], Reduced]  # of a batch of networks, and which


class SeparateLearners:
    """R networks of one shape, each with its own samples, parameters and Adam state.

    Args:
        networks: R of them; they are trained in place.
        learning_rate: Of Adam.
    """

    def __init__(self, networks: Sequence[nn.Module], learning_rate: float) -> None:
        self._networks = list(networks)
        self._optimizers = [
            make_optimizer("adam", network.parameters(), learning_rate=learning_rate)
            for network in networks
        ]

    def update(self, inputs: Tensor, targets: Tensor, loss: Value) -> Tensor:
        """Let each network take one step on the mean loss of its minibatch.

        Args:
            inputs: [R, B, ...], the minibatch of each.
            targets: [R, B, ...].
            loss: Of each sample.

        Returns:
            The mean losses before the step, [R], detached.
        """
        losses = []
        for run, (network, optimizer) in enumerate(
            zip(self._networks, self._optimizers, strict=True)
        ):
            mean = loss(network(inputs[run]), targets[run]).mean()
            optimizer.zero_grad()
            mean.backward()
            optimizer.step()
            losses.append(mean.detach())
        return torch.stack(losses)

    @torch.no_grad()
    def outputs(self, inputs: Tensor) -> Tensor:
        """Return each network's outputs for its inputs [R, N, ...]: [R, N, outputs], detached."""
        return torch.stack([network(inputs[run]) for run, network in enumerate(self._networks)])

    def reduce_gradients(
        self, inputs: Tensor, targets: Tensor, values: Sequence[Value], reduce: Reduce[Reduced]
    ) -> list[list[Reduced]]:
        """Return what `reduce` makes of the per-sample gradients of all networks.

        Those of one value and batch of networks, here of one network, are in memory at a time
        (1.6 GB at most, in the paper); they are those of `gradients.per_sample_gradients`.

        Args:
            inputs: [R, N, ...], the samples of each.
            targets: [R, N, ...].
            values: What to differentiate.
            reduce: Takes tensors [networks, N, ...], which it must not keep.

        Returns:
            For each value, the results of the batches, in the order of the networks.
        """
        results: list[list[Reduced]] = [[] for _ in values]
        for run, network in enumerate(self._networks):
            for value, result in zip(values, results, strict=True):

                def own(outputs: Tensor, value: Value = value, run: int = run) -> Tensor:
                    return value(outputs, targets[run])

                one = per_sample_gradients(network, inputs[run], own)
                result.append(reduce(batch_of_one(one), slice(run, run + 1)))
                del one  # before the next are made
        return results

    def networks(self) -> list[nn.Module]:
        """Return the R networks as they are now; not to be changed."""
        return self._networks

    def state_dict(self) -> dict[str, Any]:
        """Return the parameters and the state of Adam of all."""
        return {"parts": [part.state_dict() for part in self._parts()]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to where `state_dict` was called."""
        for part, own in zip(self._parts(), state["parts"], strict=True):
            part.load_state_dict(own)

    def _parts(self) -> list[nn.Module | torch.optim.Optimizer]:
        return [*self._networks, *self._optimizers]


def batch_of_one(gradients: PerSampleGradients) -> PerSampleGradients:
    """Return the gradients of one network, [N, ...], as those of a batch of one, [1, N, ...]."""
    layers: dict[str, LayerGradient] = {}
    for name, layer in gradients.layers.items():
        if isinstance(layer, FactoredGradient):
            layers[name] = FactoredGradient(
                layer.activation[None], layer.output_gradient[None], layer.bias
            )
        else:
            layers[name] = DenseGradient(layer.dense()[None])
    return PerSampleGradients(gradients.scale[None], layers)
