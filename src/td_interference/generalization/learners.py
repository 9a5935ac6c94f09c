"""R networks of one shape that learn side by side: stacked into one, or one after the other.

Small MLPs are stacked: most of the time of a single one goes to starting operations, and the stack
starts each once for all. Convolutions gain nothing on a CPU and lose 4% to 25% as one grouped
convolution, so such networks take turns (benchmarks/stacked_training.py).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from td_interference.generalization.stacked_linear import StackedLinear
from td_interference.gradients import PerSampleGradients, per_sample_gradients
from td_interference.gradients.layers import DenseGradient, FactoredGradient, LayerGradient
from td_interference.optimizers import make_optimizer

# Maps the outputs [M, outputs] and targets [M, ...] of any M samples to a number of each, [M].
Value = Callable[[Tensor, Tensor], Tensor]

Reduced = TypeVar("Reduced")
Reduce = Callable[[PerSampleGradients, slice], Reduced]  # of a batch of networks, and which

# Gradients of stacked networks made at a time: larger batches fall out of the processor's cache
# (24 MLPs of 218,000 parameters at once took three times as long as in batches).
BATCH_BYTES = 4 * 2**20

_ELEMENTWISE = (nn.LeakyReLU, nn.ReLU, nn.Tanh, nn.Identity)


class Learners(Protocol):
    """R networks, each with its own samples, parameters and Adam state."""

    def update(self, inputs: Tensor, targets: Tensor, loss: Value) -> Tensor:
        """Let each network take one step on the mean loss of its minibatch.

        Args:
            inputs: [R, B, ...], the minibatch of each.
            targets: [R, B, ...].
            loss: Of each sample.

        Returns:
            The mean losses before the step, [R], detached.
        """

    def outputs(self, inputs: Tensor) -> Tensor:
        """Return each network's outputs for its inputs [R, N, ...]: [R, N, outputs], detached."""

    def reduce_gradients(
        self, inputs: Tensor, targets: Tensor, values: Sequence[Value], reduce: Reduce[Reduced]
    ) -> list[list[Reduced]]:
        """Return what `reduce` makes of the per-sample gradients of all networks.

        Those of one value and batch of networks are in memory at a time (1.6 GB at most, in the
        paper); they are those of `gradients.per_sample_gradients`.

        Args:
            inputs: [R, N, ...], the samples of each.
            targets: [R, N, ...].
            values: What to differentiate.
            reduce: Takes tensors [networks, N, ...], which it must not keep.

        Returns:
            For each value, the results of the batches, in the order of the networks.
        """

    def networks(self) -> list[nn.Module]:
        """Return the R networks as they are now; not to be changed."""

    def state_dict(self) -> dict[str, Any]:
        """Return the parameters and the state of Adam of all."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to where `state_dict` was called."""


def stackable(network: nn.Module) -> bool:
    """Whether a network is a plain chain of linear layers with biases and activations."""
    return type(network) is nn.Sequential and all(
        type(module) in _ELEMENTWISE or (type(module) is nn.Linear and module.bias is not None)
        for module in network
    )


class _StackedCall(NamedTuple):
    """One call of a stacked layer."""

    activation: Tensor  # its input, [R, N, I], detached
    output: Tensor  # [R, N, O]


class StackedLearners:
    """MLPs as one network of batched matrix products, with one fused Adam for all."""

    def __init__(self, networks: Sequence[nn.Module], learning_rate: float) -> None:
        """Copy the networks, which all are `stackable` and of one shape.

        Args:
            networks: R of them, all trainable.
            learning_rate: Of Adam.

        Raises:
            ValueError: If a network cannot be stacked.
        """
        if not all(map(stackable, networks)):
            raise ValueError("only chains of linear layers and activations can be stacked")
        self._unstacked = list(networks)
        self._stack = nn.Sequential(
            *(
                StackedLinear(modules) if isinstance(modules[0], nn.Linear) else modules[0]
                for modules in zip(*networks, strict=True)
            )
        )
        self._optimizer = _adam(self._stack, learning_rate)

    def update(self, inputs: Tensor, targets: Tensor, loss: Value) -> Tensor:
        """See `Learners`."""
        outputs = self._stack(inputs)
        losses = _of_each(loss, outputs, targets).mean(1)
        self._optimizer.zero_grad()
        losses.sum().backward()  # a sum, so that each gradient is that of a network's own mean
        self._optimizer.step()
        return losses.detach()

    @torch.no_grad()
    def outputs(self, inputs: Tensor) -> Tensor:
        """See `Learners`."""
        return self._stack(inputs)

    def reduce_gradients(
        self, inputs: Tensor, targets: Tensor, values: Sequence[Value], reduce: Reduce[Reduced]
    ) -> list[list[Reduced]]:
        """See `Learners`; one forward pass for a batch, and one backward pass for each value.

        The gradient of a linear layer is the outer product of the gradient with respect to its
        output and its input, as in `gradients.layers`.
        """
        results: list[list[Reduced]] = [[] for _ in values]
        n_samples, element_size = inputs.shape[1], inputs.element_size()
        linear = [module for module in self._stack if isinstance(module, StackedLinear)]
        widths = sum(sum(module.weight.shape[1:]) for module in linear)
        sizes = sum(module.weight[0].numel() for module in linear)
        size = max(1, BATCH_BYTES // (element_size * (n_samples * widths + sizes)))
        for start in range(0, len(inputs), size):
            batch = slice(start, start + size)
            calls: dict[str, _StackedCall] = {}
            hidden = inputs[batch]
            for name, module in self._stack.named_children():
                if isinstance(module, StackedLinear):
                    activation, hidden = hidden, module(hidden, batch)
                    calls[name] = _StackedCall(activation.detach(), hidden)
                else:
                    hidden = module(hidden)
            for value, result in zip(values, results, strict=True):
                result.append(reduce(self._backward(calls, hidden, targets[batch], value), batch))
        return results

    @staticmethod
    def _backward(
        calls: dict[str, _StackedCall], outputs: Tensor, targets: Tensor, value: Value
    ) -> PerSampleGradients:
        leaf = outputs.detach().requires_grad_()
        (output_gradient,) = torch.autograd.grad(_of_each(value, leaf, targets).sum(), leaf)
        scale = output_gradient.abs().amax(2)  # [R, N]; see `PerSampleGradients`
        deltas = torch.autograd.grad(
            outputs,
            [call.output for call in calls.values()],
            output_gradient / torch.where(scale > 0, scale, 1)[..., None],
            retain_graph=True,  # for the next value
        )
        factors: dict[str, LayerGradient] = {
            name: FactoredGradient(call.activation, delta, bias=True)
            for (name, call), delta in zip(calls.items(), deltas, strict=True)
        }
        return PerSampleGradients(scale, factors)

    @torch.no_grad()
    def networks(self) -> list[nn.Module]:
        """See `Learners`."""
        for run, network in enumerate(self._unstacked):
            for name, module in self._stack.named_children():
                if isinstance(module, StackedLinear):
                    network.get_parameter(f"{name}.weight").copy_(module.weight[run].T)
                    network.get_parameter(f"{name}.bias").copy_(module.bias[run, 0])
        return self._unstacked

    def state_dict(self) -> dict[str, Any]:
        """See `Learners`."""
        return {"stack": self._stack.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Learners`."""
        self._stack.load_state_dict(state["stack"])
        self._optimizer.load_state_dict(state["optimizer"])


class SeparateLearners:
    """Networks of any kind, one after the other in one process."""

    def __init__(self, networks: Sequence[nn.Module], learning_rate: float) -> None:
        """Take over the networks.

        Args:
            networks: R of them; they are trained in place.
            learning_rate: Of Adam.
        """
        self._networks = list(networks)
        self._optimizers = [_adam(network, learning_rate) for network in networks]

    def update(self, inputs: Tensor, targets: Tensor, loss: Value) -> Tensor:
        """See `Learners`."""
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
        """See `Learners`."""
        return torch.stack([network(inputs[run]) for run, network in enumerate(self._networks)])

    def reduce_gradients(
        self, inputs: Tensor, targets: Tensor, values: Sequence[Value], reduce: Reduce[Reduced]
    ) -> list[list[Reduced]]:
        """See `Learners`; a batch is one network."""
        results: list[list[Reduced]] = [[] for _ in values]
        for run, network in enumerate(self._networks):
            for value, result in zip(values, results, strict=True):
                own = partial(_with_targets, value, targets[run])
                one = per_sample_gradients(network, inputs[run], own)
                result.append(reduce(batch_of_one(one), slice(run, run + 1)))
                del one  # before the next are made
        return results

    def networks(self) -> list[nn.Module]:
        """See `Learners`."""
        return self._networks

    def state_dict(self) -> dict[str, Any]:
        """See `Learners`."""
        return {"parts": [part.state_dict() for part in self._parts()]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Learners`."""
        for part, own in zip(self._parts(), state["parts"], strict=True):
            part.load_state_dict(own)

    def _parts(self) -> list[nn.Module | torch.optim.Optimizer]:
        return [*self._networks, *self._optimizers]


def make_learners(networks: Sequence[nn.Module], learning_rate: float) -> Learners:
    """Return the learners that are faster for these networks (see the head of this module).

    Args:
        networks: R of them, of one shape.
        learning_rate: Of Adam.
    """
    kind = StackedLearners if all(map(stackable, networks)) else SeparateLearners
    return kind(networks, learning_rate)


def _of_each(value: Value, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the value of each sample of each network, [R, N]."""
    return value(outputs.flatten(0, 1), targets.flatten(0, 1)).view(outputs.shape[:2])


def _with_targets(value: Value, targets: Tensor, outputs: Tensor) -> Tensor:
    return value(outputs, targets)


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


def _adam(network: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    return make_optimizer(
        "adam", network.parameters(), learning_rate=learning_rate, weight_decay=0.0, momentum=0.0
    )
