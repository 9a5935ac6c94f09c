"""Values of samples: how each depends on its sample's output, and on no other's."""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node

from td_interference.errors import UserError
from td_interference.seeds import torch_generator

_BASE = 13  # exponents 0..12: powers of two that leave room for small and large gradients


def output_gradient(
    value: Callable[[Tensor], Tensor], outputs: Tensor, watch: AbstractContextManager[Any]
) -> Tensor:
    """Return ∂value_n/∂output_n, shaped as the outputs.

    Args:
        value: Maps outputs to one number per sample.
        outputs: [N, ...].
        watch: In which `value` is called.

    Raises:
        UserError: If `value` does not fit, or mixes samples.
    """
    leaf = outputs.detach().requires_grad_()
    copy = leaf.clone()
    with watch:
        values = value(copy)
    _check_values(values, leaf)
    ones = torch.ones_like(values)
    gradient = backward(values, [leaf], ones, "the backward pass of `value`")[0]
    # Powers of two scale exactly, so any difference beyond underflow is another sample's part.
    smallest = torch.finfo(leaf.dtype).tiny
    for weights in separating_weights(len(values)):
        seed = weights.to(values)
        weighted = backward(values, [leaf], seed, "the backward pass of `value`")[0]
        expected = gradient * weights.to(leaf).view(-1, *[1] * (leaf.ndim - 1))
        if not torch.allclose(weighted, expected, rtol=1e-6, atol=smallest, equal_nan=True):
            raise UserError(
                "value mixes samples: entry n must depend on row n of the outputs alone "
                "(.detach() what is a constant)"
            )
    return gradient


def separating_weights(n_samples: int) -> list[Tensor]:
    """Return vectors of powers of two, [N] float64 each, no two samples alike in all of them.

    The exponents are the digits of the samples' numbers, in an order without a pattern.
    """
    generator = torch_generator("gradients", "separating weights")
    order = torch.randperm(n_samples, generator=generator, device="cpu")
    vectors = []
    while True:
        vectors.append(2.0 ** (order % _BASE).double())
        order = order // _BASE
        if not order.any():
            return vectors


def separate_weights(outputs: Tensor) -> Tensor:
    """Return a power of two for each sample, [N], from 2^20 to 2^-20 and in no order."""
    generator = torch_generator("gradients", "separate weights")
    order = torch.randperm(len(outputs), generator=generator, device="cpu")
    exponents = torch.linspace(20, -20, min(len(outputs), 41), device="cpu").round()
    return 2.0 ** exponents[order % 41].to(outputs)


def distinct_weights(outputs: Tensor) -> Tensor:
    """Return a weight between 1/2 and 1 for each sample, [N], no two alike, in no order."""
    generator = torch_generator("gradients", "distinct weights")
    order = torch.randperm(len(outputs), generator=generator, device="cpu")
    return 1 - order.to(outputs) / (2 * len(outputs))


def backward(
    outputs: Tensor, sources: list[Any], seed: Tensor, what: str, **options: bool
) -> list[Tensor]:
    """Return seed · ∂outputs/∂source for each source; the graph is kept.

    Args:
        outputs: Where the pass begins.
        sources: Leaves, or edges of the graph.
        seed: Shaped as the outputs.
        what: Names the pass in an error.
        options: Of `torch.autograd.grad`.

    Raises:
        UserError: If the pass fails.
    """
    try:
        return list(torch.autograd.grad(outputs, sources, seed, retain_graph=True, **options))
    except Exception as error:  # from any operation of the user's
        reason = first_line(error)
        if "use_reentrant" in str(error) or "Checkpointing is not compatible" in str(error):
            reason = "checkpoint needs use_reentrant=False"
        raise UserError(f"no per-sample gradients: {what} fails: {reason}") from error


def first_line(error: Exception) -> str:
    """Return what an exception says, in one line."""
    line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def uses(tensor: Tensor) -> Counter[Tensor]:
    """Count how often each leaf enters the graph of a tensor."""
    found: Counter[Tensor] = Counter()
    seen: set[Node] = set()
    stack = [tensor.grad_fn] if tensor.grad_fn else []
    while stack:
        children = [child for child, _ in stack.pop().next_functions if child]
        found.update(child.variable for child in children if hasattr(child, "variable"))
        unseen = {child for child in children if not hasattr(child, "variable")} - seen
        seen |= unseen
        stack.extend(unseen)
    return found


def _check_values(values: Any, leaf: Tensor) -> None:
    if not isinstance(values, Tensor) or values.shape != leaf.shape[:1]:
        found = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise UserError(f"value must return one number per sample, [{len(leaf)}], not {found}")
    if values.dtype not in (torch.float32, torch.float64):
        if values.requires_grad:
            raise UserError(f"value must return float32 or float64, not {values.dtype}")
        raise UserError(f"value does not depend on the network's outputs: it is {values.dtype}")
    sources = uses(values).keys()
    if leaf not in sources:
        raise UserError("value does not depend on the network's outputs")
    if len(sources) > 1:
        raise UserError(
            "value depends on other tensors with gradients than the network's outputs: "
            "detach the targets"
        )
