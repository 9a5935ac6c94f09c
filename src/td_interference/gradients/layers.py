"""Per-sample gradients of one layer: two records that hold them, and the rules that make them.

Index letters in shapes: n and m samples, i inputs, o outputs of a layer, d parameters. All
gradients are of per-sample quantities; there is no 1/N.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional

from td_interference.device import check_room
from td_interference.gradients.embeddings import LookedUpGradient, lookup_gradient
from td_interference.gradients.unchanged import NetworkState
from td_interference.gradients.values import backward

# Unfolded patches made at a time: larger blocks fall out of the processor's cache and ran 2 to 3
# times slower on the paper's convolutions (128 samples at once: 36 ms; blocks of 8: 14 ms).
PATCH_BYTES = 4 * 2**20

_PLAIN = {"weight", "bias"}
_WITH_RULE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Embedding, nn.EmbeddingBag)

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d


class FactoredGradient(NamedTuple):
    """Gradients of a Linear layer as factors: sample n has outer(output_gradient, activation)."""

    activation: Tensor  # [N, I], the layer's input; [N, 0] if its weight is frozen
    output_gradient: Tensor  # [N, O]
    bias: bool  # the gradient of a trainable bias, the output gradient itself, is part of it

    @property
    def n_parameters(self) -> int:
        """D, the parameters whose gradients these are."""
        return self.output_gradient.shape[-1] * (self.activation.shape[-1] + self.bias)

    def gram(self, other: "FactoredGradient") -> Tensor:
        """Return the inner products, [N, M]: (a_n · a_m + 1) (d_n · d_m), + 1 for a bias."""
        activations = self.activation @ other.activation.T
        bias = self.bias and other.bias
        return (activations + bias) * (self.output_gradient @ other.output_gradient.T)

    def squared_norms(self) -> Tensor:
        """Return the diagonal of `gram`, [N], without the rest."""
        activations = self.activation.square().sum(-1) + self.bias
        return activations * self.output_gradient.square().sum(-1)

    def distance(self, rows: Tensor, weights: Tensor, reference: Sequence[Tensor]) -> Tensor:
        """Return |reference - Σ_k weights[k] · gradient[rows[k]]|, a scalar.

        Args:
            rows: Samples, [K], int64.
            weights: [K].
            reference: One tensor per trainable parameter, the weight's first; the weight's is
                overwritten, because new memory of its size takes longer than the rest of the check.
        """
        weighted = self.output_gradient[rows] * weights[:, None]
        remaining, lengths = list(reference), []
        if self.activation.shape[1]:
            weight = remaining.pop(0).addmm_(weighted.T, self.activation[rows], alpha=-1)
            lengths.append(torch.linalg.vector_norm(weight))
        if self.bias:
            lengths.append(torch.linalg.vector_norm(remaining.pop() - weighted.sum(0)))
        return torch.stack(lengths).norm()

    def weighted_sums(self, weights: Tensor, rows: slice) -> Tensor:
        """Return Σ_n weights[k, n] · gradient[rows][n], [K, D], weight entries first, then bias.

        Like `squared_norms`, for networks of one shape at once if all has their dimension in front.

        Args:
            weights: [K, N].
            rows: N of the samples.
        """
        outputs = weights.mT[..., None] * self.output_gradient[..., rows, None, :]  # [N, K, O]
        weight = outputs.flatten(-2).mT @ self.activation[..., rows, :]  # [K · O, I]
        sums = weight.unflatten(-2, outputs.shape[-2:]).flatten(-2)
        return torch.cat([sums, outputs.sum(-3)], -1) if self.bias else sums

    def of_sample(self, n: int) -> Tensor:
        """Return the gradient of one sample written out, [D]."""
        weight = torch.outer(self.output_gradient[n], self.activation[n]).flatten()
        return torch.cat([weight, self.output_gradient[n]]) if self.bias else weight

    def along(self, direction: Sequence[Tensor]) -> Tensor:
        """Return the inner product of each gradient with a direction, [N].

        Args:
            direction: One tensor per trainable parameter, the weight's first.
        """
        parts = list(direction)
        moved = torch.zeros_like(self.output_gradient)
        if self.activation.shape[1]:
            moved = self.activation @ parts.pop(0).T
        if self.bias:
            moved = moved + parts.pop()
        return (moved * self.output_gradient).sum(1)

    def dense(self) -> Tensor:
        """Return the gradients written out, [N, D], weight entries first, then bias."""
        weight = torch.einsum("no,ni->noi", self.output_gradient, self.activation).flatten(1)
        return torch.cat([weight, self.output_gradient], 1) if self.bias else weight


class DenseGradient(NamedTuple):
    """Gradients of a layer written out."""

    gradient: Tensor  # [N, D], the layer's own parameters in their order, each flattened

    @property
    def n_parameters(self) -> int:
        """D, the parameters whose gradients these are."""
        return self.gradient.shape[-1]

    def squared_norms(self) -> Tensor:
        """Return the diagonal of `gram`, [N]."""
        return torch.linalg.vector_norm(self.gradient, dim=-1).square()

    def distance(self, rows: Tensor, weights: Tensor, reference: Sequence[Tensor]) -> Tensor:
        """Return |reference - Σ_k weights[k] · gradient[rows[k]]|, a scalar.

        Args:
            rows: Samples, [K], int64.
            weights: [K].
            reference: One tensor per trainable parameter.
        """
        combination = weights @ self.gradient[rows]
        return torch.linalg.vector_norm(torch.cat([r.flatten() for r in reference]) - combination)

    def weighted_sums(self, weights: Tensor, rows: slice) -> Tensor:
        """Return Σ_n weights[k, n] · gradient[rows][n], [K, D].

        Like `squared_norms`, for networks of one shape at once if all has their dimension in front.

        Args:
            weights: [K, N].
            rows: N of the samples.
        """
        return weights @ self.gradient[..., rows, :]

    def of_sample(self, n: int) -> Tensor:
        """Return the gradient of one sample, [D]."""
        return self.gradient[n]

    def along(self, direction: Sequence[Tensor]) -> Tensor:
        """Return the inner product of each gradient with a direction, [N].

        Args:
            direction: One tensor per trainable parameter.
        """
        return self.gradient @ torch.cat([part.flatten() for part in direction])

    def dense(self) -> Tensor:
        """Return the gradients, [N, D]."""
        return self.gradient


LayerGradient = FactoredGradient | DenseGradient | LookedUpGradient


def has_rule(module: nn.Module, activation: Tensor) -> TypeGuard[nn.Linear | nn.Conv1d | nn.Conv2d]:
    """Whether a module is a Linear layer or a convolution of this input, and no more.

    Args:
        module: Called once with `activation` alone.
        activation: Its input, [N, ...].
    """
    if not _is_plain(module):
        return False
    if isinstance(module, nn.Linear):
        return activation.ndim == 2
    return isinstance(module, Convolution) and activation.ndim == module.weight.ndim


def _is_plain(module: nn.Module) -> bool:
    # Subclasses may compute something else; reparametrised layers (weight norm, pruning) keep
    # other parameters and derive their weight.
    names = {name for name, _ in module.named_parameters(recurse=False)}
    return type(module) in _WITH_RULE and "weight" in names <= _PLAIN


def layer_gradient(module: nn.Module, activation: Tensor, output_gradient: Tensor) -> LayerGradient:
    """Return the gradients of a module's own trainable parameters (not of its children's).

    Linear layers are kept as factors, embeddings as what was looked up, convolutions multiplied out
    by block; any other module, and any use of these that the rules do not cover, is
    run again sample by sample.

    Args:
        module: Called once with `activation` alone.
        activation: Its input, [N, ...], detached.
        output_gradient: Gradient of each sample's value with respect to its output, [N, ...].
    """
    if has_rule(module, activation):
        if isinstance(module, nn.Linear):
            return _linear(module, activation, output_gradient)
        return _convolution(module, activation, output_gradient)
    looked_up = lookup_gradient(module, activation, output_gradient) if _is_plain(module) else None
    if looked_up is not None:
        return looked_up

    state = NetworkState(module, set(), plain=False)  # each run begins and ends with it

    def run(row: Tensor) -> Tensor:
        try:
            return module(activation[row])
        finally:
            state.restore()

    own = [p for p in module.parameters(recurse=False) if p.requires_grad]
    return DenseGradient(one_by_one(run, output_gradient, own))


def one_by_one(
    run: Callable[[Tensor], Tensor], output_gradient: Tensor, parameters: Sequence[nn.Parameter]
) -> Tensor:
    """Return per-sample gradients by one forward and one backward pass per sample: always right.

    Args:
        run: Gives the output of a sample, [1, ...], from its number, [1]; grad mode must be on.
        output_gradient: Gradient of each sample's value with respect to its output, [N, ...].
        parameters: With respect to which; ones the output does not depend on get 0.

    Returns:
        [N, D], the parameters in the given order, each flattened.

    Raises:
        UserError: If that does not fit into memory.
    """
    n_samples, width = len(output_gradient), sum(p.numel() for p in parameters)
    check_room(n_samples * width * parameters[0].element_size(), output_gradient.device)
    gradient = parameters[0].new_zeros(n_samples, width)
    for n in range(n_samples):
        output = run(torch.tensor([n], device=output_gradient.device))
        if output.requires_grad:
            per_parameter = backward(
                output,
                list(parameters),
                output_gradient[n : n + 1],
                "the backward pass of a sample",
                materialize_grads=True,
            )
            torch.cat([g.to_dense().flatten() for g in per_parameter], out=gradient[n])
    return gradient


def _linear(module: nn.Linear, activation: Tensor, output_gradient: Tensor) -> FactoredGradient:
    if not module.weight.requires_grad:
        activation = activation[:, :0]
    activation = activation.clone()  # it may be the network's input, whose memory is the caller's
    bias = module.bias is not None and module.bias.requires_grad
    return FactoredGradient(activation, output_gradient, bias)


def _convolution(module: Convolution, activation: Tensor, output_gradient: Tensor) -> DenseGradient:
    """Return output gradient × patches for each sample and group, then the bias's part."""
    weight, bias, groups = module.weight, module.bias, module.groups
    n_weight = weight.numel() if weight.requires_grad else 0
    n_bias = bias.numel() if bias is not None and bias.requires_grad else 0
    gradient = activation.new_empty(len(activation), n_weight + n_bias)
    output_gradient = output_gradient.flatten(2)  # [N, O, positions]
    if n_bias:
        gradient[:, n_weight:] = output_gradient.sum(2)
    if n_weight:
        n_patches = groups * weight[0].numel() * output_gradient.shape[2]
        block = max(1, PATCH_BYTES // (n_patches * activation.element_size()))
        by_group = output_gradient.unflatten(1, (groups, -1))
        written = gradient[:, :n_weight].unflatten(1, (*by_group.shape[1:3], weight.shape[1], -1))
        for start in range(0, len(activation), block):
            samples = slice(start, start + block)
            patches = _patches(module, activation[samples])
            blocks = torch.matmul(by_group[samples], patches)  # [n, G, O/G, kernel · C/G]
            written[samples] = blocks.unflatten(3, (-1, weight.shape[1])).transpose(3, 4)
    return DenseGradient(gradient)


def _patches(module: Convolution, activation: Tensor) -> Tensor:
    """Return the inputs that each output position sees, [N, G, positions, kernel · C/G].

    Channels come last: what one row of a kernel sees is then one piece of memory.
    """
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    padded = functional.pad(activation, module._reversed_padding_repeated_twice, mode)
    padded = padded.movedim(1, -1).contiguous()  # [N, ..., C]
    n_samples, *sizes, n_channels = padded.shape
    across, *steps = padded.stride()[:-1]
    geometry = list(zip(sizes, module.kernel_size, module.dilation, module.stride, strict=True))
    positions = [
        (size - dilation * (kernel - 1) - 1) // stride + 1
        for size, kernel, dilation, stride in geometry
    ]
    own = n_channels // module.groups
    seen = padded.as_strided(
        (n_samples, module.groups, *positions, *module.kernel_size, own),
        (
            across,
            own,
            *(step * stride for step, stride in zip(steps, module.stride, strict=True)),
            *(step * dilation for step, dilation in zip(steps, module.dilation, strict=True)),
            1,
        ),
    )
    return seen.reshape(n_samples, module.groups, math.prod(positions), -1)
