"""Training that diverged: how it is found without a look at the device at each update, and said."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from td_interference.errors import UserError

logger = logging.getLogger(__name__)

ATTRIBUTES = ("diverged_at", "diverged")  # of a file on a run that diverged, see `left_out`


class Diverged(UserError):
    """A loss, parameter or target is infinite or not a number.

    Attributes:
        update_step: At which it was found.
    """

    def __init__(self, message: str, update_step: int):
        """See the class."""
        super().__init__(message)
        self.update_step = update_step

    def reached(self, checkpoints: Iterable[int]) -> tuple[int, ...]:
        """Return those of a run's checkpoints that it reached before."""
        return tuple(step for step in checkpoints if step < self.update_step)


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether no element is infinite or NaN; waits for the device once for all tensors together."""
    return bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all())


def left_out(error: Diverged, kept: Path | None, key: str, on_divergence: str) -> dict[str, Any]:
    """Return what a file says of a run that diverged, where such runs are to be left out.

    Args:
        error: How it diverged.
        kept: The last good state of the run.
        key: Of the learning rates in the configuration.
        on_divergence: "stop" or "leave_out".

    Returns:
        The attributes "diverged_at", an update step, and "diverged", a sentence.

    Raises:
        Diverged: If they are to stop the job; says what is kept and what can be done.
    """
    if on_divergence == "leave_out":
        logger.warning("%s; it is left out ('training.on_divergence')", error)
        return {"diverged_at": error.update_step, "diverged": str(error)}
    way_out = f"lower '{key}', or go on without such runs by 'training.on_divergence: leave_out'"
    raise Diverged(f"{error}; {last_good(kept)}; {way_out}", error.update_step) from None


def last_good(kept: Path | None) -> str:
    """Say where the last good state of a run is."""
    return f"the last good state is {kept}" if kept else "no state was saved before"
