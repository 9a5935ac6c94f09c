"""Random streams: each consumer's generator follows from (run, purpose) alone.

No global generator is ever seeded. Streams are drawn on the CPU, because the random streams of
GPUs differ between models.
"""

import hashlib
import random
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

_Stream = tuple[str, Callable[[], Any], Callable[[Any], None]]  # name, getter, setter of its state


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


class RandomStates:
    """The states of other people's random streams, to see whether a piece of code draws from them.

    Those of Python, numpy and torch that are global, and any generators given.
    """

    def __init__(
        self, devices: Collection["torch.device"] = (), generators: Collection[Any] = ()
    ) -> None:
        """Take the states as they are now.

        Args:
            devices: Of torch, besides the CPU.
            generators: Of torch, numpy or Python.
        """
        import torch

        self._streams: list[_Stream] = [
            ("torch's global generator", torch.get_rng_state, torch.set_rng_state),
            ("numpy's global generator", np.random.get_state, np.random.set_state),
            ("Python's module random", random.getstate, random.setstate),
        ]
        for device in devices:
            if device.type not in ("cpu", "meta"):
                of_type = torch.get_device_module(device)
                get = partial(of_type.get_rng_state, device)
                put = partial(of_type.set_rng_state, device=device)
                self._streams.append((f"torch's generator of {device}", get, put))
        self._streams += [("a generator of its own", *_access(each)) for each in generators]
        self._before = [get() for _, get, _ in self._streams]

    @staticmethod
    def is_generator(item: Any) -> bool:
        """Whether something is a generator whose state can be taken."""
        import torch

        numpys = (np.random.Generator, np.random.RandomState, np.random.BitGenerator)
        # The system's randomness has no state.
        return isinstance(item, (torch.Generator, *numpys, random.Random)) and not isinstance(
            item, random.SystemRandom
        )

    def _moved(self) -> Iterator[tuple[str, Callable[[Any], None], Any]]:
        """Yield each stream that was drawn from since: its name, its setter, its state before."""
        for (name, get, put), before in zip(self._streams, self._before, strict=True):
            if not _equal_states(before, get()):
                yield name, put, before

    def moved(self) -> str:
        """Name the first stream that was drawn from since; empty if none was."""
        return next((name for name, *_ in self._moved()), "")

    def restore(self) -> None:
        """Put all streams that moved back to where they were."""
        for _, put, before in self._moved():
            put(before)


def _access(generator: Any) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """Return getter and setter of a generator's state."""
    generator = getattr(generator, "bit_generator", generator)  # numpy's newer one
    if isinstance(generator, np.random.BitGenerator):
        return lambda: generator.state, partial(setattr, generator, "state")
    if isinstance(generator, random.Random):
        return generator.getstate, generator.setstate
    return generator.get_state, generator.set_state  # torch's and numpy's older one


def _equal_states(a: Any, b: Any) -> bool:
    """Whether two states of one generator, nested and with tensors or arrays in them, are equal."""
    if isinstance(a, dict):
        return all(_equal_states(a[key], b[key]) for key in a)
    if isinstance(a, tuple) and not all(isinstance(item, int) for item in a):
        return all(_equal_states(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    return a.equal(b) if hasattr(a, "equal") else a == b
