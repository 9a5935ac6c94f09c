"""Play and data sets as large as a scale's, made of little that is random."""

from pathlib import Path

import identities
import numpy as np

from td_interference.storage import hdf5, kinds
from td_interference.storage.identity import of_dataset

LONGEST_EPISODE = 27_000  # agent steps, 108,000 emulator frames
_EPISODE = 600  # agent steps


def write_play(path: Path, n_transitions: int, n_actions: int = 9) -> None:
    """Write a D* whose frames compress to about 630 bytes, those of games to 420."""
    generator = np.random.default_rng(0)
    screen = generator.integers(0, 255, (84, 84)).astype(np.uint8)
    start, length = 0, min(LONGEST_EPISODE, n_transitions // 10)
    with hdf5.create(path, kinds.REPLAY, identities.of_replay()) as writer:
        while start < n_transitions:
            for name, values in episode(generator, screen, start, length, n_actions).items():
                writer.append(name, values)
            start, length = start + length, min(_EPISODE, n_transitions - start - length)


def episode(
    generator: np.random.Generator, screen: np.ndarray, start: int, length: int, n_actions: int
) -> hdf5.Arrays:
    """Rows of `storage.REPLAY`; a twentieth of each frame is noise."""
    frames = np.repeat(screen[None], length + 1, 0)
    frames[:, 40:44] = generator.integers(0, 255, (length + 1, 4, 84))
    ends = np.arange(length) == length - 1
    nothing = np.zeros(length, dtype=np.float32)
    return {
        "frames": frames,
        "action": generator.integers(0, n_actions, length).astype(np.uint8),
        "reward": nothing,
        "raw_reward": nothing,
        "terminated": ends,
        "truncated": ~ends & ends,
        "monte_carlo_return": nothing,
        "expert_q": generator.normal(size=(length, n_actions)).astype(np.float32),
        "episode_start": np.array([start]),
        "episode_length": np.array([length]),
        "episode_score": nothing[:1],
    }


def images(path: Path, n_train: int, n_test: int) -> None:
    """Write a data set of noise with ten classes."""
    generator = np.random.default_rng(0)
    arrays = {}
    for name, n in (("train", n_train), ("test", n_test)):
        arrays[f"{name}_images"] = generator.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
        arrays[f"{name}_labels"] = generator.integers(0, 10, n)
    hdf5.write(path, kinds.IMAGES, arrays, of_dataset("noise"))


def regression(path: Path, n_train: int, n_test: int) -> None:
    """Write a data set of noise, as wide as SARCOS."""
    generator = np.random.default_rng(0)
    arrays = {}
    for name, n in (("train", n_train), ("test", n_test)):
        arrays[f"{name}_features"] = generator.normal(size=(n, 21)).astype(np.float32)
        arrays[f"{name}_targets"] = generator.normal(size=(n, 7)).astype(np.float32)
    hdf5.write(path, kinds.REGRESSION, arrays, of_dataset("noise"))
