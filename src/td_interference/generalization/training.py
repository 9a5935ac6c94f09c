"""Training all runs of one or more cells together, and measuring them on the way (paper, B.1)."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from td_interference.errors import UserError
from td_interference.generalization.group_training import GroupTraining, Row, Run, run_row
from td_interference.generalization.interference import Interference, interference
from td_interference.generalization.stacked import Learners, make_learners
from td_interference.generalization.tasks import Split, Task
from td_interference.gradients import PerSampleGradients
from td_interference.planning.cells import CellSpec
from td_interference.seeds import numpy_generator, torch_generator

# Returns a fresh network, its weights drawn from the generator.
NetworkFactory = Callable[[torch.Generator], nn.Module]
# Returns what trains networks of one shape with a learning rate.
LearnersFactory = Callable[[Sequence[nn.Module], float], Learners]


class _Samples(NamedTuple):
    """Samples of one split that each of R runs is measured on."""

    indices: Tensor  # [R, E], int64; row r repeats its last entry from counts[r] on
    counts: tuple[int, ...]  # at most E each


_Columns = dict[str, list[float]]  # numbers of the R runs, by their names in a row


class TrainingTogether(GroupTraining):
    """The runs of learners that do not act, whose steps are updates; see `GroupTraining`.

    Args:
        cells: Of one group.
        task: What to learn, on the device to learn on.
        make_network: Returns a network on the CPU for the task's inputs, of the cells' width and
            depth.
        make_learners: Returns what trains the networks; the faster way, if left out.
    """

    def __init__(
        self,
        cells: Sequence[CellSpec],
        task: Task,
        make_network: NetworkFactory,
        make_learners: LearnersFactory = make_learners,
    ) -> None:
        super().__init__(cells, len(task.train.inputs))
        if len(task.test.inputs) < 2:
            raise UserError(f"{cells[0].dataset} needs at least 2 test samples to measure pairs")
        self._task = task
        self._device = task.train.inputs.device
        networks = [
            make_network(torch_generator(run.run_id, "initial_weights")).to(self._device)
            for run in self.runs
        ]
        self._learners = make_learners(networks, self.shared.learning_rate)
        # [updates, R, minibatch]; on the CPU, from where one step's are moved at a time.
        self._minibatches = torch.stack([_draw_minibatches(run) for run in self.runs], 1)
        self._train_samples = self._draw_samples(
            "measured_train", [run.cell.n_train for run in self.runs]
        )
        self._test_samples = self._draw_samples(
            "measured_test", [len(task.test.inputs) for _ in self.runs]
        )
        self._finite = torch.ones(len(self.runs), dtype=torch.bool, device=self._device)

    @property
    def networks(self) -> list[nn.Module]:
        """See `GroupTraining`."""
        return self._learners.networks()

    def _train(self, steps: int) -> None:
        train = self._task.train
        for minibatch in self._minibatches[self.steps_done : self.steps_done + steps]:
            index = minibatch.to(self._device)
            losses = self._learners.update(
                train.inputs[index], train.targets[index], self._task.loss
            )
            self._finite &= losses.isfinite()

    def measure(self) -> list[Row]:
        """See `GroupTraining`."""
        columns = {
            **self._judge("train", self._task.train, self._train_samples),
            **self._judge("test", self._task.test, self._test_samples),
            **self._interference(),
        }
        return [
            run_row(
                run,
                dict(zip(columns, numbers, strict=True)),
                finite=finite,
                update_step=self.steps_done,
            )
            for run, finite, *numbers in zip(
                self.runs, self._finite.tolist(), *columns.values(), strict=True
            )
        ]

    def state_dict(self) -> dict[str, Any]:
        """See `GroupTraining`."""
        return {
            "update_step": self.steps_done,
            "learners": self._learners.state_dict(),
            "finite": self._finite,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `GroupTraining`."""
        self.steps_done = state["update_step"]
        self._learners.load_state_dict(state["learners"])
        self._finite = state["finite"].to(self._device)

    def _draw_samples(self, purpose: str, sizes: Sequence[int]) -> _Samples:
        """Draw each run's samples from the first `sizes[r]`, without replacement."""
        largest = self.shared.evaluation_samples
        drawn = [
            numpy_generator(run.run_id, purpose).permutation(size)[:largest]
            for run, size in zip(self.runs, sizes, strict=True)
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
        most = self.shared.samples
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
            columns |= Interference.joined(parts_of_value).columns(name)
        return columns


def _draw_minibatches(run: Run) -> Tensor:
    """Return the minibatches of all updates, [updates, minibatch] int64, uniform over 0..n_T-1."""
    shape = (run.cell.duration, run.cell.minibatch)
    generator = numpy_generator(run.run_id, "minibatches")
    return torch.from_numpy(generator.integers(0, run.cell.n_train, shape))
