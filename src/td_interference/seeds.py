"""Random streams: each consumer's generator follows from (run, purpose) alone.

No global generator is ever seeded. Streams are drawn on the CPU, because the random streams of
GPUs differ between models.
"""

import hashlib
import random
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

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
        self._devices = [device for device in devices if device.type not in ("cpu", "meta")]
        self._generators = list(generators)
        self._before = self._states()

    @staticmethod
    def is_generator(item: Any) -> bool:
        """Whether something is a generator whose state can be taken."""
        import torch

        numpys = (np.random.Generator, np.random.RandomState, np.random.BitGenerator)
        # The system's randomness has no state.
        return isinstance(item, (torch.Generator, *numpys, random.Random)) and not isinstance(
            item, random.SystemRandom
        )

    def moved(self) -> str:
        """Name the first stream that was drawn from since; empty if none was."""
        for (name, before), (_, now) in zip(self._before, self._states(), strict=True):
            if not _equal_states(before, now):
                return name
        return ""

    def restore(self) -> None:
        """Put all streams that moved back to where they were."""
        import torch

        setters = [
            torch.set_rng_state,
            np.random.set_state,
            random.setstate,
            *(
                lambda state, device=device: _module_of(device).set_rng_state(state, device)
                for device in self._devices
            ),
            *(_setter(generator) for generator in self._generators),
        ]
        for (_, before), (_, now), put in zip(self._before, self._states(), setters, strict=True):
            if not _equal_states(before, now):
                put(before)

    def _states(self) -> list[tuple[str, Any]]:
        import torch

        return [
            ("torch's global generator", torch.get_rng_state()),
            ("numpy's global generator", np.random.get_state()),  # noqa: NPY002
            ("Python's module random", random.getstate()),
            *(
                (f"torch's generator of {device}", _module_of(device).get_rng_state(device))
                for device in self._devices
            ),
            *(("a generator of its own", _state(generator)) for generator in self._generators),
        ]


def _module_of(device: "torch.device") -> Any:
    import torch

    return torch.get_device_module(device)


def _state(generator: Any) -> Any:
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    if isinstance(generator, np.random.BitGenerator):
        return generator.state
    if isinstance(generator, random.Random):
        return generator.getstate()
    return generator.get_state()  # torch's and numpy's older one


def _setter(generator: Any) -> Any:
    if isinstance(generator, np.random.Generator):
        generator = generator.bit_generator
    if isinstance(generator, np.random.BitGenerator):
        return lambda state: setattr(generator, "state", state)
    return generator.setstate if isinstance(generator, random.Random) else generator.set_state


def _equal_states(a: Any, b: Any) -> bool:
    """Whether two states of one generator, nested and with tensors or arrays in them, are equal."""
    if isinstance(a, dict):
        return all(_equal_states(a[key], b[key]) for key in a)
    if isinstance(a, tuple) and not all(isinstance(item, int) for item in a):
        return all(_equal_states(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    return a.equal(b) if hasattr(a, "equal") else a == b
