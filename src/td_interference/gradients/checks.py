"""Checks that per-sample gradients exist; each refuses in one line a network that has none."""

from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor

from td_interference.errors import UserError
from td_interference.gradients.inputs import Batch

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
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

# The same of outputs of samples in different company, relative to the largest output.
ROUNDING = {torch.float32: 1e-5, torch.float64: 1e-10}


def check_network(network: Any, value: Any) -> nn.Module:
    """Return the network itself, without wrappers that do not change what it computes.

    Raises:
        UserError: If it is no module, `value` no function, or parameters have no values.
    """
    if not isinstance(network, nn.Module):
        raise UserError(
            f"the network must be a torch.nn.Module, whose parameters can be found, not "
            f"{type(network).__name__}"
        )
    if not callable(value):
        raise UserError(
            f"value must be a function from outputs to one number per sample, not "
            f"{type(value).__name__}"
        )
    if torch.is_inference_mode_enabled():
        raise UserError("inference mode is on, in which there are no gradients; leave it")
    if torch._guards.detect_fake_mode() is not None:
        raise UserError("a FakeTensorMode is on, in which tensors have no values; leave it")
    while isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
        network = network.module
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        wrong = None
        if nn.parameter.is_lazy(tensor):
            wrong = "has no shape yet (a lazy module); run the network once"
        elif tensor.device.type == "meta" or isinstance(tensor, FakeTensor):
            wrong = "is on the meta device, or fake, and has no values; load them"
        elif tensor.is_inference():
            wrong = "was made in inference mode; make the network outside of it"
        if wrong:
            raise UserError(f"the network's {name!r} {wrong}")
    return network


def refuse_batch_modules(network: nn.Module) -> None:
    """Refuse modules that mix the samples of a batch, are random, or change as they are used."""
    for name, module in network.named_modules():
        reason = None
        if isinstance(module, BATCH_NORMS) and (module.training or module.running_mean is None):
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


def check_outputs(outputs: Any, batch: Batch) -> None:
    """Refuse networks whose output is not one differentiable tensor with a row per sample."""
    if not isinstance(outputs, Tensor) or outputs.shape[:1] != (len(batch),):
        found = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise UserError(
            f"the network must map [N, ...] to one tensor [N, ...] (wrap it in a module that "
            f"returns one); it returned {found} for an input {batch.shapes}"
        )
    if outputs.is_nested or outputs.layout is not torch.strided:
        raise UserError("the network must return a dense tensor, not a nested or sparse one")
    if outputs.numel() == 0:
        raise UserError(f"the network returned no numbers: {list(outputs.shape)}")
    if outputs.dtype not in TOLERANCE:
        raise UserError(
            f"the network must return float32 or float64, not {outputs.dtype}; with .float() "
            "its gradients can be measured"
        )
    if not outputs.requires_grad:
        raise UserError(
            "the network's output has no gradient: it depends on no trainable parameter, "
            "or inference mode or no_grad is on inside"
        )
