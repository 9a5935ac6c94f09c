"""What a GPU gives: time of one unit of each stage's work, on one CPU core and on the GPU.

The networks are the paper's (hidden 32 for Atari), the data noise of the right shapes. The share
of the emulators, which play on the CPU in any case, is in the control and expert steps.

    python benchmarks/device.py                 both, where a GPU is visible
    python benchmarks/device.py --only cpu
    python benchmarks/device.py --only cuda --no-exact    torch's own defaults: TF32, any order

Times are medians of at most `--most` calls; on a GPU the clock waits for it. Stated is also how
many units of `train_run` per second several processes reach together that share it (`--processes`).
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import typer
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from problems import run_spec
from training import made_up_replay

from td_interference import metrics
from td_interference.agents.control.training import ControlTraining
from td_interference.agents.expert.training import ExpertTraining
from td_interference.datasets.prepare import prepare_dataset
from td_interference.device import compute_exactly
from td_interference.generalization.group_job import make_training
from td_interference.jobs.kept_files import Parts
from td_interference.metrics.subject import Subject
from td_interference.planning.cells import CellSpec
from td_interference.planning.control import ControlSettings
from td_interference.planning.expert import ExpertSettings
from td_interference.planning.learners import settings_record
from td_interference.training import Trainer

DoubleDQNSettings = settings_record("double_dqn")

WARM_UP = 3
STIFFNESS = {
    "anchors": 100,
    "anchors_per_segment": 20,
    "half_width": 30,
}  # a twentieth of the paper's
GAIN = {"minibatches": 2, "half_width": 30, "unrelated": 64}  # a 32nd of the paper's
SECOND_ORDER = {"minibatch": 8, "second_term_factor": 1}
LEARNING_STARTS = 400  # agent steps


def trainer(device: str, hidden: int) -> Trainer:
    """Policy evaluation of a Q-network, whose targets cost a pass of the frozen copy."""
    run = run_spec(
        objective="q_learning",
        lambda_=None,
        hidden=hidden,
        minibatch=32,
        updates=10**9,
        frozen_period=10_000,
        checkpoints=(),
    )
    return Trainer(run, made_up_replay(device=device))


def metric(name: str, settings: dict[str, int], device: str, hidden: int) -> Callable[[], object]:
    """One metric of a network that has taken one update."""
    training = trainer(device, hidden)
    training.advance()
    subject = Subject(training.run, training.objective, training.checkpoint())
    return lambda: metrics.load(name)(subject, settings)


def control(device: str, folder: Path, hidden: int) -> Callable[[], object]:
    """Four agent steps with four updates, as the paper's ratio has it."""
    settings = ControlSettings(
        "ms_pacman",
        hidden=hidden,
        n_environments=4,
        updates_per_step=1,
        learning_starts=LEARNING_STARTS,
    )
    training = ControlTraining(settings, Parts(folder), device, threads=1)
    while training.update_step < 1:
        training.step()
    return training.step


def expert(device: str) -> Callable[[], object]:
    """Agent steps and updates of data-efficient Rainbow, by the default settings."""
    training = ExpertTraining(ExpertSettings("ms_pacman", learning_starts=LEARNING_STARTS), device)
    while training.learner.update_step < 1:
        training.step()
    return training.step


def group(device: str, folder: Path, **over: object) -> Callable[[], object]:
    """Twenty steps of one image run, of a width and depth in the middle of the paper's."""
    fields = {
        "dataset": "digits",
        "extra_layers": 1,
        "n_train": 1000,
        "learning_rate": 1e-3,
        "minibatch": 32,
        "measure_every": 10**6,
        "samples": 128,
        "evaluation_samples": 128,
        "seeds": (0,),
        **over,
    }
    cells = [CellSpec(**fields)]
    path = folder / "digits.h5"
    if not path.exists():
        prepare_dataset("digits", {}, path)
    training = make_training(cells, path, torch.device(device))
    return lambda: training.advance(20)


def works(
    device: str, folder: Path, hidden: int
) -> Iterator[tuple[str, Callable[[], object], int]]:
    """Yield each stage's name, its unit of work, and how often to time it."""
    for width, times in ((hidden, 30), (2 * hidden, 8)):
        yield f"train_run: update, hidden {width}", trainer(device, width).advance, times
    yield "train_control: 4 steps, 4 updates", control(device, folder, hidden), 8
    yield "train_expert: step of all environments", expert(device), 8
    for name, settings, of in (
        ("stiffness", STIFFNESS, "100 anchors"),
        ("gain", GAIN, "2 minibatches"),
        ("second_order", SECOND_ORDER, "8 samples"),
    ):
        yield f"measure_run: {name}, {of}", metric(name, settings, device, hidden), 1
    classification = group(device, folder, hidden=hidden, task="classification", updates=10**6)
    yield "train_group: 20 classification updates", classification, 5
    agent = DoubleDQNSettings(learning_starts=LEARNING_STARTS, n_environments=4)
    double_dqn = group(
        device,
        folder,
        hidden=hidden,
        task="double_dqn",
        agent_steps=10**6,
        minibatch=128,
        learning_rate=2.5e-4,
        agent=agent,
    )
    for _ in range(LEARNING_STARTS // 20):
        double_dqn()
    yield "train_group: 20 double_dqn steps", double_dqn, 5


def median_seconds(call: Callable[[], object], times: int, device: str) -> float:
    """Median time of one call, after a warm-up; the device is idle before and after."""
    seconds = []
    warm_up = min(WARM_UP, times)
    for _ in range(warm_up + times):
        start = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[warm_up:])


def together(processes: int, hidden: int) -> float:
    """Updates per second of `train_run`, summed over processes that share the GPU."""
    command = [sys.executable, __file__, "--one-of-several", "--hidden", str(hidden)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(processes)]
    return sum(1 / json.loads(process.communicate()[0]) for process in running)


def main(
    only: str = "",
    processes: int = 4,
    exact: bool = True,
    one_of_several: bool = False,
    hidden: int = 32,
    most: int = 30,
) -> None:
    """Time all, and print a table with the ratios."""
    torch.set_num_threads(1)
    if exact:
        compute_exactly()
    if one_of_several:
        print(json.dumps(median_seconds(trainer("cuda", hidden).advance, 1000, "cuda")))
        return
    devices = [only] if only else ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    measured: dict[str, dict[str, float]] = {}
    for device in devices:
        with tempfile.TemporaryDirectory() as folder:
            for name, call, times in works(device, Path(folder), hidden):
                seconds = median_seconds(call, min(times, most), device)
                measured.setdefault(name, {})[device] = seconds
    name = torch.cuda.get_device_name() if "cuda" in devices else "no GPU"
    table = Table("ms per unit", "one core", name, "ratio")
    for work, times in measured.items():
        shown = [
            f"{1000 * times[device]:.2f}" if device in times else "" for device in ("cpu", "cuda")
        ]
        ratio = f"{times['cpu'] / times['cuda']:.1f}" if len(times) == 2 else ""
        table.add_row(work, *shown, ratio)
    Console(width=110).print(table)
    if "cuda" in devices:
        for count in (1, processes):
            rate = together(count, hidden)
            print(f"train_run, hidden {hidden}, {count} processes: {rate:.0f} updates/s")


if __name__ == "__main__":
    typer.run(main)
