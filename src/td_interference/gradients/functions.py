"""f of each sample as a function of a network's parameters, and its derivatives of both orders."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp

from td_interference.device import full_precision
from td_interference.errors import UserError
from td_interference.gradients.alone import row_wise, uncompiled
from td_interference.gradients.chain import Change, Changes
from td_interference.gradients.per_sample import PerSampleGradients
from td_interference.gradients.records import FactoredGradient, LayerGradient
from td_interference.gradients.unchanged import NetworkState
from td_interference.gradients.values import first_line

Direction = dict[str, Tensor]  # one per trainable parameter, by its name in the network
Value = Callable[[Tensor], Tensor]  # of outputs [N, ...], giving f, [N]


@contextmanager
def computing(device: torch.device) -> Iterator[None]:
    """Compute exactly within the block; what fails in there is an operation of the network.

    Raises:
        UserError: Says which.
    """
    try:
        with full_precision(device), uncompiled():
            yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"no second derivatives: {first_line(error)}; put the network in evaluation mode "
            "(.eval()), or replace the operation by one with derivatives in forward mode"
        ) from error


def state_of(network: nn.Module) -> NetworkState:
    """Return the state of a network as it is now, to which `run` brings it back."""
    return NetworkState(network, set(), plain=row_wise(network))


def run(network: nn.Module, parameters: Direction, inputs: Tensor, state: NetworkState) -> Tensor:
    """Return the outputs of a network with other parameters, and leave it and the inputs alone.

    Args:
        network: The network.
        parameters: In place of its own.
        inputs: [N, ...].
        state: The network's, to return to.
    """
    # What a network may write to must be made within the transforms of torch.func.
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    try:
        return functional_call(network, {**buffers, **parameters}, (inputs.clone(),))
    finally:
        state.restore()


def inner(a: Direction, b: Direction) -> Tensor:
    """Return the inner product of two directions, a scalar."""
    return torch.stack([(a[name] * b[name]).sum() for name in a]).sum()


class Functions(NamedTuple):
    """f of N samples as functions of the trainable parameters."""

    network: nn.Module
    inputs: Tensor
    value: Value
    gradients: PerSampleGradients
    parameters: Direction  # detached
    outputs: Tensor  # of the network, detached
    state: NetworkState  # to which the network returns after each pass

    def names(self, layer: str) -> list[str]:
        """Name the parameters whose gradients a layer holds, in the order it holds them."""
        own = self.network.get_submodule(layer).named_parameters(layer, recurse=False)
        return [name for name, _ in own if name in self.parameters]  # a shared one has one name

    def gradient(self, n: int) -> Direction:
        """Return ∇f of sample n, written out."""
        written = (self._of_layer(layer, n) for layer in self.gradients.layers)
        return {name: part for own in written for name, part in own.items()}

    def _of_layer(self, layer: str, n: int) -> Direction:
        flat = self.gradients.layers[layer].of_sample(n) * self.gradients.scale[n]
        own = self.names(layer)
        parts = flat.split([self.parameters[name].numel() for name in own])
        return {
            name: part.view(self.parameters[name].shape)
            for name, part in zip(own, parts, strict=True)
        }

    def changes(self, direction: Direction) -> Changes:
        """Return a direction as `Chain` takes it."""
        return {layer: self._change(layer, direction) for layer in self.gradients.layers}

    def changes_of_sample(self, n: int) -> Changes:
        """Return ∇f of sample n as `Chain` takes it; of Linear layers it is not written out."""
        changes = {}
        for layer, rows in self.gradients.layers.items():
            if isinstance(rows, FactoredGradient):
                outer = rows.output_gradient[n] * self.gradients.scale[n]
                factors = (outer, rows.activation[n]) if rows.activation.shape[1] else None
                changes[layer] = Change(None, outer if rows.bias else None, factors)
            else:
                changes[layer] = self._change(layer, self._of_layer(layer, n))
        return changes

    def _change(self, layer: str, direction: Direction) -> Change:
        own = {name.rpartition(".")[2]: direction[name] for name in self.names(layer)}
        return Change(own.get("weight"), own.get("bias"))

    def products(self, terms: Iterable[tuple[str, list[LayerGradient]]]) -> Tensor:
        """Return the inner products of each sample's ∇f with directions, [N, K].

        Args:
            terms: Of each layer, the K directions' part as the sum of gradients of this layer.
        """
        layers = self.gradients.layers
        grams = [layers[layer].gram(part) for layer, parts in terms for part in parts]
        return torch.stack(grams).sum(0) * self.gradients.scale[:, None]

    def along(self, direction: Direction) -> Tensor:
        """Return ∇f_n · direction for each sample, [N]."""
        total = torch.zeros_like(self.gradients.scale)
        for layer, rows in self.gradients.layers.items():
            total += rows.along([direction[name] for name in self.names(layer)])
        return total * self.gradients.scale

    def derivatives(self, direction: Direction) -> tuple[Tensor, Tensor]:
        """Return the first and second derivative of each sample's f along a direction, [N] each."""

        def functions(parameters: Direction) -> Tensor:
            return self.value(run(self.network, parameters, self.inputs, self.state))

        def first_derivative(parameters: Direction) -> Tensor:
            return jvp(functions, (parameters,), (direction,))[1]

        first, second = jvp(first_derivative, (self.parameters,), (direction,))[:2]
        return first, second

    def hessian_product(self, n: int, direction: Direction) -> Direction:
        """Return H_n times a direction, by a pass of sample n alone."""

        def function(parameters: Direction) -> Tensor:
            output = run(self.network, parameters, self.inputs[n : n + 1], self.state)
            # `value` may know each row's place in the batch, such as the action taken there.
            batch = torch.cat([self.outputs[:n], output, self.outputs[n + 1 :]])
            return self.value(batch)[n]

        return jvp(grad(function), (self.parameters,), (direction,))[1]
