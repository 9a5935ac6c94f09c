"""Runs of the generalization grid per second: trained together, against one process for each run.

Both sides start their processes as a workflow does, interpreter and imports included, and keep all
cores busy with a process of one thread each. They train for the paper's steps on noise of the
paper's shapes and measure as often as the paper does (appendix B.1). A process of the one side has
one run, and plain networks; one of the other all training sizes and seeds of a width and depth.

    python benchmarks/stacked_training.py                  regression: SARCOS and California shapes
    python benchmarks/stacked_training.py --convolutions   one process: in turn, or a grouped one

With `--convolutions`, the second table says why convolutional networks take turns.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from typing import Annotated, NamedTuple

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from td_interference.generalization import learner
from td_interference.generalization.side_by_side import SeparateLearners
from td_interference.generalization.stacked import make_learners
from td_interference.generalization.tasks import Split
from td_interference.generalization.training import TrainingTogether
from td_interference.optimizers import make_optimizer
from td_interference.planning.cells import CellSpec

SLOPE, LEARNING_RATE, MINIBATCH = 0.01, 1e-3, 32


class Shape(NamedTuple):
    """A regression of the paper."""

    n_inputs: int
    n_outputs: int
    sizes: tuple[int, ...]  # n_T
    n_test: int
    updates: int
    measure_every: int
    samples: int  # of each split


SHAPES = {
    "sarcos": Shape(21, 7, (20, 100, 250, 500, 1000, 5000, 10000, 44484), 4449, 5000, 250, 128),
    "california": Shape(8, 1, (20, 100, 250, 500, 1000, 5000, 10000), 1032, 1000, 5, 200),
}
# Width n_h and hidden layers after the first, from the paper's grid.
CASES = (
    ("sarcos", 16, 0),
    ("sarcos", 64, 1),
    ("sarcos", 256, 3),
    ("california", 16, 2),
    ("california", 128, 2),
)
CONVOLUTIONAL_CASES = ((8, 0), (8, 3), (16, 1), (32, 0), (32, 3))


def cells(name: str, hidden: int, extra_layers: int, seeds: int) -> list[CellSpec]:
    """Return a cell for each training size of one width and depth."""
    shape = SHAPES[name]
    return [
        CellSpec(
            dataset=name,
            task="regression",
            hidden=hidden,
            extra_layers=extra_layers,
            n_train=size,
            learning_rate=LEARNING_RATE,
            minibatch=MINIBATCH,
            updates=shape.updates,
            measure_every=shape.measure_every,
            samples=shape.samples,
            evaluation_samples=shape.samples,
            seeds=tuple(range(seeds)),
        )
        for size in shape.sizes
    ]


def mlp(n_inputs: int, n_outputs: int, hidden: int, extra_layers: int) -> nn.Sequential:
    """Return a regression network of the paper."""
    modules: list[nn.Module] = [nn.Linear(n_inputs, hidden), nn.LeakyReLU(SLOPE)]
    for _ in range(extra_layers):
        modules += [nn.Linear(hidden, hidden), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*modules, nn.Linear(hidden, n_outputs))


def noise(shape: Shape) -> tuple[Split, Split]:
    """Return splits of the shape's sizes."""
    return tuple(
        Split(torch.randn(n, shape.n_inputs), torch.randn(n, shape.n_outputs))
        for n in (max(shape.sizes), shape.n_test)
    )


def work(case: list, one_run: bool, seeds: int, measurements: int) -> None:
    """Do what one process does: one run, or a group."""
    torch.set_num_threads(1)
    name, hidden, extra_layers = case
    shape = SHAPES[name]
    group = cells(name, hidden, extra_layers, 1 if one_run else seeds)
    training = TrainingTogether(
        group[len(group) // 2 :][:1] if one_run else group,
        learner("regression")(*noise(shape)),
        lambda _: mlp(shape.n_inputs, shape.n_outputs, hidden, extra_layers),
        SeparateLearners if one_run else make_learners,
    )
    for _ in range(measurements or shape.updates // shape.measure_every):
        training.advance(shape.measure_every)
        training.measure()


def seconds_for(job: tuple, processes: int) -> float:
    """Return the wall time of so many processes at once, each of which does a job of `work`."""
    command = [sys.executable, __file__, "--work", json.dumps(job)]
    start = time.perf_counter()
    running = [subprocess.Popen(command) for _ in range(processes)]
    if any(process.wait() for process in running):
        raise SystemExit("a process failed")
    return time.perf_counter() - start


def compare_processes(seeds: int, rounds: int, cases: int, measurements: int) -> None:
    """Print seconds per run of both ways, for each case."""
    cores = len(os.sched_getaffinity(0))
    table = Table(
        "case",
        "runs together",
        "together, s/run",
        "one by one, s/run",
        "ratio",
        title=f"{cores} cores, {seeds} seeds, median of {rounds} rounds, torch {torch.__version__}",
    )
    for case in CASES[:cases]:
        n_runs = len(SHAPES[case[0]].sizes) * seeds
        together, alone = [], []
        for _ in range(rounds):
            together.append(
                seconds_for((case, False, seeds, measurements), cores) / (cores * n_runs)
            )
            alone.append(seconds_for((case, True, seeds, measurements), cores) / cores)
        ours, theirs = statistics.median(together), statistics.median(alone)
        table.add_row(
            f"{case[0]}, n_h {case[1]}, n_L {case[2]}",
            str(n_runs),
            f"{ours:.2f}",
            f"{theirs:.2f}",
            f"{theirs / ours:.1f}",
        )
    Console().print(table)


def convolutional(hidden: int, extra_layers: int) -> nn.Sequential:
    """Return the paper's image classifier."""
    modules: list[nn.Module] = [
        nn.Conv2d(3, hidden, 5, 2),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(hidden, 2 * hidden, 3),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(2 * hidden, 4 * hidden, 3),
        nn.LeakyReLU(SLOPE),
    ]
    for _ in range(extra_layers):
        modules += [nn.Conv2d(4 * hidden, 4 * hidden, 3, padding=1), nn.LeakyReLU(SLOPE)]
    head = (nn.Linear(400 * hidden, 4 * hidden), nn.LeakyReLU(SLOPE), nn.Linear(4 * hidden, 10))
    return nn.Sequential(*modules, nn.Flatten(), *head)


class GroupedLearners:
    """The update of `Learners` by `vmap`, which makes grouped convolutions of R networks."""

    def __init__(self, networks: list[nn.Module]) -> None:
        """Copy the networks."""
        stacked, _ = stack_module_state(networks)
        self.parameters = {n: nn.Parameter(p.detach()) for n, p in stacked.items()}
        self.network = networks[0]
        self.optimizer = make_optimizer(
            "adam",
            self.parameters.values(),
            learning_rate=LEARNING_RATE,
            weight_decay=0.0,
            momentum=0.0,
        )

    def update(self, inputs: Tensor, targets: Tensor) -> None:
        """Take one step on [R, B, ...]."""

        def loss(parameters: dict[str, Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
            outputs = functional_call(self.network, parameters, (inputs,))
            return nn.functional.cross_entropy(outputs, targets)

        self.optimizer.zero_grad()
        vmap(loss)(self.parameters, inputs, targets).sum().backward()
        self.optimizer.step()


def compare_convolutions(n_networks: int, rounds: int, cases: int) -> None:
    """Print milliseconds per network and update of both ways, on one thread."""
    torch.set_num_threads(1)
    table = Table(
        "network",
        "in turn, ms",
        "grouped, ms",
        "grouped / in turn",
        title=f"{n_networks} networks, one thread, median of {rounds} updates",
    )
    inputs = torch.randn(n_networks, MINIBATCH, 3, 32, 32)
    targets = torch.randint(10, (n_networks, MINIBATCH))

    def plain_loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs, targets, reduction="none")

    for hidden, extra_layers in CONVOLUTIONAL_CASES[:cases]:
        networks = [convolutional(hidden, extra_layers) for _ in range(n_networks)]
        grouped = GroupedLearners(networks)
        in_turn = SeparateLearners(networks, LEARNING_RATE)
        seconds: dict[str, list[float]] = {"in turn": [], "grouped": []}
        for _ in range(rounds + 2):  # two to warm up
            start = time.perf_counter()
            in_turn.update(inputs, targets, plain_loss)
            middle = time.perf_counter()
            grouped.update(inputs, targets)
            seconds["in turn"].append(middle - start)
            seconds["grouped"].append(time.perf_counter() - middle)
        turn, group = (1e3 * statistics.median(s[2:]) / n_networks for s in seconds.values())
        table.add_row(
            f"n_h {hidden}, n_L {extra_layers}",
            f"{turn:.1f}",
            f"{group:.1f}",
            f"{group / turn:.2f}",
        )
    Console().print(table)


def main(
    seeds: Annotated[int, typer.Option(help="Seeds of each cell.")] = 3,
    rounds: Annotated[int, typer.Option(help="Timed rounds.")] = 3,
    cases: Annotated[int, typer.Option(help="How many of the widths and depths.")] = 5,
    measurements: Annotated[int, typer.Option(help="Of each run; 0: as the paper.")] = 0,
    convolutions: Annotated[bool, typer.Option(help="Compare convolutions instead.")] = False,
    work_on: Annotated[str, typer.Option("--work", hidden=True)] = "",
) -> None:
    """Compare, or with --work do what one process does."""
    if work_on:
        work(*json.loads(work_on))
    elif convolutions:
        compare_convolutions(seeds, max(rounds, 7), cases)
    else:
        compare_processes(seeds, rounds, cases, measurements)


if __name__ == "__main__":
    typer.run(main)
