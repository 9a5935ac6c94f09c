"""Calls of modules in a forward pass, from which the layer rules make per-sample gradients."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from td_interference.gradients.values import backward, uses

# Trainable parameters by the name of the module that owns them.
Owners = dict[str, list[nn.Parameter]]


class Call(NamedTuple):
    """One call of a module, on one tensor and returning one, with a row for each sample."""

    activation: Tensor  # [N, ...], detached
    # The place in the graph, not the output itself: an in-place ReLU after it changes the latter.
    output: GradientEdge


@contextmanager
def recorded_calls(network: nn.Module, owners: Owners) -> Iterator[dict[str, list[Call | None]]]:
    """Record each call of the owners within the block; None for one the layer rules do not take."""
    calls: dict[str, list[Call | None]] = {name: [] for name in owners}

    def recorder(name: str) -> Callable[..., None]:
        def record(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
            call = None
            one_input = len(args) == 1 and not kwargs and isinstance(args[0], Tensor)
            if one_input and isinstance(output, Tensor) and output.requires_grad:
                call = Call(args[0].detach(), get_gradient_edge(output))
            calls[name].append(call)

        return record

    modules, handles = dict(network.named_modules()), []
    try:
        for name in owners:
            if isinstance(modules[name], torch.jit.ScriptModule):  # takes no hooks
                continue
            # First in line, so that other hooks that replace the output come after.
            handle = modules[name].register_forward_hook(
                recorder(name), prepend=True, with_kwargs=True
            )
            handles.append(handle)
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def usable_calls(
    owners: Owners, calls: dict[str, list[Call | None]], outputs: Tensor
) -> dict[str, Call | None] | None:
    """Return the one call of each owner, or None where the layer rules do not apply.

    They do if each parameter enters the graph once, through the one call of its own module. An
    owner none of whose parameters enter it has no call: its gradients are 0.
    """
    found = uses(outputs)
    usable: dict[str, Call | None] = {}
    for name, own in owners.items():
        counts = {found[parameter] for parameter in own}
        once = calls[name][0] if counts == {1} and len(calls[name]) == 1 else None
        if once is None and counts != {0}:
            return None
        usable[name] = once
    return usable


def output_gradients(
    calls: dict[str, Call | None] | None, outputs: Tensor, seed: Tensor
) -> Sequence[Tensor | None]:
    """Return seed · ∂outputs/∂output of each call, shaped as that; None where it has no part."""
    if calls is None:
        return []
    edges: list[Any] = [call.output for call in calls.values() if call is not None]
    found = iter(backward(outputs, edges, seed, "its backward pass", allow_unused=True))
    return [None if call is None else next(found) for call in calls.values()]
