"""D* in memory, one core: stacked observations per second (goal: 20,000), and seconds of loading.

Alone a job decompresses the frames into memory of its own. Where jobs of a machine share them, the
first one also writes them to a file, and the next ones map that.
"""

import statistics
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import typer
from integrity import made_up_play

from td_interference.replay import Replay
from td_interference.storage import hdf5, kinds


def rate(replay: Replay, minibatch: int, batches: int) -> float:
    """Median rate at which random minibatches of stacked uint8 observations are drawn, per s."""
    generator = np.random.default_rng(0)
    seconds = []
    for _ in range(batches):
        start = time.perf_counter()
        replay.observation(replay.draw(minibatch, generator))
        seconds.append(time.perf_counter() - start)
    return minibatch / statistics.median(seconds)


def main(minibatch: int = 32, batches: int = 2000, transitions: int = 50_000) -> None:
    """Load a D* in each of the ways, and draw from it."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(tempfile, "tempdir", folder):
        path = Path(folder) / "replay.h5"
        hdf5.write(path, kinds.REPLAY, made_up_play(transitions), {})
        for way, shared in {"alone": False, "first to share": True, "next to share": True}.items():
            start = time.perf_counter()
            replay = Replay.load(path, shared=shared)
            loading = time.perf_counter() - start
            drawn = rate(replay, minibatch, batches)
            print(
                f"{way:14}  {drawn:7,.0f} stacked observations/s in minibatches of {minibatch}, "
                f"{transitions:,} transitions loaded in {loading:.2f} s"
            )


if __name__ == "__main__":
    typer.run(main)
