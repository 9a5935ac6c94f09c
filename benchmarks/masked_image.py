"""Agent steps per second of the masked-image environment with its observations, one core."""

import statistics
import time

import numpy as np
import torch
import typer

from td_interference.datasets.arrays import Split
from td_interference.environments.masked_image import MaskedImages


def steps_per_second(images: MaskedImages, n_environments: int, repeats: int) -> float:
    """Return the median rate over `repeats` rounds of steps with random actions."""
    generator = torch.Generator().manual_seed(0)
    n_steps = max(1, 2048 // n_environments)
    shape = (n_steps, n_environments)
    draws = [torch.randint(0, n, shape, generator=generator) for n in (10, 4, len(images))]
    actions, moves, restarts = (part.to(images.device) for part in draws)
    state = images.begin(restarts[0])
    rates = []
    for _ in range(repeats):
        start = time.perf_counter()
        for action, move, restart in zip(actions, moves, restarts, strict=True):
            step = images.step(state, action, move)
            state = step.state.where(step.terminated | step.truncated, images.begin(restart))
            float(images.observation(state)[0, 0, 0, 0])  # waits for a GPU
        rates.append(n_steps * n_environments / (time.perf_counter() - start))
    return statistics.median(rates)


def main(device: str = "cpu", n_images: int = 10_000, repeats: int = 9) -> None:
    """Report the rate at several numbers of environments."""
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (n_images, 3, 32, 32), dtype=np.uint8)
    images = MaskedImages(Split(pixels, generator.integers(0, 10, n_images)), device)
    for n_environments in (1, 128, 4096):
        rate = steps_per_second(images, n_environments, repeats)
        print(f"{rate:>10,.0f} agent steps/s, {n_environments} environments, {device}")


if __name__ == "__main__":
    typer.run(main)
