"""The device a computation runs on (`auto`, `cpu` or `cuda`), and how exactly it computes there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from td_interference.errors import UserError
from td_interference.storage.expansion import free_memory


def _rounding_mode() -> str | None:
    """Return the environment's setting by which float32 products on a CPU may lose bits."""
    for name in ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE"):  # the first one counts
        mode = os.environ.get(name, "")
        if mode:
            return None if mode.lower() == "strict" else f"{name}={mode}"
    return None


# As torch found it: this package sets it before torch is imported, unless that came first.
_ROUNDING = _rounding_mode()

_FULL = "ieee"  # torch's word for float32 with all its bits


def resolve_device(name: str) -> torch.device:
    """Return the device that `name` stands for.

    Args:
        name: "auto" (the first GPU if there is one, else the CPU), "cpu" or "cuda".

    Raises:
        UserError: If a GPU is asked for and none is there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("config key 'device': no CUDA GPU is visible; set it to 'auto' or 'cpu'")
    return torch.device(name)


def compute_exactly() -> None:
    """Make torch compute the same bits each time, and float32 with all its bits, on a GPU too.

    To be called before the first computation on a GPU: cuBLAS reads its setting when it starts.

    Raises:
        UserError: If products on a CPU may lose bits by a setting that came before torch.
    """
    _refuse_rounding(torch.device("cpu"))
    # cuDNN would else choose among algorithms by their time.
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    for operation in _operations():
        operation.fp32_precision = _FULL
    if torch.cuda.is_available():
        # Sums in the order of arrival are refused or done in a fixed order.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        library: Any = torch.utils
        library.deterministic.fill_uninitialized_memory = False  # a help in debugging alone


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Compute float32 with all its bits within the block, whatever the caller has set.

    Convolutions on a GPU else multiply with 10 bits of mantissa (TF32): inner products of gradients
    of the paper's network then are off by 1%, single cosines by 0.01.

    Args:
        device: Where autocast is to be off, besides the CPU.

    Raises:
        UserError: If products on a CPU may lose bits by a setting that came before torch.
    """
    _refuse_rounding(device)
    before = [_own_precision(operation) for operation in _operations()]
    for operation in _operations():
        operation.fp32_precision = _FULL
    try:
        with torch.autocast(device.type, enabled=False), torch.autocast("cpu", enabled=False):
            yield
    finally:
        for operation, precision in zip(_operations(), before, strict=True):
            operation.fp32_precision = precision


def check_room(n_bytes: int, device: torch.device) -> None:
    """Refuse what does not fit into the memory that is free now.

    Raises:
        UserError: If it does not.
    """
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()
    if free is not None and n_bytes > free:
        raise UserError(
            f"these gradients written out take {n_bytes / 1e9:.1f} GB, {free / 1e9:.1f} GB are "
            "free; take fewer samples at a time, or freeze parameters (requires_grad_(False))"
        )


def _own_precision(operation: Any) -> str:
    """Return what an operation was set to, "none" if it follows `torch.backends.fp32_precision`.

    Torch shows the two alike; one that follows must go on doing so afterwards.
    """
    shown = operation.fp32_precision
    operation.fp32_precision = "none"
    follows = operation.fp32_precision == shown
    operation.fp32_precision = shown
    return "none" if follows else shown


def _refuse_rounding(device: torch.device) -> None:
    if device.type == "cpu" and _ROUNDING:
        raise UserError(
            f"{_ROUNDING} was set when torch was imported, so that float32 products on a CPU may "
            "lose bits: unset it, or import td_interference before torch"
        )


def _operations() -> tuple[Any, ...]:
    """Return what torch may compute with fewer bits than float32 has, by library."""
    library: Any = torch.backends  # whose types do not know these
    cudnn, on_cpu = library.cudnn, library.mkldnn
    return cudnn.conv, cudnn.rnn, library.cuda.matmul, on_cpu.conv, on_cpu.rnn, on_cpu.matmul
