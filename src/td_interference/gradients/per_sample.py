"""Gradients of per-sample values: one forward and one backward pass for all samples of a batch.

For a layer called once, the gradient of sample n follows from the layer's input and the gradient
with respect to its output, both of which one pass over the batch gives for every n. That this holds
is checked, on the graph and in numbers. Networks of another structure (tied weights, a module
called twice, weights used outside their module) get the same numbers sample by sample, slowly;
networks without per-sample gradients are refused. Gradients are of per-sample quantities: no 1/N.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from td_interference.device import full_precision
from td_interference.errors import UserError
from td_interference.gradients.alone import (
    Pass,
    Samples,
    per_row,
    row_wise,
    run_alone,
    run_singly,
    run_some_alone,
    uncompiled,
    upper_median,
)
from td_interference.gradients.calls import (
    Call,
    Owners,
    output_gradients,
    recorded_calls,
    usable_calls,
)
from td_interference.gradients.checks import (
    TOLERANCE,
    check_network,
    check_outputs,
    refuse_batch_modules,
)
from td_interference.gradients.confirm import (
    COMPANY,
    check_company,
    check_linear,
    check_neighbours,
    checked_rows,
    confirmed,
    confirmed_on_some,
    separate,
)
from td_interference.gradients.inputs import Batch
from td_interference.gradients.layers import layer_gradient, one_by_one
from td_interference.gradients.records import DenseGradient, LayerGradient, ZeroGradient
from td_interference.gradients.unchanged import NetworkState
from td_interference.gradients.values import (
    backward,
    distinct_weights,
    output_gradient,
    separate_weights,
)
from td_interference.gradients.watch import Watch


class PerSampleGradients(NamedTuple):
    """Gradients of N per-sample values: sample n has scale[n] times what the layers hold."""

    # Largest entry of |∂value/∂output|. Kept apart because the loss of a confident classifier has
    # gradients (1e-20 and below) whose squares vanish in float32 while their cosine is defined.
    scale: Tensor  # [N]
    layers: dict[str, LayerGradient]  # by module name, each of the module's trainable parameters


def per_sample_gradients(
    network: nn.Module, inputs: Any, value: Callable[[Tensor], Tensor]
) -> PerSampleGradients:
    """Return the gradient of each sample's value with respect to all trainable parameters.

    Frozen parameters (`requires_grad` False) are left out. The network's mode, buffers and
    attributes, its `.grad` fields and hooks, the inputs, the grad mode and the global random
    streams are as before, also after an error. An error that the network raises for the whole
    batch, or `value`, is passed on.

    Args:
        network: Maps [N, ...] to one tensor [N, ...], float32 or float64; parameters in float32 or
            float64.
        inputs: [N, ...], N at least 1, any dtype the network takes; or tensors with N rows each in
            dicts, lists and tuples (see `inputs.Batch`).
        value: Maps the outputs to one number per sample, [N], each from its sample's output alone:
            the function output for function interference (eq. 8), such as
            `lambda q: q.max(1).values`, or the loss for loss interference (eq. 7).

    Raises:
        UserError: If per-sample gradients do not exist (batch normalisation or dropout in training
            mode, samples that depend on one another, a random network), or `value` does not fit;
            docs/gradients.md lists what is refused.
    """
    network = check_network(network, value)
    refuse_batch_modules(network)
    owners = _owners(network)
    parameters = [parameter for own in owners.values() for parameter in own]
    batch = Batch(network, inputs)
    plain = row_wise(network)
    with _measuring(network, batch, value, plain) as state:
        with recorded_calls(network, owners) as calls:
            outputs, single = (_run_plainly if plain else _run_watched)(network, batch, state)
        check_outputs(outputs, batch)
        watch = Watch("value", {batch.device})
        try:
            seed = output_gradient(value, outputs, watch)
        finally:
            watch.check()
        state.check_streams("value")
        scale = seed.reshape(len(outputs), -1).abs().amax(1)
        seed = seed / per_row(torch.where(scale > 0, scale, 1), seed)
        single |= torch.float32 in (outputs.dtype, parameters[0].dtype)
        precision = torch.float32 if single else torch.float64
        whole = Pass(batch, state, outputs, seed, parameters, precision)
        layers = (_of_rows if plain else _of_any)(
            network, owners, usable_calls(owners, calls, outputs), whole
        )
    return PerSampleGradients(scale, layers)


def _run_plainly(network: nn.Module, batch: Batch, state: NetworkState) -> tuple[Any, bool]:
    """Return the outputs of a network all of whose modules are known."""
    return batch.run(batch.whole()), False


def _run_watched(network: nn.Module, batch: Batch, state: NetworkState) -> tuple[Any, bool]:
    """Return the outputs, and whether anything was computed in float32.

    Raises:
        UserError: If an operation is none that gradients are exact with.
    """
    watch = Watch("the network", {batch.device}, network)
    try:
        with watch:
            outputs = batch.run(batch.whole())
    finally:
        watch.check()  # also where the network hid the refusal in an error of its own
    state.check_streams("the network")
    state.restore()
    return outputs, watch.single_precision


@contextmanager
def _measuring(network: nn.Module, batch: Batch, value: Any, plain: bool) -> Iterator[NetworkState]:
    """Compute exactly within the block, and leave network and streams as they were."""
    state = NetworkState(network, {batch.device}, plain=plain, value=value)
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # of attention, which rounds otherwise
    try:
        with torch.enable_grad(), full_precision(batch.device), uncompiled():
            yield state
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        state.restore()
        state.restore_streams()


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
            "per-sample gradients need trainable parameters of one dtype, float32 or float64 "
            f"(.float(), requires_grad_()); found {found}"
        )
    return owners


def _of_rows(
    network: nn.Module, owners: Owners, calls: dict[str, Call | None] | None, whole: Pass
) -> dict[str, LayerGradient]:
    """Return the gradients of a network that is known to keep samples apart."""
    rows = checked_rows(whole.outputs)
    alone = run_some_alone(whole, rows)
    deltas = output_gradients(calls, whole.outputs, whole.seed)
    layers = _by_rule(network, owners, calls, deltas, whole)
    if layers is not None and confirmed_on_some(layers, owners, rows, alone, whole):
        return layers
    return _written_out(owners, lambda rows: run_singly(whole, rows), whole)


def _of_any(
    network: nn.Module, owners: Owners, calls: dict[str, Call | None] | None, whole: Pass
) -> dict[str, LayerGradient]:
    """Return the gradients of any network, each sample of which is compared with itself alone.

    Raises:
        UserError: If a sample's outputs or gradient depend on the others.
    """
    deltas = output_gradients(calls, whole.outputs, whole.seed)
    layers = _by_rule(network, owners, calls, deltas, whole)
    weights = distinct_weights(whole.outputs)
    if layers is not None:
        # Else one huge gradient would hide that others are not those of their samples alone.
        norms = torch.stack([layer.squared_norms() for layer in layers.values()]).sum(0).sqrt()
        norms = norms.nan_to_num(0, 0, 0)
        weights = weights * (upper_median(norms) / norms).nan_to_num(1).clamp(max=1)
    alone = run_alone(whole, weights)
    whole.state.check_streams("the backward pass")
    powers = separate_weights(whole.outputs)
    scaled = output_gradients(calls, whole.outputs, whole.seed * per_row(powers, whole.seed))
    apart = separate(deltas, scaled, powers, whole.precision)
    if not apart:
        layers = None  # inside, rows are no samples or in another order; or samples mix
    if layers is None or any(p._backward_hooks for p in whole.parameters):
        check_linear(whole)
    finite = whole.outputs.detach().reshape(len(whole.outputs), -1).isfinite().all(1)
    if finite.all():
        weighted = whole.seed * per_row(weights, whole.seed)
        reference = backward(
            whole.outputs, whole.parameters, weighted, "its backward pass", materialize_grads=True
        )
        reference = [gradient.to_dense() for gradient in reference]  # embeddings give sparse ones
        # Where rows inside are no samples, no more than another order of summation is let pass.
        check_company(alone.gradient, reference, whole, COMPANY if apart else TOLERANCE)
        if whole.precision == torch.float32:
            check_neighbours(whole, weights)
    else:
        reference = alone.gradient  # of the finite; what is not would spoil the sum of all
    rows = finite.nonzero()[:, 0]
    copies = [gradient.clone() for gradient in reference]
    if layers is not None and confirmed(
        layers, owners, rows, weights[rows], copies, whole.precision
    ):
        return layers
    layers = _written_out(owners, alone.run, whole)
    sums = torch.cat([weights[rows].to(x.dense()) @ x.dense()[rows] for x in layers.values()])
    sizes = [parameter.numel() for parameter in whole.parameters]
    found = [s.view_as(p) for s, p in zip(sums.split(sizes), whole.parameters, strict=True)]
    check_company(found, reference, whole)
    return layers


def _by_rule(
    network: nn.Module,
    owners: Owners,
    calls: dict[str, Call | None] | None,
    deltas: Sequence[Tensor | None],
    whole: Pass,
) -> dict[str, LayerGradient] | None:
    """Return the gradients by the layer rules, or None where these do not apply."""
    if calls is None:
        return None
    modules = dict(network.named_modules())
    layers: dict[str, LayerGradient] = {}
    for (name, call), delta in zip(calls.items(), deltas, strict=True):
        if call is None:
            width = sum(parameter.numel() for parameter in owners[name])
            layers[name] = ZeroGradient(owners[name][0].new_zeros(len(whole.outputs)), width)
            continue
        if delta is None or not len(whole.outputs) == len(call.activation) == len(delta):
            return None
        try:
            layers[name] = layer_gradient(modules[name], call.activation, delta)
        except UserError:
            raise
        except Exception:  # the module cannot be run on a sample alone, as the network can
            return None
    return layers


def _written_out(owners: Owners, run: Samples, whole: Pass) -> dict[str, LayerGradient]:
    """Return the gradients of the whole network, sample by sample."""
    dense = one_by_one(run, whole.seed, whole.parameters)
    sizes = [sum(parameter.numel() for parameter in own) for own in owners.values()]
    return dict(zip(owners, map(DenseGradient, dense.split(sizes, dim=1)), strict=True))
