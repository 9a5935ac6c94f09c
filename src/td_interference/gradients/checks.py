"""Checks that per-sample gradients exist; each refuses in one line a network that has none."""

from typing import Any

import torch
from torch import Tensor, nn

from td_interference.errors import UserError

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
_DROPOUTS = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    nn.RReLU,
)

# Largest relative deviation of two computations of one gradient by another order of summation.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-8}


def refuse_batch_modules(network: nn.Module) -> None:
    """Refuse modules that mix the samples of a batch, are random, or change as they are used."""
    for name, module in network.named_modules():
        reason = None
        if isinstance(module, _BATCH_NORMS) and (module.training or module.running_mean is None):
            reason = "normalises over the batch"
        elif isinstance(module, _INSTANCE_NORMS) and module.training and module.track_running_stats:
            reason = "updates its running statistics"
        elif isinstance(module, _DROPOUTS) and module.training and getattr(module, "p", 1) > 0:
            reason = "is random"
        if reason:
            raise UserError(
                f"no per-sample gradients: module {name!r} ({type(module).__name__}) {reason}; "
                "put it in evaluation mode (.eval()) or replace it"
            )


def check_outputs(outputs: Any, inputs: Tensor) -> None:
    """Refuse networks whose output is not one differentiable tensor with a row per sample."""
    if not isinstance(outputs, Tensor) or outputs.shape[:1] != inputs.shape[:1] or not len(inputs):
        found = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise UserError(
            f"the network must map [N, ...] to one tensor [N, ...], N at least 1; it returned "
            f"{found} for an input {list(inputs.shape)}"
        )
    if outputs.dtype not in TOLERANCE:
        raise UserError(f"the network must return float32 or float64, not {outputs.dtype}")
    if not outputs.requires_grad:
        raise UserError(
            "the network's output has no gradient: it depends on no trainable parameter, "
            "or inference mode is on"
        )


def checked_rows(outputs: Tensor) -> Tensor:
    """Return the samples that are computed twice, [K], int64: at most 8, spread over the batch."""
    n_rows = min(len(outputs), 8)
    return torch.linspace(0, len(outputs) - 1, n_rows, device=outputs.device).long()


def outputs_alone(network: nn.Module, inputs: Tensor, outputs: Tensor) -> Tensor:
    """Return the outputs of the checked rows, run without the other samples, [K, ...].

    Raises:
        UserError: If that fails, or they differ from the same samples' in the batch.
    """
    rows = checked_rows(outputs)
    # A batch of no more than these is run in halves, so that no sample has its usual company.
    chosen = rows.split(len(rows) if len(rows) < len(outputs) else (len(rows) + 1) // 2)
    try:
        alone = torch.cat([network(inputs[r]) for r in chosen])
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"no per-sample gradients: the network cannot run on part of its batch: {reason}"
        ) from error
    expected = outputs[rows]
    largest = outputs.nan_to_num(0, 0, 0).abs().amax()
    close = (alone - expected).abs().amax() <= 10 * TOLERANCE[outputs.dtype] * largest
    # Samples that diverged, to inf or NaN, cannot be compared.
    if expected.isfinite().all() and not close:
        raise UserError(
            "no per-sample gradients: samples run without their batch give other outputs; "
            "the network is random, overwrites its inputs, or mixes samples"
        )
    return alone
