"""Per-sample gradients of one layer: two records that hold them, and the rules that make them.

Index letters in shapes: n and m samples, i inputs, o outputs of a layer, d parameters. All
gradients are of per-sample quantities; there is no 1/N.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

# Unfolded patches made at a time: larger blocks fall out of the processor's cache and ran 2 to 3
# times slower on the paper's convolutions (128 samples at once: 36 ms; blocks of 8: 14 ms).
PATCH_BYTES = 4 * 2**20

_PLAIN = {"weight", "bias"}


class FactoredGradient(NamedTuple):
    """Gradients of a Linear layer as factors: sample n has outer(output_gradient, activation)."""

    activation: Tensor  # [N, I], the layer's input; [N, 0] if its weight is frozen
    output_gradient: Tensor  # [N, O]
    bias: bool  # the gradient of a trainable bias, the output gradient itself, is part of it

    def gram(self, other: "FactoredGradient") -> Tensor:
        """Return the inner products, [N, M]: (a_n · a_m + 1) (d_n · d_m), + 1 for a bias."""
        activations = self.activation @ other.activation.T
        return (activations + self.bias) * (self.output_gradient @ other.output_gradient.T)

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

    def dense(self) -> Tensor:
        """Return the gradients written out, [N, D], weight entries first, then bias."""
        weight = torch.einsum("no,ni->noi", self.output_gradient, self.activation).flatten(1)
        return torch.cat([weight, self.output_gradient], 1) if self.bias else weight


class DenseGradient(NamedTuple):
    """Gradients of a layer written out."""

    gradient: Tensor  # [N, D], the layer's own parameters in their order, each flattened

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

    def dense(self) -> Tensor:
        """Return the gradients, [N, D]."""
        return self.gradient


LayerGradient = FactoredGradient | DenseGradient


def layer_gradient(module: nn.Module, activation: Tensor, output_gradient: Tensor) -> LayerGradient:
    """Return the gradients of a module's own trainable parameters (not of its children's).

    Linear layers are kept as factors, zero-padded convolutions multiplied out by block; any other
    module, and any use of these two that the rules do not cover, is run again sample by sample.

    Args:
        module: Called once with `activation` alone.
        activation: Its input, [N, ...], detached.
        output_gradient: Gradient of each sample's value with respect to its output, [N, ...].
    """
    # Subclasses may compute something else; reparametrised layers (weight norm, pruning) keep
    # other parameters and derive their weight.
    names = {name for name, _ in module.named_parameters(recurse=False)}
    plain = type(module) in (nn.Linear, nn.Conv1d, nn.Conv2d) and "weight" in names <= _PLAIN
    if plain and isinstance(module, nn.Linear) and activation.ndim == 2:
        return _linear(module, activation, output_gradient)
    if (
        plain
        and isinstance(module, nn.Conv1d | nn.Conv2d)
        and module.padding_mode == "zeros"
        and isinstance(module.padding, tuple)  # neither "same" nor "valid"
        and activation.ndim == module.weight.ndim
    ):
        return _convolution(module, module.padding, activation, output_gradient)
    own = [p for p in module.parameters(recurse=False) if p.requires_grad]
    return DenseGradient(one_by_one(module, activation, output_gradient, own))


def one_by_one(
    module: nn.Module, inputs: Tensor, output_gradient: Tensor, parameters: Sequence[nn.Parameter]
) -> Tensor:
    """Return per-sample gradients by one forward and one backward pass per sample: always right.

    Args:
        module: Maps [1, ...] to [1, ...]; grad mode must be on.
        inputs: [N, ...].
        output_gradient: Gradient of each sample's value with respect to its output, [N, ...].
        parameters: With respect to which; ones the output does not depend on get 0.

    Returns:
        [N, D], the parameters in the given order, each flattened.
    """
    gradient = output_gradient.new_zeros(len(inputs), sum(p.numel() for p in parameters))
    for n in range(len(inputs)):
        output = module(inputs[n : n + 1])
        if output.requires_grad:
            per_parameter = torch.autograd.grad(
                output, parameters, output_gradient[n : n + 1], materialize_grads=True
            )
            torch.cat([g.to_dense().flatten() for g in per_parameter], out=gradient[n])
    return gradient


def _linear(module: nn.Linear, activation: Tensor, output_gradient: Tensor) -> FactoredGradient:
    if not module.weight.requires_grad:
        activation = activation[:, :0]
    activation = activation.clone()  # it may be the network's input, whose memory is the caller's
    bias = module.bias is not None and module.bias.requires_grad
    return FactoredGradient(activation, output_gradient, bias)


def _convolution(
    module: nn.Conv1d | nn.Conv2d,
    padding: tuple[int, ...],
    activation: Tensor,
    output_gradient: Tensor,
) -> DenseGradient:
    """Return output gradient × patchesᵀ for each sample and group, then the bias's part."""
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
        for start in range(0, len(activation), block):
            samples = slice(start, start + block)
            patches = _patches(
                module, padding, activation[samples]
            )  # [n, G · I/G · kernel, positions]
            blocks = torch.matmul(
                output_gradient[samples].unflatten(1, (groups, -1)),
                patches.unflatten(1, (groups, -1)).transpose(2, 3),
            )
            gradient[samples, :n_weight] = blocks.flatten(1)
    return DenseGradient(gradient)


def _patches(module: nn.Conv1d | nn.Conv2d, padding: tuple[int, ...], activation: Tensor) -> Tensor:
    """Return the inputs that each output position sees, [N, C · kernel, positions]."""
    kernel, dilation, stride = module.kernel_size, module.dilation, module.stride
    if isinstance(module, nn.Conv1d):  # a signal is an image of height 1
        activation = activation[:, :, None]
        kernel, dilation, stride, padding = (
            (1, *kernel),
            (1, *dilation),
            (1, *stride),
            (0, *padding),
        )
    return functional.unfold(activation, kernel, dilation, padding, stride)
