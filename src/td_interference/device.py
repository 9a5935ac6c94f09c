"""The device a computation runs on (`auto`, `cpu` or `cuda`), and how exactly it computes there."""

import os

import torch

from td_interference.errors import UserError


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
    # cuDNN would else choose among algorithms by their time, and multiply with 10 bits of mantissa.
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    if torch.cuda.is_available():
        # Sums in the order of arrival are refused or done in a fixed order.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # a help in debugging alone
