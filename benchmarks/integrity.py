"""What the seal costs: writing and reading a D* with it, against the same HDF5 file without.

The frames have the repetition of a game's screens, so that compression takes its usual share.

    python benchmarks/integrity.py --transitions 10000
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import h5py
import numpy as np
import typer

from td_interference.storage import hdf5, kinds


def made_up_play(n: int) -> hdf5.Arrays:
    """A screen of blocks in which a few pixels change from step to step; one episode."""
    generator = np.random.default_rng(0)
    screen = generator.integers(0, 256, (14, 14), dtype=np.uint8).repeat(6, 0).repeat(6, 1)
    frames = np.repeat(screen[None], n + 1, axis=0)
    for row in generator.integers(0, 84, (40, 2, n + 1)).swapaxes(1, 2):
        frames[np.arange(n + 1), row[:, 0], row[:, 1]] = 255
    arrays = {
        name: np.zeros((n, 9) if name == "expert_q" else n, field.dtype)
        for name, field in kinds.REPLAY.fields.items()
    }
    episode = {"episode_start": [0], "episode_length": [n], "episode_score": [0]}
    return arrays | {"frames": frames} | {key: np.array(value) for key, value in episode.items()}


def read_plainly(path: Path) -> hdf5.Arrays:
    """Read every data set as h5py does, unchecked."""
    with h5py.File(path) as file:
        return {name: file[name][()] for name in kinds.REPLAY.fields}


def write_unsealed(path: Path | str, content: bytes) -> None:
    """Write the bytes of the HDF5 library as they are."""
    Path(path).write_bytes(content)


def seconds(call: Callable[[], object]) -> float:
    """Processor seconds of one call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def main(transitions: int = 10_000, rounds: int = 5) -> None:
    """Take turns, and compare medians of processor seconds."""
    arrays = made_up_play(transitions)
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "play.h5"
        for _ in range(rounds):
            with mock.patch.object(hdf5, "write_sealed", write_unsealed):
                plain = seconds(lambda: hdf5.write(path, kinds.REPLAY, arrays, {}))
            sealed = seconds(lambda: hdf5.write(path, kinds.REPLAY, arrays, {}))
            checked = seconds(lambda: hdf5.read(path, kinds.REPLAY))
            unchecked = seconds(lambda: read_plainly(path))
            for name, value in (
                ("write, sealed", sealed),
                ("write, plain", plain),
                ("read, checked", checked),
                ("read, plain", unchecked),
            ):
                times.setdefault(name, []).append(value)
        print(f"{transitions:,} transitions, {path.stat().st_size / 1e6:.1f} MB")
    median = {name: statistics.median(values) for name, values in times.items()}
    for name, value in median.items():
        print(f"{name}: {value:.3f} s")
    print(f"write: {median['write, sealed'] / median['write, plain']:.3f} times as long")
    print(f"read: {median['read, checked'] / median['read, plain']:.3f} times as long")


if __name__ == "__main__":
    typer.run(main)
