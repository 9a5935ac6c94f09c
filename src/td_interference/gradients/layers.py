"""The rules that make per-sample gradients of one layer from its inputs and output gradients."""

import math
from collections.abc import Callable, Sequence
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional

from td_interference.device import check_room
from td_interference.gradients.checks import BATCH_NORMS
from td_interference.gradients.embeddings import lookup_gradient
from td_interference.gradients.records import (
    DenseGradient,
    FactoredGradient,
    LayerGradient,
    PositionedGradient,
)
from td_interference.gradients.unchanged import NetworkState
from td_interference.gradients.values import backward

# Unfolded patches made at a time: larger blocks fall out of the processor's cache and ran 2 to 3
# times slower on the paper's convolutions (128 samples at once: 36 ms; blocks of 8: 14 ms).
PATCH_BYTES = 4 * 2**20

_PLAIN = {"weight", "bias"}
_WITH_RULE = (
    *(nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Embedding, nn.EmbeddingBag),
    *(nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
)

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d


def has_rule(module: nn.Module, activation: Tensor) -> TypeGuard[nn.Linear | Convolution]:
    """Whether a module is a Linear layer or a convolution of this input, and no more.

    Args:
        module: Called once with `activation` alone.
        activation: Its input, [N, ...].
    """
    if not _is_plain(module):
        return False
    if isinstance(module, nn.Linear):
        return activation.ndim >= 2
    return isinstance(module, Convolution) and activation.ndim == module.weight.ndim


def _is_plain(module: nn.Module) -> bool:
    # Subclasses may compute something else; reparametrised layers (weight norm, pruning) keep
    # other parameters and derive their weight.
    names = {name for name, _ in module.named_parameters(recurse=False)}
    return type(module) in _WITH_RULE and "weight" in names <= _PLAIN


def layer_gradient(module: nn.Module, activation: Tensor, output_gradient: Tensor) -> LayerGradient:
    """Return the gradients of a module's own trainable parameters (not of its children's).

    Linear layers are kept as factors, embeddings as what was looked up, convolutions and Linear
    layers on sequences as factors or multiplied out, whichever is less work; normalisations follow
    from what they normalise. Any other module, and any use of these that the rules do not cover,
    is run again sample by sample.

    Args:
        module: Called once with `activation` alone.
        activation: Its input, [N, ...], detached.
        output_gradient: Gradient of each sample's value with respect to its output, [N, ...].
    """
    if has_rule(module, activation):
        if isinstance(module, nn.Linear):
            return _linear(module, activation, output_gradient)
        return _convolution(module, activation, output_gradient)
    if _is_plain(module):
        looked_up = lookup_gradient(module, activation, output_gradient)
        if looked_up is not None:
            return looked_up
        normalised = _normalised(module, activation)
        if normalised is not None:
            return _scaled(module, normalised, output_gradient)

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


def _linear(module: nn.Linear, activation: Tensor, output_gradient: Tensor) -> LayerGradient:
    if not module.weight.requires_grad:
        activation = activation[..., :0]
    activation = activation.clone()  # it may be the network's input, whose memory is the caller's
    bias = _trains_bias(module)
    if activation.ndim == 2:
        return FactoredGradient(activation, output_gradient, bias)
    return _positioned(activation.flatten(1, -2), output_gradient.flatten(1, -2), bias)


def _positioned(activation: Tensor, output_gradient: Tensor, bias: bool) -> LayerGradient:
    """Return gradients of a layer applied at T positions, in the form that is less work.

    For each pair of N samples that is T² (I + O) operations of the factors, or I O of what is
    written out, which itself took T I O for each sample.

    Args:
        activation: [N, T, I].
        output_gradient: [N, T, O].
        bias: Whether there is a trainable one.
    """
    factored = PositionedGradient(activation, output_gradient, bias)
    n_samples, n_positions, n_inputs = activation.shape
    n_outputs = output_gradient.shape[2]
    written = n_inputs * n_outputs * (n_samples + n_positions)
    if n_samples * n_positions**2 * (n_inputs + n_outputs) < written:
        return factored
    check_room(n_samples * factored.n_parameters * activation.element_size(), activation.device)
    return DenseGradient(factored.dense())


def _trains_bias(module: nn.Linear | Convolution) -> bool:
    return module.bias is not None and module.bias.requires_grad


def _convolution(module: Convolution, activation: Tensor, output_gradient: Tensor) -> LayerGradient:
    """Return output gradient × patches for each sample and group, then the bias's part."""
    weight, groups, bias = module.weight, module.groups, _trains_bias(module)
    output_gradient = output_gradient.flatten(2)  # [N, O, positions]
    n_outputs, n_positions = output_gradient.shape[1:]
    n_inputs = weight[0].numel()
    few = n_positions**2 * (n_inputs + n_outputs) < n_inputs * n_outputs
    if few and groups == 1 and weight.requires_grad:
        patches = _patches(module, activation)[:, 0]  # kernel before channels, unlike the weight
        patches = patches.unflatten(2, (-1, weight.shape[1])).transpose(2, 3).flatten(2)
        return PositionedGradient(patches, output_gradient.mT, bias)
    n_weight = weight.numel() if weight.requires_grad else 0
    gradient = activation.new_empty(len(activation), n_weight + bias * n_outputs)
    if bias:
        gradient[:, n_weight:] = output_gradient.sum(2)
    if n_weight:
        n_patches = groups * n_inputs * n_positions
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


def _normalised(module: nn.Module, activation: Tensor) -> Tensor | None:
    """Return what a normalisation multiplies by its weight; None if it is none that is known."""
    if isinstance(module, nn.LayerNorm):
        return functional.layer_norm(activation, module.normalized_shape, eps=module.eps)
    if isinstance(module, nn.RMSNorm):
        return functional.rms_norm(activation, module.normalized_shape, eps=module.eps)
    if isinstance(module, nn.GroupNorm):
        return functional.group_norm(activation, module.num_groups, eps=module.eps)
    if isinstance(module, BATCH_NORMS) and not module.training:
        mean, variance = module.running_mean, module.running_var
        if mean is not None:
            return functional.batch_norm(activation, mean, variance, eps=module.eps)
    return None


def _scaled(module: nn.Module, normalised: Tensor, output_gradient: Tensor) -> DenseGradient:
    """Return Σ x̂ δ and Σ δ over the positions that share a weight and bias, of each sample."""
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        own = len(module.normalized_shape)
        positions = tuple(range(1, normalised.ndim - own))
    else:  # a weight for each channel
        positions = tuple(range(2, normalised.ndim))
    terms = {"weight": normalised * output_gradient, "bias": output_gradient}
    parts = [
        (terms[name].sum(positions) if positions else terms[name]).flatten(1)
        for name, parameter in module.named_parameters(recurse=False)
        if parameter.requires_grad
    ]
    return DenseGradient(torch.cat(parts, 1))
