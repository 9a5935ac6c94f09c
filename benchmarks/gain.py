"""Gain of a checkpoint's optimizer steps: the metric against losses computed anew for each step.

The plain way is the definition: for each minibatch the losses around it, towards targets of the
moment, before the step and again after it. The metric computes once per checkpoint what no step
changes. Both take the same steps on made-up transitions, by objectives whose targets come from
stored returns, from a frozen copy, and from the network itself.

    python benchmarks/gain.py --transitions 10000 --hidden 16 --minibatches 32 --rounds 1

Times are medians over rounds in which the two alternate within one process, on one thread unless
asked otherwise.
"""

import statistics
import time
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor

from td_interference import metrics
from td_interference.metrics.subject import Subject
from td_interference.planning.grid import RunSpec
from td_interference.replay import Replay
from td_interference.training import Trainer
from td_interference.updates import update

EPISODE = 500  # agent steps


def made_up_replay(n_transitions: int) -> Replay:
    """Noise of the right shapes: what the pixels show does not change the time."""
    generator = np.random.default_rng(0)
    lengths = np.full(n_transitions // EPISODE, EPISODE)
    n = int(lengths.sum())
    reward = generator.choice([0.0, 1.0], n).astype(np.float32)
    return Replay(
        {
            "frames": generator.integers(0, 256, (n + len(lengths), 84, 84), dtype=np.uint8),
            "action": generator.integers(0, 9, n, dtype=np.uint8),
            "reward": reward,
            "terminated": np.arange(n) % EPISODE == EPISODE - 1,
            "truncated": np.zeros(n, dtype=bool),
            "monte_carlo_return": reward,
            "expert_q": np.zeros((n, 9), dtype=np.float32),
            "episode_length": lengths,
        }
    )


def subject_of(objective: str, replay: Replay, hidden: int, minibatch: int) -> Subject:
    """Return a run after one update."""
    run = RunSpec(
        game="made_up",
        objective=objective,
        lambda_=0.9 if objective == "td_lambda" else None,
        loss="capped",
        gamma=0.99,
        hidden=hidden,
        optimizer="adam",
        learning_rate=1e-4,
        weight_decay=1e-4,
        momentum=0.9,
        minibatch=minibatch,
        updates=1,
        frozen_period=1000,
        tau=0.01,
        checkpoints=(1,),
        seed=0,
    )
    trainer = Trainer(run, replay)
    trainer.advance()
    checkpoint = trainer.checkpoint()
    kept = {name: tensor.clone() for name, tensor in checkpoint.parameters.items()}
    return Subject(run, trainer.objective, checkpoint._replace(parameters=kept))


def plain_way(subject: Subject, settings: dict[str, int]) -> np.ndarray:
    """Return the gains, [minibatches, samples, 2k + 1], by the definition."""
    replay, objective = subject.replay, subject.objective
    generator = subject.generator("gain")

    @torch.no_grad()
    def losses(index: Tensor) -> Tensor:
        return torch.cat(
            [
                objective.td_loss(objective.network(replay.observation(part)), part)
                for part in index.split(256)
            ]
        )

    gains = []
    for _ in range(settings["minibatches"]):
        minibatch = replay.draw(subject.run.minibatch, generator)
        unrelated = replay.draw(settings["unrelated"], generator)
        window = replay.window(minibatch, settings["half_width"])
        looked_at = torch.cat([window.index.flatten(), unrelated])
        index, place = torch.unique(looked_at, return_inverse=True)
        before = losses(index)
        update(objective, subject.optimizer(), minibatch)
        around = (before - losses(index))[place[: window.index.numel()]].view_as(window.index)
        subject.restore_network()
        gains.append(torch.where(window.valid, around, torch.nan).numpy())
    return np.stack(gains)


def main(
    transitions: Annotated[int, typer.Option(help="Of D*, about.")] = 10_000,
    hidden: Annotated[int, typer.Option(help="Width n_h of the network.")] = 16,
    minibatches: Annotated[int, typer.Option(help="Steps tried.")] = 32,
    minibatch: Annotated[int, typer.Option(help="Transitions of each.")] = 32,
    half_width: Annotated[int, typer.Option(help="Of the windows, in agent steps.")] = 30,
    unrelated: Annotated[int, typer.Option(help="Other transitions per minibatch.")] = 64,
    rounds: Annotated[int, typer.Option(help="Timed rounds, all measured.")] = 1,
    threads: Annotated[int, typer.Option(help="Threads of PyTorch.")] = 1,
) -> None:
    """Print the comparison as a table."""
    torch.set_num_threads(threads)
    replay, measure = made_up_replay(transitions), metrics.load("gain")
    settings = {"minibatches": minibatches, "half_width": half_width, "unrelated": unrelated}
    print(
        f"{len(replay):,} transitions, n_h = {hidden}, {minibatches} minibatches of {minibatch}, "
        f"windows of +-{half_width}, {threads} threads, torch {torch.__version__}"
    )
    print(f"{'objective':<20}{'plain':>10}{'metric':>10}{'ratio':>8}  largest difference")
    for name in ("td_lambda", "q_learning", "monte_carlo"):
        subject = subject_of(name, replay, hidden, minibatch)
        seconds: dict[str, list[float]] = {"plain": [], "metric": []}
        for _ in range(rounds):
            start = time.perf_counter()
            expected = plain_way(subject, settings)
            between = time.perf_counter()
            measured = measure(subject, settings)["gain"]
            seconds["plain"].append(between - start)
            seconds["metric"].append(time.perf_counter() - between)
        plain, metric = map(statistics.median, seconds.values())
        difference = np.nanmax(np.abs(measured - expected)) / np.nanmax(np.abs(expected))
        print(
            f"{name:<20}{plain:>8.1f} s{metric:>8.1f} s{plain / metric:>8.2f}"
            f"  {difference:.1e} of the largest gain",
            flush=True,
        )


if __name__ == "__main__":
    typer.run(main)
