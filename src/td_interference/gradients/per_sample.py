"""Gradients of per-sample values: one forward and one backward pass for all samples of a batch.

For a layer called once, the gradient of sample n follows from the layer's input and the gradient
with respect to its output, both of which one pass over the batch gives for every n. That this holds
is checked, on the graph and on some samples. Networks of another structure (tied weights, a module
called twice, weights used outside their module) get the same numbers sample by sample, slowly;
networks without per-sample gradients are refused. Gradients are of per-sample quantities: no 1/N.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge

from td_interference.device import full_precision
from td_interference.errors import UserError
from td_interference.gradients.checks import (
    TOLERANCE,
    check_outputs,
    checked_rows,
    outputs_alone,
    refuse_batch_modules,
)
from td_interference.gradients.layers import (
    DenseGradient,
    LayerGradient,
    layer_gradient,
    one_by_one,
)

# Trainable parameters by the name of the module that owns them.
Owners = dict[str, list[nn.Parameter]]


class PerSampleGradients(NamedTuple):
    """Gradients of N per-sample values: sample n has scale[n] times what the layers hold."""

    # Largest entry of |∂value/∂output|. Kept apart because the loss of a confident classifier has
    # gradients (1e-20 and below) whose squares vanish in float32 while their cosine is defined.
    scale: Tensor  # [N]
    layers: dict[str, LayerGradient]  # by module name, each of the module's trainable parameters


class _Call(NamedTuple):
    """One call of a module, on one tensor and returning one, with a row for each sample."""

    activation: Tensor  # [N, ...], detached
    # The place in the graph, not the output itself: an in-place ReLU after it changes the latter.
    output: GradientEdge


def per_sample_gradients(
    network: nn.Module, inputs: Tensor, value: Callable[[Tensor], Tensor]
) -> PerSampleGradients:
    """Return the gradient of each sample's value with respect to all trainable parameters.

    Frozen parameters (`requires_grad` False) are left out. The network's mode, its `.grad` fields
    and hooks, and the grad mode are as before, also after an error.

    Args:
        network: Maps [N, ...] to one tensor [N, ...]; parameters in float32 or float64.
        inputs: [N, ...], N at least 1, any dtype the network takes.
        value: Maps the outputs to one number per sample, [N], each from its sample's output alone:
            the function output for function interference (eq. 8), such as
            `lambda q: q.max(1).values`, or the loss for loss interference (eq. 7).

    Raises:
        UserError: If per-sample gradients do not exist (batch normalisation or dropout in training
            mode, samples that depend on one another, a random network), or `value` does not fit.
    """
    refuse_batch_modules(network)
    owners = _owners(network)
    parameters = [parameter for own in owners.values() for parameter in own]
    with torch.enable_grad(), full_precision(inputs.device):
        with _recorded_calls(network, owners) as calls:
            outputs = network(inputs)
        check_outputs(outputs, inputs)
        output_gradient = _output_gradient(value, outputs)
        scale = output_gradient.reshape(len(outputs), -1).abs().amax(1)
        divisor = torch.where(scale > 0, scale, 1)
        output_gradient = output_gradient / divisor.view(-1, *[1] * (outputs.ndim - 1))

        alone = outputs_alone(network, inputs, outputs)
        layers = _batched(network, owners, calls, outputs, output_gradient)
        if layers is None or not _confirmed(layers, owners, alone, outputs, output_gradient):
            dense = one_by_one(network, inputs, output_gradient, parameters)
            sizes = [sum(parameter.numel() for parameter in own) for own in owners.values()]
            parts = map(DenseGradient, dense.split(sizes, dim=1))
            layers = dict(zip(owners, parts, strict=True))
    return PerSampleGradients(scale, layers)


def _owners(network: nn.Module) -> Owners:
    """Return the trainable parameters, a shared one under the first module that has it."""
    owners: Owners = {}
    seen: set[nn.Parameter] = set()
    for name, module in network.named_modules():
        own = [p for p in module.parameters(recurse=False) if p.requires_grad and p not in seen]
        seen.update(own)
        if own:
            owners[name] = own
    if len({p.dtype for p in seen}) != 1 or next(iter(seen)).dtype not in TOLERANCE:
        found = ", ".join(sorted({str(p.dtype) for p in seen})) or "none"
        raise UserError(
            "per-sample gradients need trainable parameters of one dtype, float32 or float64; "
            f"found {found}"
        )
    return owners


@contextmanager
def _recorded_calls(network: nn.Module, owners: Owners) -> Iterator[dict[str, list[_Call | None]]]:
    """Record each call of the owners within the block; None for one the layer rules do not take."""
    calls: dict[str, list[_Call | None]] = {name: [] for name in owners}

    def recorder(name: str) -> Callable[..., None]:
        def record(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
            call = None
            one_input = len(args) == 1 and not kwargs and isinstance(args[0], Tensor)
            if one_input and isinstance(output, Tensor) and output.requires_grad:
                call = _Call(args[0].detach(), get_gradient_edge(output))
            calls[name].append(call)

        return record

    handles = []
    try:
        for name in owners:
            module = network.get_submodule(name)
            # First in line, so that other hooks that replace the output come after.
            handle = module.register_forward_hook(recorder(name), prepend=True, with_kwargs=True)
            handles.append(handle)
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _output_gradient(value: Callable[[Tensor], Tensor], outputs: Tensor) -> Tensor:
    """Return ∂value_n/∂output_n, shaped as the outputs, and refuse values that mix samples."""
    leaf = outputs.detach().requires_grad_()
    values = value(leaf.clone())
    if not isinstance(values, Tensor) or values.shape != outputs.shape[:1]:
        found = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise UserError(f"value must return one number per sample, [{len(outputs)}], not {found}")
    sources = _uses(values).keys()
    if leaf not in sources:
        raise UserError("value does not depend on the network's outputs")
    if len(sources) > 1:
        raise UserError(
            "value depends on other tensors with gradients than the network's outputs: "
            "detach the targets"
        )
    # Powers of two scale exactly, so any difference beyond underflow is another sample's part.
    weights = 2.0 ** (torch.arange(len(outputs), device=outputs.device) % 13).to(values.dtype)
    gradient, weighted = (
        torch.autograd.grad(values, leaf, seed, retain_graph=True)[0]
        for seed in (torch.ones_like(values), weights)
    )
    expected = gradient * weights.to(leaf.dtype).view(-1, *[1] * (leaf.ndim - 1))
    smallest = torch.finfo(leaf.dtype).tiny
    if not torch.allclose(weighted, expected, rtol=1e-6, atol=smallest, equal_nan=True):
        raise UserError("value mixes samples: entry n must depend on row n of the outputs alone")
    return gradient


def _uses(tensor: Tensor) -> Counter[Tensor]:
    """Count how often each leaf enters the graph of a tensor."""
    uses: Counter[Tensor] = Counter()
    seen: set[Node] = set()
    stack = [tensor.grad_fn] if tensor.grad_fn else []
    while stack:
        children = [child for child, _ in stack.pop().next_functions if child]
        uses.update(child.variable for child in children if hasattr(child, "variable"))
        unseen = {child for child in children if not hasattr(child, "variable")} - seen
        seen |= unseen
        stack.extend(unseen)
    return uses


def _batched(
    network: nn.Module,
    owners: Owners,
    calls: dict[str, list[_Call | None]],
    outputs: Tensor,
    output_gradient: Tensor,
) -> dict[str, LayerGradient] | None:
    """Return the gradients by the layer rules, or None where these do not apply.

    They do if each parameter enters the graph once, through the one call of its own module.
    """
    uses = _uses(outputs)
    once = [name for name, own in owners.items() if all(uses[p] == 1 for p in own)]
    recorded = {name: calls[name][0] for name in once if len(calls[name]) == 1}
    found = {name: call for name, call in recorded.items() if call is not None}
    if found.keys() != owners.keys():
        return None
    gradients = torch.autograd.grad(
        outputs,
        [call.output for call in found.values()],
        output_gradient,
        retain_graph=True,  # for `_confirmed`
        allow_unused=True,
    )
    layers = {}
    for (name, call), gradient in zip(found.items(), gradients, strict=True):
        if gradient is None or not len(outputs) == len(call.activation) == len(gradient):
            return None
        layers[name] = layer_gradient(network.get_submodule(name), call.activation, gradient)
    return layers


def _confirmed(
    layers: dict[str, LayerGradient],
    owners: Owners,
    alone: Tensor,
    outputs: Tensor,
    output_gradient: Tensor,
) -> bool:
    """Compare the gradients of some samples with plain autograd's.

    All at once: the sum of the gradients, each scaled to a length between 1/2 and 1.
    """
    rows = checked_rows(outputs)
    norms = torch.stack([layer.squared_norms()[rows] for layer in layers.values()]).sum(0).sqrt()
    if not norms.isfinite().all():
        return True  # diverged: inf or NaN by any method
    # No two lengths are equal, so that samples with opposite gradients do not cancel.
    weights = torch.linspace(1, 0.5, len(rows)).to(norms) / torch.where(norms > 0, norms, 1)
    seed = output_gradient[rows] * weights.view(-1, *[1] * (outputs.ndim - 1))
    # Alone is cheap, but rounding may put a unit on the other side of its kink there; the batch's
    # own graph, as dear as the whole computation, is asked only if they differ.
    in_batch = torch.zeros_like(outputs).index_add(0, rows, seed)
    parameters = [parameter for own in owners.values() for parameter in own]
    for graph, graph_seed in ((alone, seed), (outputs, in_batch)):
        reference = torch.autograd.grad(
            graph, parameters, graph_seed, retain_graph=True, materialize_grads=True
        )
        dense = [g.to_dense() for g in reference]  # embeddings may give sparse ones
        length = torch.stack([torch.linalg.vector_norm(g) for g in dense]).norm()
        unread = iter(dense)
        distances = [
            layers[name].distance(rows, weights, [next(unread) for _ in own])
            for name, own in owners.items()
        ]
        if torch.stack(distances).norm() <= TOLERANCE[outputs.dtype] * length:
            return True
    return False
