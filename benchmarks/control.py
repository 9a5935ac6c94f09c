"""Agent steps and updates per second of control on one core, and the share that is not network.

A step is compared with its network alone: one greedy choice of all environments and one update, on
an observation and a minibatch that stay the same. Both take turns in one process. Seconds are CPU
seconds of the process, emulators included, so that other jobs on the machine count less.

    python benchmarks/control.py
    python benchmarks/control.py --hidden 32 --environments 1 --updates-per-step 1

Also timed: writing a window, and playing evaluation episodes, which each checkpoint does.
"""

import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import typer
from rich.console import Console
from rich.table import Table

from td_interference.agents.control.replay import write_window
from td_interference.agents.control.training import ControlTraining, td_error
from td_interference.agents.playing import play_episodes
from td_interference.environments.atari import AtariSettings
from td_interference.environments.screen import FRAMESKIP
from td_interference.jobs.kept_files import Parts
from td_interference.objectives.losses import LOSSES
from td_interference.optimizers import make_optimizer
from td_interference.planning.control import ControlSettings
from td_interference.seeds import numpy_generator

GAME, WARM_UP, EPISODES = "ms_pacman", 5, 4


def made_training(
    hidden: int,
    environments: int,
    updates_per_step: float,
    learning_starts: int,
    window: int,
    directory: Path,
) -> ControlTraining:
    """A run that has just begun to learn, on the play from before it."""
    training = ControlTraining(
        ControlSettings(
            GAME,
            hidden=hidden,
            n_environments=environments,
            updates_per_step=updates_per_step,
            epsilon_start=0.05,  # greedy from the start, or the network would not act
            learning_starts=learning_starts,
            replay_capacity=20_000,
            restart_period=1000,
            window=window,
            checkpoints=(10**6,),  # beyond what is timed
        ),
        Parts(directory),
        "cpu",
        threads=1,
    )
    while training.update_step < WARM_UP:
        training.step()
    return training


def network_alone(training: ControlTraining) -> Callable[[], None]:
    """A function that does what the network of `training` does in a step with one update."""
    settings = training.settings
    network, frozen_network = copy.deepcopy((training.network, training.frozen_network))
    optimizer = make_optimizer(
        settings.optimizer,
        network.parameters(),
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        momentum=settings.momentum,
    )
    loss = LOSSES[settings.loss]
    draws = numpy_generator(settings.random_stream, "benchmark")
    batch = training.memory.sample(settings.minibatch, draws)
    observation = batch.observation[: settings.n_environments]

    def run() -> None:
        with torch.no_grad():
            network(observation).argmax(1)
        optimizer.zero_grad()
        loss(td_error(network, frozen_network, batch, settings.gamma)).mean().backward()
        optimizer.step()

    return run


def cpu_seconds(call: Callable[[], object]) -> float:
    """CPU seconds of one call, of all threads of the process."""
    start = time.process_time()
    call()
    return time.process_time() - start


def main(
    hidden: int = 16,
    environments: int = 4,
    updates_per_step: float = 0.25,
    steps: int = 200,
    learning_starts: int = 4000,
    window: int = 2000,
    episode_steps: int = 250,
) -> None:
    """Time steps that do one update each, their network alone, a window and an evaluation."""
    if environments * updates_per_step != 1:
        raise typer.BadParameter("environments times updates-per-step must be 1")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as directory:
        training = made_training(
            hidden, environments, updates_per_step, learning_starts, window, Path(directory)
        )
        alone = network_alone(training)
        step_seconds, network_seconds = [], []
        for _ in range(WARM_UP + steps):
            step_seconds.append(cpu_seconds(training.step))
            network_seconds.append(cpu_seconds(alone))
        step = statistics.median(step_seconds[WARM_UP:])
        network = statistics.median(network_seconds[WARM_UP:])

        @torch.no_grad()
        def q_values(observation: torch.Tensor) -> torch.Tensor:
            return training.network(observation)

        settings, path = training.settings, Path(directory) / "window.h5"
        per_environment = settings.window_per_environment
        writing = cpu_seconds(
            lambda: write_window(
                path, training.memory, per_environment, settings.gamma, q_values, {}
            )
        )
        # Episodes of one length, so that the time per step does not depend on the play.
        game = AtariSettings(GAME, max_frames_per_episode=FRAMESKIP * episode_steps)
        evaluation = cpu_seconds(
            lambda: play_episodes(
                lambda observation: q_values(torch.from_numpy(observation)).argmax(1).numpy(),
                game,
                EPISODES,
                EPISODES,
                seed=0,
            )
        )
    title = f"hidden {hidden}, {environments} environments, 1 core"
    table = Table("", "", title=title)
    table.add_row("agent steps/s", f"{environments / step:.1f}")
    table.add_row("updates/s", f"{1 / step:.1f}")
    table.add_row("ms per step with one update", f"{1000 * step:.2f}")
    table.add_row("of it not the network", f"{1 - network / step:.0%}")
    table.add_row(f"s per window of {window} transitions", f"{writing:.2f}")
    table.add_row(f"s per {EPISODES * episode_steps} evaluation steps", f"{evaluation:.2f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
