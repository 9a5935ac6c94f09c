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

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from problems import replay_arrays, run_spec

from td_interference.agents.control import ControlTraining
from td_interference.agents.control_settings import ControlSettings
from td_interference.agents.settings import ExpertSettings
from td_interference.agents.train_expert import ExpertTraining
from td_interference.replay import Replay
from td_interference.resume import ResumeState
from td_interference.training import Trainer

INTERVAL = 60.0  # seconds, as at every scale
SAVES = 9


def trainings() -> dict[str, Trainer | ExpertTraining | ControlTraining]:
    """Trainings with the paper's networks, after some updates, so that optimizers have state."""
    run = Trainer(run_spec(hidden=32, steps=1000), Replay(replay_arrays()))
    for _ in range(2):
        run.advance()
    expert = ExpertTraining(ExpertSettings("ms_pacman", learning_starts=200))
    control = ControlTraining(
        ControlSettings("ms_pacman", random_fill=200), Path(tempfile.mkdtemp()), "cpu", 1
    )
    for _ in range(204):
        expert.step()
        control.step()
    return {"train_run": run, "train_expert": expert, "train_control": control}


def main() -> None:
    """Print one line per stage."""
    torch.set_num_threads(1)
    for stage, training in trainings().items():
        with tempfile.TemporaryDirectory() as directory:
            resume, times = ResumeState(directory, {}, INTERVAL), []
            for _ in range(SAVES):
                started = time.perf_counter()
                resume.save(training.state_dict())
                times.append(time.perf_counter() - started)
            size = resume.path.stat().st_size
        median = statistics.median(times)
        print(
            f"{stage}: {median * 1e3:.0f} ms per save ({min(times) * 1e3:.0f} to "
            f"{max(times) * 1e3:.0f}), {size / 1e6:.1f} MB; {median / INTERVAL:.2%} of "
            f"{INTERVAL:.0f} s"
        )


if __name__ == "__main__":
    main()
