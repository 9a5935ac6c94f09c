"""What resume states cost: time of one save against the interval between two, by stage.

Prints the median time per save of a training of the paper's size, its size on disk, and the share
of the interval of 60 s. Training is not timed with and without states: the difference, a fraction
of a per cent, is below what two runs differ by.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import torch
import typer

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from problems import replay_arrays, run_spec

from td_interference.agents.control.training import ControlTraining
from td_interference.agents.expert.training import ExpertTraining
from td_interference.jobs.kept_files import Parts
from td_interference.jobs.resume import ResumeState
from td_interference.planning.control import ControlSettings
from td_interference.planning.expert import ExpertSettings
from td_interference.replay import Replay
from td_interference.training import Trainer

INTERVAL = 60.0  # seconds, as at every scale


def trainings(
    play: int, hidden: int, folder: Path
) -> dict[str, Trainer | ExpertTraining | ControlTraining]:
    """Trainings after some updates, so that optimizers have state."""
    run = Trainer(run_spec(hidden=hidden, updates=1000), Replay(replay_arrays()))
    for _ in range(2):
        run.advance()
    expert = ExpertTraining(ExpertSettings("ms_pacman", learning_starts=play))
    settings = ControlSettings("ms_pacman", hidden=hidden, learning_starts=play)
    control = ControlTraining(settings, Parts(folder), "cpu", 1)
    for _ in range(play + 4):
        expert.step()
        control.step()
    return {"train_run": run, "train_expert": expert, "train_control": control}


def main(
    saves: Annotated[int, typer.Option(help="Timed saves of each stage.")] = 9,
    play: Annotated[int, typer.Option(help="Agent steps before the first update.")] = 200,
    hidden: Annotated[int, typer.Option(help="Width n_h of the networks; the paper's is 32.")] = 32,
) -> None:
    """Print one line per stage."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        trained = trainings(play, hidden, Path(folder))
    for stage, training in trained.items():
        with tempfile.TemporaryDirectory() as directory:
            resume, times = ResumeState(directory, {}, INTERVAL), []
            for _ in range(saves):
                started = time.perf_counter()
                resume.save(training.state_dict())
                times.append(time.perf_counter() - started)
            size = max(path.stat().st_size for path in Path(directory).glob("state-*.pt"))
        median = statistics.median(times)
        print(
            f"{stage}: {median * 1e3:.0f} ms per save ({min(times) * 1e3:.0f} to "
            f"{max(times) * 1e3:.0f}), {size / 1e6:.1f} MB; {median / INTERVAL:.2%} of "
            f"{INTERVAL:.0f} s"
        )


if __name__ == "__main__":
    typer.run(main)
