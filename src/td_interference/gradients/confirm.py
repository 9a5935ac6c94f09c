"""Comparing per-sample gradients with plain autograd's: nothing leaves the engine unconfirmed."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from td_interference.errors import UserError
from td_interference.gradients.alone import Pass, per_row
from td_interference.gradients.checks import ROUNDING, TOLERANCE
from td_interference.gradients.records import LayerGradient
from td_interference.gradients.values import backward
from td_interference.seeds import torch_generator

# Of sums of gradients with and without company, relative to a parameter's own. In float32 rounding
# may put a few units on the other side of their kink; per-sample gradients that mix differ by more.
COMPANY = {torch.float32: 1e-2, torch.float64: 1e-6}
_COMPANY_FLOOR = {torch.float32: 1e-5, torch.float64: 1e-10}  # relative to all parameters'


def checked_rows(outputs: Tensor) -> Tensor:
    """Return the samples that are computed twice, [K], int64: at most 8, spread over the batch."""
    n_rows = min(len(outputs), 8)
    last, dtype = len(outputs) - 1, torch.float64
    return torch.linspace(0, last, n_rows, dtype=dtype, device=outputs.device).long()


def confirmed_on_some(
    layers: Mapping[str, LayerGradient],
    owners: Mapping[str, list[nn.Parameter]],
    rows: Tensor,
    alone: Tensor,
    whole: Pass,
) -> bool:
    """Compare the gradients of some samples with plain autograd's.

    All at once: the sum of the gradients, each scaled to a length between 1/2 and 1.

    Args:
        layers: The gradients, by the name of the module.
        owners: Parameters by the name of their module.
        rows: Which samples, [K].
        alone: Their outputs, run without the others, [K, ...].
        whole: The pass of the batch.
    """
    outputs, seed = whole.outputs, whole.seed
    norms = torch.stack([layer.squared_norms()[rows] for layer in layers.values()]).sum(0).sqrt()
    if not norms.isfinite().all():
        return True  # diverged: inf or NaN by any method
    # No two lengths are equal, so that samples with opposite gradients do not cancel.
    lengths = torch.linspace(1, 0.5, len(rows), dtype=norms.dtype, device=norms.device)
    weights = lengths / torch.where(norms > 0, norms, 1)
    part = seed[rows] * per_row(weights, seed)
    # Alone is cheap, but rounding may put a unit on the other side of its kink there; the batch's
    # own graph, as dear as the whole computation, is asked only if they differ.
    in_batch = torch.zeros_like(outputs).index_add(0, rows, part)
    for graph, graph_seed in ((alone, part), (outputs, in_batch)):
        reference = backward(
            graph, whole.parameters, graph_seed, "its backward pass", materialize_grads=True
        )
        if confirmed(layers, owners, rows, weights, reference, whole.precision):
            return True
    return False


def confirmed(
    layers: Mapping[str, LayerGradient],
    owners: Mapping[str, list[nn.Parameter]],
    rows: Tensor,
    weights: Tensor,
    reference: Iterable[Tensor],
    precision: torch.dtype,
) -> bool:
    """Whether Σ_k weights[k] · gradient[rows[k]] of the layers is the reference.

    Args:
        layers: By the name of the module.
        owners: Parameters by the name of their module.
        rows: Samples, [K], int64.
        weights: [K].
        reference: One tensor per parameter, in the order of the owners; overwritten.
        precision: What all was computed in.
    """
    dense = [gradient.to_dense() for gradient in reference]  # embeddings may give sparse ones
    length = torch.stack([torch.linalg.vector_norm(gradient) for gradient in dense]).norm()
    unread = iter(dense)
    distances = [
        layers[name].distance(rows, weights.to(dense[0]), [next(unread) for _ in own])
        for name, own in owners.items()
    ]
    return bool(torch.stack(distances).norm() <= TOLERANCE[precision] * length)


def separate(
    deltas: Sequence[Tensor | None],
    scaled: Sequence[Tensor | None],
    powers: Tensor,
    precision: torch.dtype,
) -> bool:
    """Whether row n of gradients anywhere in the graph is sample n's alone, and not bent.

    Scaling by a power of two is exact, so that this, unlike a comparison with other passes, is not
    blurred by rounding.

    Args:
        deltas: The gradients, [N, ...] each; None and those of other shapes are left out.
        scaled: The same with each sample's part scaled.
        powers: By what, [N], powers of two.
        precision: What all was computed in.
    """
    for delta, found in zip(deltas, scaled, strict=True):
        if delta is not None and found is not None and len(delta) == len(powers):
            own = delta.reshape(len(powers), -1)
            distance = found.reshape(len(powers), -1) / powers.to(own)[:, None] - own
            floor = torch.finfo(own.dtype).tiny ** 0.5  # below it, products vanish
            close = TOLERANCE[precision] * torch.linalg.vector_norm(own, dim=1) + floor
            if (torch.linalg.vector_norm(distance, dim=1) > close).any():
                return False
    return True


def check_linear(whole: Pass) -> None:
    """Refuse backward passes, hooks included, that bend gradients: that clip or normalise them.

    Raises:
        UserError: If gradients of large and small multiples are not those multiples.
    """
    large, small = (
        [
            part.to_dense() / factor
            for part in backward(
                whole.outputs,
                whole.parameters,
                whole.seed * factor,
                "its backward pass",
                materialize_grads=True,
            )
        ]
        for factor in (2.0**20, 2.0**-20)
    )
    check_company(large, small, whole)


def check_neighbours(whole: Pass, weights: Tensor) -> None:
    """Refuse networks in which samples' gradients change with the samples beside them.

    Behind a gate of 0, as in branches that are not trained as yet, no output shows that samples
    mix. In a batch of the same shape every operation rounds as before, so that in float32, too,
    hardly any difference is let pass.

    Args:
        whole: The pass of the batch, of finite outputs.
        weights: Of the samples' gradients in their sum, [N].

    Raises:
        UserError: If gradients of one half change where the other half are copies of one sample.
    """
    n_samples = len(whole.outputs)
    generator = torch_generator("gradients", "neighbours")
    order = torch.randperm(n_samples, generator=generator, device="cpu").to(weights.device)
    kept = order[: (n_samples + 1) // 2]
    rows = kept[:1].repeat(n_samples).index_copy(0, kept, kept)
    try:
        outputs = whole.batch.run(whole.batch.rows(rows))
    finally:
        whole.state.restore()
    weights = torch.zeros_like(weights).index_copy(0, kept, weights[kept])
    seed = whole.seed * per_row(weights, whole.seed)
    apart, together = (
        [
            part.to_dense()
            for part in backward(
                graph, whole.parameters, seed, "its backward pass", materialize_grads=True
            )
        ]
        for graph in (outputs, whole.outputs)
    )
    check_company(apart, together, whole, ROUNDING)


def check_company(
    alone: Sequence[Tensor],
    in_batch: Sequence[Tensor],
    whole: Pass,
    tolerance: Mapping[torch.dtype, float] = COMPANY,
) -> None:
    """Refuse networks in which a sample's gradient depends on the others, though no output does.

    So do layers that normalise over the batch and are scaled by 0 as yet.

    Args:
        alone: Sums of the samples' gradients, each run without the others, one per parameter.
        in_batch: The same from the whole batch's graph.
        whole: The pass of the batch.
        tolerance: Of each sum, relative to a parameter's own.

    Raises:
        UserError: If they differ.
    """
    lengths = [torch.linalg.vector_norm(gradient) for gradient in in_batch]
    floor = _COMPANY_FLOOR[whole.precision] * torch.stack(lengths).norm()
    for own, other, length in zip(alone, in_batch, lengths, strict=True):
        distance = torch.linalg.vector_norm(own - other)
        if distance > tolerance[whole.precision] * length + floor:
            raise UserError(
                "no per-sample gradients: samples run without their batch give other gradients; "
                "the network mixes samples, or its backward pass is not linear"
            )
