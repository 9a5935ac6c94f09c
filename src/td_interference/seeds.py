"""Random streams: each consumer's generator follows from (run, purpose) alone.

No global generator is ever seeded. Streams are drawn on the CPU, because the random streams of
GPUs differ between models.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def seed_for(run: str, purpose: str) -> int:
    """Return a 63-bit seed for one consumer of randomness.

    Args:
        run: What the stream belongs to: a run id, or any other stable name.
        purpose: The consumer, e.g. "minibatches" or "initial_weights".

    Returns:
        A seed that depends on both names and on nothing else.
    """
    digest = hashlib.sha256(f"{run}\0{purpose}".encode()).digest()
    sequence = np.random.SeedSequence(np.frombuffer(digest, dtype=np.uint32).tolist())
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def numpy_generator(run: str, purpose: str) -> np.random.Generator:
    """Return a fresh numpy generator for (run, purpose)."""
    return np.random.default_rng(seed_for(run, purpose))


def torch_generator(run: str, purpose: str) -> "torch.Generator":
    """Return a fresh CPU torch generator for (run, purpose)."""
    import torch  # seconds that tables and figures, which draw with numpy alone, must not pay

    return torch.Generator().manual_seed(seed_for(run, purpose))
