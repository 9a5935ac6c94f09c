"""Stacked observations per second from D* in memory, one core, minibatches of 32 (goal: 20,000)."""

import statistics
import time

import numpy as np
import torch
import typer
from training import made_up_replay


def main(minibatch: int = 32, batches: int = 2000, transitions: int = 50_000) -> None:
    """Draw random minibatches of stacked uint8 observations and report the median rate."""
    torch.set_num_threads(1)
    replay = made_up_replay(transitions)
    generator = np.random.default_rng(0)
    seconds = []
    for _ in range(batches):
        start = time.perf_counter()
        replay.observation(replay.draw(minibatch, generator))
        seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    print(f"{minibatch / median:,.0f} stacked observations/s, one core, minibatch {minibatch}")


if __name__ == "__main__":
    typer.run(main)
