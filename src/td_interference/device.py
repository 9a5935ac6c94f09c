"""The device a computation runs on (`auto`, `cpu` or `cuda`), and how exactly it computes there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from td_interference.errors import UserError

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
    """
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
        device: Where autocast is to be off.
    """
    before = [operation.fp32_precision for operation in _operations()]
    for operation in _operations():
        operation.fp32_precision = _FULL
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for operation, precision in zip(_operations(), before, strict=True):
            operation.fp32_precision = precision


def _operations() -> tuple[Any, ...]:
    """Return what torch may compute with fewer bits than float32 has, by library."""
    library: Any = torch.backends  # whose types do not know these
    cudnn, on_cpu = library.cudnn, library.mkldnn
    return cudnn.conv, cudnn.rnn, library.cuda.matmul, on_cpu.conv, on_cpu.rnn, on_cpu.matmul
