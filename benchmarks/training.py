"""Updates per second of TD(λ) training with the paper's network, against a plain PyTorch loop.

Both use all cores. The plain loop is one process with a thread per core, contiguous memory and
torch's default Adam. Ours is what the workflow does: one process per core with one thread each,
channels-last activations, fused Adam. They take turns, and medians are compared.
"""

import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import nn

from td_interference.networks.atari import value_network
from td_interference.objectives.losses import capped
from td_interference.planning.grid import RunSpec
from td_interference.replay import Replay
from td_interference.training import Trainer

N_TRANSITIONS, EPISODE = 2000, 500
MINIBATCH, HIDDEN, WARM_UP = 32, 32, 5


def made_up_replay(n_transitions: int = N_TRANSITIONS, device: str = "cpu") -> Replay:
    """Noise of the right shapes: what the pixels show does not change the time."""
    generator = np.random.default_rng(0)
    lengths = np.full(n_transitions // EPISODE, EPISODE)
    ends = np.arange(n_transitions) % EPISODE == EPISODE - 1
    reward = generator.choice([0.0, 1.0], n_transitions).astype(np.float32)
    return Replay(
        {
            "frames": generator.integers(
                0, 256, (n_transitions + len(lengths), 84, 84), dtype=np.uint8
            ),
            "action": np.zeros(n_transitions, dtype=np.uint8),
            "reward": reward,
            "terminated": ends,
            "truncated": np.zeros(n_transitions, dtype=bool),
            "monte_carlo_return": reward,
            "expert_q": np.zeros((n_transitions, 9), dtype=np.float32),
            "episode_length": lengths,
        },
        device,
    )


def plain_loop(updates: int) -> float:
    """Seconds per update of the loop a tutorial would write."""
    generator = np.random.default_rng(0)
    observation = torch.from_numpy(
        generator.integers(0, 256, (N_TRANSITIONS, 4, 84, 84), dtype=np.uint8)
    )
    target = torch.rand(N_TRANSITIONS)
    network = nn.Sequential(*list(value_network(HIDDEN))[1:])  # without our own pixel layer
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=1e-4)

    def update() -> None:
        index = torch.randint(0, N_TRANSITIONS, (MINIBATCH,))
        prediction = network(observation[index].float() / 255)[:, 0]
        loss = capped(target[index] - prediction).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return median_seconds(update, updates)


def our_loop(updates: int) -> float:
    """Seconds per update of the loop that the workflow runs."""
    run = RunSpec(
        game="ms_pacman",
        objective="td_lambda",
        lambda_=0.9,
        loss="capped",
        gamma=0.99,
        hidden=HIDDEN,
        optimizer="adam",
        learning_rate=1e-4,
        weight_decay=1e-4,
        momentum=0.9,
        minibatch=MINIBATCH,
        updates=10**9,
        frozen_period=10**9,
        tau=0.01,
        checkpoints=(),
        seed=0,
    )
    return median_seconds(Trainer(run, made_up_replay()).advance, updates)


def median_seconds(update, updates: int) -> float:
    """Median time of one call, after a warm-up."""
    seconds = []
    for _ in range(WARM_UP + updates):
        start = time.perf_counter()
        update()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[WARM_UP:])


def updates_per_second(loop: str, processes: int, threads: int, updates: int) -> float:
    """Sum over concurrent processes, each of which times its own updates."""
    command = [sys.executable, __file__, "--loop", loop, "--threads", str(threads)]
    command += ["--updates", str(updates)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(processes)]
    return sum(1 / json.loads(process.communicate()[0]) for process in running)


def main(loop: str = "", threads: int = 0, updates: int = 60, rounds: int = 3) -> None:
    """Compare, or with --loop time one loop in this process and print seconds per update."""
    if loop:
        torch.set_num_threads(threads)
        print(json.dumps({"plain": plain_loop, "ours": our_loop}[loop](updates)))
        return
    cores = len(os.sched_getaffinity(0))
    cases = {
        f"plain loop, 1 process x {cores} threads": ("plain", 1, cores),
        f"ours, 1 process x {cores} threads": ("ours", 1, cores),
        f"ours, {cores} processes x 1 thread (the workflow)": ("ours", cores, 1),
    }
    measured: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            measured[name].append(updates_per_second(*case, updates))
    medians = {name: statistics.median(values) for name, values in measured.items()}
    plain = next(iter(medians.values()))
    table = Table(
        "", "updates/s", "ratio", title=f"paper's network, {cores} cores, {rounds} rounds"
    )
    for name, value in medians.items():
        table.add_row(name, f"{value:.1f}", f"{value / plain:.2f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
