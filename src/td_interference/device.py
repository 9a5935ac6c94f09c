"""The device a computation runs on: `auto`, `cpu` or `cuda`, in every command and setting."""

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
