"""Small networks of one shape that learn side by side, stacked into one.

Most of the time of a single small MLP goes to starting operations, and the stack starts each once
for all. Convolutions gain nothing on a CPU and lose 4% to 25% as one grouped convolution, so such
networks take turns (benchmarks/stacked_training.py).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from td_interference.generalization.side_by_side import Reduce, Reduced, SeparateLearners, Value
from td_interference.gradients import PerSampleGradients
from td_interference.gradients.records import FactoredGradient, LayerGradient
from td_interference.optimizers import make_optimizer

# Gradients of stacked networks made at a time: larger batches fall out of the processor's cache
# (24 MLPs of 218,000 parameters at once took three times as long as in batches).
BATCH_BYTES = 4 * 2**20

_ELEMENTWISE = (nn.LeakyReLU, nn.ReLU, nn.Tanh, nn.Identity)


class StackedLinear(nn.Module):
    """R linear layers of one shape, with a bias, as one batched matrix product."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        weights = torch.stack([layer.weight.detach().T for layer in layers])
        biases = torch.stack([layer.bias.detach()[None] for layer in layers])
        self.weight = nn.Parameter(weights.contiguous())  # [R, I, O]
        self.bias = nn.Parameter(biases)  # [R, 1, O]

    def forward(self, inputs: Tensor, layers: slice = slice(None)) -> Tensor:
        """Return the outputs of some or all layers for their own inputs, [R, N, I] to [R, N, O]."""
        return torch.baddbmm(self.bias[layers], inputs, self.weight[layers])


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
    """MLPs as one network of batched matrix products, with one fused Adam for all.

    Its methods are those of `SeparateLearners`.

    Args:
        networks: R of them, all `stackable`, trainable and of one shape; they are copied.
        learning_rate: Of Adam.
    """

    def __init__(self, networks: Sequence[nn.Module], learning_rate: float) -> None:
        self._unstacked = list(networks)
        self._stack = nn.Sequential(
            *(
                StackedLinear(modules) if isinstance(modules[0], nn.Linear) else modules[0]
                for modules in zip(*networks, strict=True)
            )
        )
        self._optimizer = make_optimizer(
            "adam", self._stack.parameters(), learning_rate=learning_rate
        )

    def update(self, inputs: Tensor, targets: Tensor, loss: Value) -> Tensor:
        """See `SeparateLearners`."""
        outputs = self._stack(inputs)
        losses = _of_each(loss, outputs, targets).mean(1)
        self._optimizer.zero_grad()
        losses.sum().backward()  # a sum, so that each gradient is that of a network's own mean
        self._optimizer.step()
        return losses.detach()

    @torch.no_grad()
    def outputs(self, inputs: Tensor) -> Tensor:
        """See `SeparateLearners`."""
        return self._stack(inputs)

    def reduce_gradients(
        self, inputs: Tensor, targets: Tensor, values: Sequence[Value], reduce: Reduce[Reduced]
    ) -> list[list[Reduced]]:
        """See `SeparateLearners`; one forward pass a batch, and one backward pass for each value.

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
        """See `SeparateLearners`."""
        for run, network in enumerate(self._unstacked):
            for name, module in self._stack.named_children():
                if isinstance(module, StackedLinear):
                    network.get_parameter(f"{name}.weight").copy_(module.weight[run].T)
                    network.get_parameter(f"{name}.bias").copy_(module.bias[run, 0])
        return self._unstacked

    def state_dict(self) -> dict[str, Any]:
        """See `SeparateLearners`."""
        return {"stack": self._stack.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `SeparateLearners`."""
        self._stack.load_state_dict(state["stack"])
        self._optimizer.load_state_dict(state["optimizer"])


Learners = SeparateLearners | StackedLearners


def make_learners(networks: Sequence[nn.Module], learning_rate: float) -> Learners:
    """Return the learners that are faster for these networks (see the head of this module)."""
    kind = StackedLearners if all(map(stackable, networks)) else SeparateLearners
    return kind(networks, learning_rate)


def _of_each(value: Value, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the value of each sample of each network, [R, N]."""
    return value(outputs.flatten(0, 1), targets.flatten(0, 1)).view(outputs.shape[:2])
