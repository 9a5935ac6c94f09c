"""Samples run without the others: a gradient of one sample exists if that changes nothing."""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from td_interference.errors import UserError
from td_interference.gradients.checks import ROUNDING
from td_interference.gradients.inputs import Batch
from td_interference.gradients.unchanged import NetworkState
from td_interference.gradients.values import backward, first_line
from td_interference.networks.atari import ScalePixels

# Modules whose row n of outputs is a function of row n of inputs alone.
_ROW_WISE = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.Identity,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Tanh,
    nn.Sigmoid,
    nn.LogSigmoid,
    nn.Softplus,
    nn.Softsign,
    nn.Hardtanh,
    nn.Hardsigmoid,
    nn.Hardswish,
    ScalePixels,
)

BLOCK = 32  # samples run alone at a time
_OTHER = "other outputs"

Samples = Callable[[Tensor], Tensor]  # from numbers of samples [K] to their outputs [K, ...]


class Pass(NamedTuple):
    """A forward pass of the whole batch."""

    batch: Batch
    state: NetworkState  # to which the network returns after each pass
    outputs: Tensor  # [N, ...]
    seed: Tensor  # each sample's part of the gradient with respect to the outputs, [N, ...]
    parameters: list[nn.Parameter]
    precision: torch.dtype  # float32 if anything was computed in it


class Alone(NamedTuple):
    """What samples give that are run without the others."""

    run: Samples  # from numbers of samples [K] to their outputs [K, ...]
    gradient: list[Tensor]  # Σ_n weights[n] · gradient[n] over the finite, one per parameter


def row_wise(network: nn.Module) -> bool:
    """Whether a network is a plain chain of modules that are known to keep samples apart.

    Hooks of any kind may do anything, so that with one it is not.
    """
    hooks = (
        network._forward_hooks,
        network._forward_pre_hooks,
        network._backward_hooks,
        network._backward_pre_hooks,
        *(parameter._backward_hooks for parameter in network.parameters(recurse=False)),
        nn.modules.module._has_any_global_hook(),
        torch._C._autograd._top_saved_tensors_default_hooks(False),
    )
    if any(hooks) or "forward" in vars(network):
        return False
    if type(network) is nn.Sequential:
        return all(map(row_wise, network))
    if type(network) is nn.Flatten:
        return network.start_dim >= 1
    return type(network) in _ROW_WISE


def run_alone(whole: Pass, weights: Tensor) -> Alone:
    """Run every sample without the others and compare its outputs with those in the batch.

    Args:
        whole: The pass of the batch.
        weights: Of the samples' gradients in their sum, [N].

    Raises:
        UserError: If samples cannot be run alone, or give other outputs.
    """
    outputs, seed = whole.outputs, whole.seed * per_row(weights, whole.seed)
    finite = outputs.detach().reshape(len(outputs), -1).isfinite().all(1)
    reasons = []
    for block, run in _ways(whole):
        gradient = [torch.zeros_like(parameter) for parameter in whole.parameters]
        try:
            # What is not finite would spoil the sum of the others.
            for chosen in (finite, ~finite):
                for rows in chosen.nonzero()[:, 0].split(block) if chosen.any() else ():
                    found = run(rows)
                    check_same(found, rows, whole)
                    if chosen is finite:
                        _add_gradient(gradient, found, seed[rows], whole.parameters)
        except UserError as error:
            reasons.append(str(error))
        except Exception as error:  # from any operation of the network
            reasons.append(
                "no per-sample gradients: the network cannot run on part of its batch: "
                f"{first_line(error)}"
            )
        else:
            return Alone(run, gradient)
    raise UserError(next((r for r in reasons if _OTHER in r), reasons[-1]))


def run_some_alone(whole: Pass, rows: Tensor) -> Tensor:
    """Return the outputs of some samples, run without the others, [K, ...].

    Raises:
        UserError: If that fails, or they differ from the same samples' in the batch.
    """
    # A batch of no more than these is run in halves, so that no sample has its usual company.
    chosen = rows.split(len(rows) if len(rows) < len(whole.outputs) else (len(rows) + 1) // 2)
    try:
        alone = torch.cat([whole.batch.run(whole.batch.rows(r)) for r in chosen])
    except Exception as error:  # from any operation of the network
        raise UserError(
            f"no per-sample gradients: the network cannot run on part of its batch: "
            f"{first_line(error)}"
        ) from error
    check_same(alone, rows, whole)
    return alone


def run_singly(whole: Pass, rows: Tensor, copies: int = 1) -> Tensor:
    """Return the outputs of samples run one by one, [K, ...].

    Args:
        whole: The pass of the batch.
        rows: Which, [K].
        copies: Of the sample in each run.
    """
    found = []
    for row in rows:
        try:
            output = whole.batch.run(whole.batch.rows(row.expand(copies)))
        finally:
            whole.state.restore()
        if output.shape[:1] != (copies,):
            raise UserError(
                f"no per-sample gradients: the network returned {list(output.shape)} for a sample "
                "alone; it must return [1, ...]"
            )
        found.append(output[:1])
    return torch.cat(found)


def _ways(whole: Pass) -> Iterator[tuple[int, Samples]]:
    """Yield ways to run samples alone, the fastest first, and how many to run at a time."""
    if not whole.batch.scripted:
        yield BLOCK, lambda rows: _vectorised(whole, rows)
    yield 1, lambda rows: run_singly(whole, rows)
    # Some networks drop a dimension of size one; two copies of a sample keep each other company.
    yield 1, lambda rows: run_singly(whole, rows, 2)


def check_same(found: Tensor, rows: Tensor, whole: Pass) -> None:
    """Refuse outputs of samples that differ from the same samples' in the batch.

    Args:
        found: Of K samples without their batch, [K, ...].
        rows: Which, [K].
        whole: The pass of the batch.

    Raises:
        UserError: If they differ.
    """
    expected = whole.outputs.detach()[rows]
    same = isinstance(found, Tensor) and found.shape == expected.shape
    if same:
        finite = expected.isfinite()
        difference = _largest(torch.where(finite, found.detach() - expected, 0))
        size = _largest(whole.outputs.detach().nan_to_num(0, 0, 0))
        # Not of the largest: next to one huge sample, others' mixing would pass for rounding.
        size = torch.maximum(size[rows], upper_median(size))
        close = bool((difference <= ROUNDING[whole.precision] * size).all())
        # What diverged, to inf or NaN, must do so alone, too.
        same = close and finite.equal(found.detach().isfinite())
    if not same:
        raise UserError(
            f"no per-sample gradients: samples run without their batch give {_OTHER}; the network "
            "is random, keeps something from call to call, or mixes samples"
        )


def upper_median(sizes: Tensor) -> Tensor:
    """Return the median of what is not 0, a scalar; the larger of the middle two, 0 of nothing.

    Args:
        sizes: [N], finite, at least 0.
    """
    ordered = sizes[sizes > 0].sort().values
    return ordered[len(ordered) // 2] if len(ordered) else sizes.new_zeros(())


def _largest(tensor: Tensor) -> Tensor:
    return tensor.reshape(len(tensor), -1).abs().amax(1)


def per_row(factors: Tensor, tensor: Tensor) -> Tensor:
    """Return factors [N] so that they multiply the rows of a tensor [N, ...]."""
    return factors.to(tensor).view(-1, *[1] * (tensor.ndim - 1))


def _add_gradient(
    total: list[Tensor], outputs: Tensor, seed: Tensor, parameters: list[nn.Parameter]
) -> None:
    if outputs.requires_grad:
        parts = backward(
            outputs, parameters, seed, "the backward pass of a part", materialize_grads=True
        )
        for own, part in zip(total, parts, strict=True):
            own += part.to_dense()


def _vectorised(whole: Pass, rows: Tensor) -> Tensor:
    leaves = [leaf[:, None] for leaf in whole.batch.rows(rows)]
    with warnings.catch_warnings():
        # That an operation is not vectorised costs time only.
        warnings.filterwarnings("ignore", "There is a performance drop")
        try:
            found = torch.func.vmap(lambda *own: whole.batch.run(list(own)))(*leaves)
        finally:
            whole.state.restore()
    return found[:, 0] if found.shape[1:2] == (1,) else found


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run what `torch.compile` has compiled as it was written, within the block."""
    if "torch._dynamo" in sys.modules:
        with torch.compiler.set_stance("force_eager"):
            yield
    else:
        yield
