"""Training all runs of one or more cells together, and measuring them on the way (paper, B.1)."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from td_interference.errors import UserError
from td_interference.generalization.interference import Interference, interference
from td_interference.generalization.records import RunMeasurement
from td_interference.generalization.side_by_side import Learners
from td_interference.generalization.stacked import make_learners
from td_interference.generalization.tasks import Split, Task
from td_interference.gradients import PerSampleGradients
from td_interference.planning.cells import CellSpec
from td_interference.seeds import numpy_generator, torch_generator

# Returns a fresh network, its weights drawn from the generator.
NetworkFactory = Callable[[torch.Generator], nn.Module]
# Returns what trains networks of one shape with a learning rate.
LearnersFactory = Callable[[Sequence[nn.Module], float], Learners]


class _Run(NamedTuple):
    """One seed of one cell."""

    cell: CellSpec
    seed: int
    run_id: str  # of its random streams too


class _Samples(NamedTuple):
    """Samples of one split that each of R runs is measured on."""

    indices: Tensor  # [R, E], int64; row r repeats its last entry from counts[r] on
    counts: tuple[int, ...]  # at most E each


# Fields of `RunMeasurement`, each with the numbers of the R runs.
_Columns = dict[str, list[float]]


class TrainingTogether:
    """All runs of cells that differ in n_T and seeds alone, each as if it were trained alone.

    A run's initial weights, minibatches and measured samples depend on its own id only. A run that
    diverges goes on, and the others do not notice.
    """

    def __init__(
        self,
        cells: Sequence[CellSpec],
        task: Task,
        make_network: NetworkFactory,
        make_learners: LearnersFactory = make_learners,
    ) -> None:
        """Draw the networks, the minibatches and the samples to measure.

        Args:
            cells: Of one group; see `cells.grouped`.
            task: What to learn, on the device to learn on.
            make_network: Returns a network on the CPU for the task's inputs, of the cells' width
                and depth.
            make_learners: Returns what trains the networks; the faster way, if left out.

        Raises:
            UserError: If a cell asks for more training samples than there are.
            ValueError: If the cells are not of one group.
        """
        if any(cell.shared != cells[0].shared for cell in cells):
            raise ValueError("the cells differ in more than n_T and seeds")
        _check_sizes(cells, task)
        self.update_step = 0
        self._task, self._shared = task, cells[0]
        self._runs = [
            _Run(cell, seed, run_id)
            for cell in cells
            for seed, run_id in zip(cell.seeds, cell.run_ids, strict=True)
        ]
        self._device = task.train.inputs.device
        networks = [
            make_network(torch_generator(run.run_id, "initial_weights")).to(self._device)
            for run in self._runs
        ]
        self._learners = make_learners(networks, self._shared.learning_rate)
        # [updates, R, minibatch]; on the CPU, from where one step's are moved at a time.
        self._minibatches = torch.stack([_draw_minibatches(run) for run in self._runs], 1)
        self._train_samples = self._draw_samples(
            "measured_train", [run.cell.n_train for run in self._runs]
        )
        self._test_samples = self._draw_samples(
            "measured_test", [len(task.test.inputs) for _ in self._runs]
        )
        self._finite = torch.ones(len(self._runs), dtype=torch.bool, device=self._device)

    @property
    def networks(self) -> list[nn.Module]:
        """The networks as they are now, in the order of cells, then seeds; not to be changed."""
        return self._learners.networks()

    @property
    def steps_done(self) -> int:
        """Of the cells' steps; here they are updates."""
        return self.update_step

    def advance(self, updates: int) -> None:
        """Do some updates of every run.

        Raises:
            ValueError: If they go beyond the last.
        """
        if self.update_step + updates > self._shared.duration:
            raise ValueError(f"{updates} updates go beyond the last of {self._shared.duration}")
        train = self._task.train
        for minibatch in self._minibatches[self.update_step : self.update_step + updates]:
            index = minibatch.to(self._device)
            losses = self._learners.update(
                train.inputs[index], train.targets[index], self._task.loss
            )
            self._finite &= losses.isfinite()
        self.update_step += updates

    def measure(self) -> list[RunMeasurement]:
        """Return a row for each run as it is now, in the order of cells, then seeds."""
        columns = {
            **self._judge("train", self._task.train, self._train_samples),
            **self._judge("test", self._task.test, self._test_samples),
            **self._interference(),
        }
        return [
            self._row(run, finite, dict(zip(columns, numbers, strict=True)))
            for run, finite, *numbers in zip(
                self._runs, self._finite.tolist(), *columns.values(), strict=True
            )
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return all that decides the rest of the runs and does not follow from their ids."""
        return {
            "update_step": self.update_step,
            "learners": self._learners.state_dict(),
            "finite": self._finite,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to where `state_dict` was called, in a training of the same cells."""
        self.update_step = state["update_step"]
        self._learners.load_state_dict(state["learners"])
        self._finite = state["finite"].to(self._device)

    def _draw_samples(self, purpose: str, sizes: Sequence[int]) -> _Samples:
        """Draw each run's samples from the first `sizes[r]`, without replacement."""
        largest = self._shared.evaluation_samples
        drawn = [
            numpy_generator(run.run_id, purpose).permutation(size)[:largest]
            for run, size in zip(self._runs, sizes, strict=True)
        ]
        counts = tuple(map(len, drawn))
        padded = [np.pad(own, (0, max(counts) - len(own)), mode="edge") for own in drawn]
        return _Samples(torch.from_numpy(np.stack(padded)).to(self._device), counts)

    def _judge(self, name: str, split: Split, samples: _Samples) -> _Columns:
        """Judge each run by its samples of one split, and note which outputs are not finite."""
        outputs = self._learners.outputs(split.inputs[samples.indices])
        targets = split.targets[samples.indices]
        self._finite &= outputs.isfinite().flatten(1).all(1)
        own = [(outputs[run, :n], targets[run, :n]) for run, n in enumerate(samples.counts)]
        return {
            f"{name}_loss": [self._task.loss(*one).double().mean().item() for one in own],
            f"{name}_performance": [self._task.performance(*one) for one in own],
        }

    def _interference(self) -> _Columns:
        """Measure the gradients of the first of each run's samples."""
        most = self._shared.samples
        train, test = (
            _Samples(samples.indices[:, :most], tuple(min(most, n) for n in samples.counts))
            for samples in (self._train_samples, self._test_samples)
        )
        parts = ((self._task.train, train.indices), (self._task.test, test.indices))
        counts = torch.tensor(train.counts, device=self._device)

        def reduced(gradients: PerSampleGradients, networks: slice) -> Interference:
            return interference(gradients, counts[networks], test.indices.shape[1])

        measured = self._learners.reduce_gradients(
            torch.cat([split.inputs[indices] for split, indices in parts], 1),
            torch.cat([split.targets[indices] for split, indices in parts], 1),
            [lambda outputs, _: self._task.function(outputs), self._task.loss],
            reduced,
        )
        columns: _Columns = {}
        for name, parts_of_value in zip(("function", "loss"), measured, strict=True):
            for pair, means in Interference.joined(parts_of_value)._asdict().items():
                columns[f"{name}_interference_{pair}"] = means.inner_product.tolist()
                columns[f"{name}_stiffness_{pair}"] = means.cosine.tolist()
        return columns

    def _row(self, run: _Run, finite: bool, numbers: dict[str, float]) -> RunMeasurement:
        return RunMeasurement.of(
            run.cell, run.seed, run.run_id, numbers, finite=finite, update_step=self.update_step
        )


def _check_sizes(cells: Sequence[CellSpec], task: Task) -> None:
    for cell in cells:
        if cell.n_train > len(task.train.inputs):
            raise UserError(
                f"config key 'generalization.n_train': {cell.n_train} is more than the "
                f"{len(task.train.inputs)} training samples of {cell.dataset}"
            )
    if len(task.test.inputs) < 2:
        raise UserError(f"{cells[0].dataset} needs at least 2 test samples to measure pairs")


def _draw_minibatches(run: _Run) -> Tensor:
    """Return the minibatches of all updates, [updates, minibatch] int64, uniform over 0..n_T-1."""
    shape = (run.cell.duration, run.cell.minibatch)
    generator = numpy_generator(run.run_id, "minibatches")
    return torch.from_numpy(generator.integers(0, run.cell.n_train, shape))
