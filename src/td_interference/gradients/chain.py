"""First and second derivatives along a chain of layers, by tangents instead of nested transforms.

A step ε along a direction D of the parameters moves the input x of each layer by ε ẋ, and the
gradient λ of f with respect to its output by ε λ̇. A layer with weights W, whose part of D is dW,
has

    ẋ_next = W ẋ + dW x,    λ̇_before = W' λ̇ + dW' λ,

an activation φ of z has ẋ_next = φ' ż and λ̇_before = φ' λ̇ + φ'' ż λ. The second derivative of f
along D is then Σ 2 λ · (dW ẋ) over the layers, Σ λ φ'' ż² over the activations, and that of `value`
along the outputs' own tangent. H D, the Hessian times D, is λ̇ x' + λ ẋ' in each layer.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.grad import conv1d_input, conv2d_input, conv3d_input

from td_interference.gradients.alone import row_wise
from td_interference.gradients.layers import has_rule, layer_gradient
from td_interference.gradients.records import (
    DenseGradient,
    FactoredGradient,
    LayerGradient,
    PositionedGradient,
)

_CONVOLUTIONS: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.Conv1d: conv1d_input,
    nn.Conv2d: conv2d_input,
    nn.Conv3d: conv3d_input,
}


class Change(NamedTuple):
    """A direction's part in one layer: of its weight, and of its bias."""

    weight: Tensor | None  # shaped as the layer's; None where it is 0
    bias: Tensor | None
    # Of a Linear layer: the weight's part as outer(*factors), which is not written out.
    factors: tuple[Tensor, Tensor] | None = None  # [O], [I]


_NOTHING = Change(None, None)  # of a frozen layer
Changes = dict[str, Change]  # by the name of the layer


class Weighted(NamedTuple):
    """A layer with parameters, in a pass over N samples."""

    name: str
    module: Any  # Linear or a convolution
    input: Tensor  # x, [N, ...]
    gradient: Tensor  # λ, of f with respect to the layer's output, [N, ...]

    def apply(self, weight: Tensor, activation: Tensor) -> Tensor:
        """Return what another weight makes of an input, without a bias."""
        if isinstance(self.module, nn.Linear):
            return activation @ weight.T
        return self.module._conv_forward(activation, weight, None)

    def transposed(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """Return the gradient with respect to the input from that with respect to the output."""
        if isinstance(self.module, nn.Linear):
            return gradient @ weight
        module = self.module
        return _CONVOLUTIONS[type(module)](
            (len(gradient), *self.input.shape[1:]),
            weight,
            gradient,
            module.stride,
            module.padding,
            module.dilation,
            module.groups,
        )

    def changed(self, change: Change, activation: Tensor) -> Tensor | None:
        """Return dW times an input; None where dW is 0."""
        if change.factors is not None:
            outer, inner = change.factors
            return (activation @ inner)[:, None] * outer
        return None if change.weight is None else self.apply(change.weight, activation)


class Pointwise(NamedTuple):
    """An activation function, in a pass over N samples."""

    slope: Tensor  # φ', [N, ...]
    curvature: Tensor | None  # φ''; None where it is 0 everywhere
    gradient: Tensor  # λ, of f with respect to its output


class Reshape(NamedTuple):
    """A layer that only flattens."""

    module: nn.Flatten
    shape: torch.Size  # of its input


Link = Weighted | Pointwise | Reshape


class Tangents(NamedTuple):
    """What a direction does to a pass."""

    first: Tensor  # derivative of f, [N]
    second: Tensor  # second derivative of f, [N]
    inputs: list[Tensor | None]  # ẋ of each link, [N, ...]; None where it is 0
    output_gradient: Tensor  # λ̇ of the outputs, [N, ...]

    def row(self, n: int) -> "Tangents":
        """Return those of one sample, as of a batch."""
        one = slice(n, n + 1)
        inputs = [None if tangent is None else tangent[one] for tangent in self.inputs]
        return Tangents(self.first[one], self.second[one], inputs, self.output_gradient[one])


class Chain(NamedTuple):
    """f of N samples by a chain of layers, and its derivatives along directions."""

    links: list[Link]  # from the first with parameters on
    outputs: Tensor  # of the last, a leaf, [N, ...]
    gradient: Tensor  # ∂f/∂outputs, a function of these, [N, ...]

    def row(self, n: int) -> "Chain":
        """Return the chain of one sample, but for `value`, which only `tangents` asks for."""
        one = slice(n, n + 1)
        links: list[Link] = []
        for link in self.links:
            if isinstance(link, Weighted):
                link = link._replace(input=link.input[one], gradient=link.gradient[one])
            elif isinstance(link, Pointwise):
                curved = None if link.curvature is None else link.curvature[one]
                link = Pointwise(link.slope[one], curved, link.gradient[one])
            else:
                link = Reshape(link.module, torch.Size([1, *link.shape[1:]]))
            links.append(link)
        return Chain(links, self.outputs[one], self.gradient[one])

    def tangents(self, changes: Changes) -> Tangents:
        """Return what one direction does to every sample, by one forward pass of tangents."""
        moved: Tensor | None = None
        second = self.outputs.new_zeros(len(self.outputs))
        inputs = []
        for link in self.links:
            inputs.append(moved)
            if isinstance(link, Weighted):
                change = changes.get(link.name, _NOTHING)
                parts = [link.changed(change, link.input)]
                if moved is not None:
                    parts.append(link.apply(link.module.weight.detach(), moved))
                    if (bent := link.changed(change, moved)) is not None:
                        second += 2 * _per_sample(link.gradient, bent)
                moved = _sum(parts)
                if change.bias is not None:
                    bias = change.bias.view(-1, *[1] * (link.gradient.ndim - 2))
                    moved = bias.expand_as(link.gradient) if moved is None else moved + bias
            elif moved is None:
                continue
            elif isinstance(link, Reshape):
                moved = link.module(moved)
            else:
                if link.curvature is not None:
                    second += _per_sample(link.gradient * link.curvature, moved.square())
                moved = link.slope * moved
        if moved is None:  # a direction of zeros
            moved = torch.zeros_like(self.outputs)
        turned = torch.zeros_like(self.outputs)
        if self.gradient.requires_grad:
            turned = torch.autograd.grad(
                self.gradient, self.outputs, moved, retain_graph=True, materialize_grads=True
            )[0]
            second += _per_sample(turned, moved)
        return Tangents(_per_sample(self.gradient.detach(), moved), second, inputs, turned)

    def hessian_product(
        self, changes: Changes, tangents: Tangents
    ) -> Iterator[tuple[str, list[LayerGradient]]]:
        """Yield H_n D of each sample in each layer, as the sum of gradients of this layer.

        Args:
            changes: The direction D.
            tangents: What it does, as `tangents` returned it.
        """
        turned: Tensor = tangents.output_gradient
        for link, moved in zip(reversed(self.links), reversed(tangents.inputs), strict=True):
            if isinstance(link, Weighted):
                if link.name in changes:
                    yield link.name, _layer_terms(link, turned, moved)
                if link is self.links[0]:
                    return
                before = link.transposed(link.module.weight.detach(), turned)
                turned = before + _changed_back(link, changes.get(link.name, _NOTHING))
            elif isinstance(link, Reshape):
                turned = turned.reshape(link.shape)
            else:
                before = link.slope * turned
                if link.curvature is not None and moved is not None:
                    before = before + link.curvature * moved * link.gradient
                turned = before


def chain_of(network: nn.Module, inputs: Tensor, value: Callable[[Tensor], Tensor]) -> Chain | None:
    """Return a network's pass over a batch, or None if it is no chain of layers that are known.

    These are Linear layers and zero-padded convolutions, activations that act on each number, and
    Flatten, each with parameters of its own.

    Args:
        network: As `check_network` returned it.
        inputs: [N, ...].
        value: Maps the outputs to f, [N].
    """
    parameters = [p for m in network.modules() for p in m.parameters(recurse=False)]
    if not row_wise(network) or len(set(parameters)) < len(parameters):
        return None
    passes: list[tuple[str, nn.Module, Tensor, Tensor]] = []
    activation = inputs.clone()
    for name, module in network.named_modules(remove_duplicate=False):
        if isinstance(module, nn.Sequential | nn.Identity):
            continue
        if list(module.parameters()):
            padding = getattr(module, "padding", ())
            plain = getattr(module, "padding_mode", "zeros") == "zeros" and padding != "same"
            sequence = isinstance(module, nn.Linear) and activation.ndim > 2
            if not has_rule(module, activation) or not plain or sequence:
                return None
        elif not passes:  # no direction moves what comes before the first parameters
            activation = module(activation)
            continue
        before = activation.detach().requires_grad_()
        with torch.enable_grad():
            activation = module(before.clone())
        passes.append((name, module, before, activation))
    outputs = activation.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(value(outputs).sum(), outputs, create_graph=True)
    links: list[Link] = []
    flowing = gradient.detach()
    for name, module, before, after in reversed(passes):
        if list(module.parameters()):
            links.append(Weighted(name, module, before.detach(), flowing))
        elif type(module) is nn.Flatten:
            links.append(Reshape(module, before.shape))
        else:
            links.append(Pointwise(*_slopes(module, before), flowing))
        (flowing,) = torch.autograd.grad(after, before, flowing)
    return Chain(links[::-1], outputs, gradient)


def _slopes(module: nn.Module, z: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return φ' and φ'' at z; None for a φ'' that is 0 everywhere."""
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(module(z.clone()).sum(), z, create_graph=True)
        if not slope.requires_grad:
            return slope.detach(), None
        (curvature,) = torch.autograd.grad(slope.sum(), z, materialize_grads=True)
    return slope.detach(), curvature if curvature.any() else None


def _layer_terms(link: Weighted, turned: Tensor, moved: Tensor | None) -> list[LayerGradient]:
    """Return λ̇ x' and λ ẋ'; the bias, which nothing moves, has λ̇ alone."""
    terms = [layer_gradient(link.module, link.input, turned)]
    if moved is not None:
        other = layer_gradient(link.module, moved, link.gradient)
        if isinstance(other, FactoredGradient | PositionedGradient):
            other = replace(other, bias=False)
        elif isinstance(other, DenseGradient) and link.module.bias is not None:
            other.gradient[:, other.n_parameters - _n_bias(link.module) :] = 0
        terms.append(other)
    return terms


def _n_bias(module: Any) -> int:
    return module.bias.numel() if module.bias is not None and module.bias.requires_grad else 0


def _changed_back(link: Weighted, change: Change) -> Tensor | float:
    """Return dW' λ; 0 where dW is 0."""
    if change.factors is not None:
        outer, inner = change.factors
        return (link.gradient @ outer)[:, None] * inner
    return 0.0 if change.weight is None else link.transposed(change.weight, link.gradient)


def _per_sample(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)


def _sum(parts: Sequence[Tensor | None]) -> Tensor | None:
    there = [part for part in parts if part is not None]
    return sum(there[1:], there[0]) if there else None
