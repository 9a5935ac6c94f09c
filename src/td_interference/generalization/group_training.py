"""What trainings of a group's runs have in common, whether their learners act or not."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import nn

from td_interference.errors import UserError
from td_interference.planning.cells import CellSpec
from td_interference.planning.learners import known

Row = dict[str, Any]  # a run at a measured step: the fields of `storage.GENERALIZATION`


class Run(NamedTuple):
    """One seed of one cell."""

    cell: CellSpec
    seed: int
    run_id: str  # of its random streams too


class GroupTraining(ABC):
    """All runs of cells that differ in n_T and seeds alone, each as if it were trained alone.

    What a run draws depends on its own id only. A run that diverges goes on, and the others do not
    notice.

    Args:
        cells: Of one group; see `cells.grouped`.
        n_train: Training samples that there are.

    Attributes:
        steps_done: Updates, or of agents agent steps, that every run has done, at least: an agent
            ends what it has begun, a step of each of its environments, or for REINFORCE the whole
            episodes of an update.

    Raises:
        UserError: If a cell asks for more training samples than there are.
        ValueError: If the cells are not of one group.
    """

    def __init__(self, cells: Sequence[CellSpec], n_train: int) -> None:
        self.shared, self.steps_done = cells[0], 0
        for cell in cells:
            if cell.shared != self.shared.shared:
                raise ValueError("the cells differ in more than n_T and seeds")
            if cell.n_train > n_train:
                raise UserError(
                    f"config key 'generalization.n_train': {cell.n_train} is more than the "
                    f"{n_train} training samples of {cell.dataset}"
                )
        self.runs = [
            Run(cell, seed, run_id)
            for cell in cells
            for seed, run_id in zip(cell.seeds, cell.run_ids, strict=True)
        ]

    @property
    @abstractmethod
    def networks(self) -> list[nn.Module]:
        """The networks as they are now, in the order of cells, then seeds; not to be changed."""

    def advance(self, steps: int) -> None:
        """Train for some steps; how a run is cut into such calls changes nothing.

        Raises:
            ValueError: If they go beyond the last.
        """
        if self.steps_done + steps > self.shared.duration:
            raise ValueError(f"{steps} steps go beyond the last of {self.shared.duration}")
        self._train(steps)
        self.steps_done += steps

    @abstractmethod
    def _train(self, steps: int) -> None:
        """Do the next `steps` steps of every run."""

    @abstractmethod
    def measure(self) -> list[Row]:
        """Return a row for each run as it is now, in the order of cells, then seeds."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return all that decides the rest of the runs and does not follow from their ids.

        It shares memory with the networks: write it before the next `advance`.
        """

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict` of the same cells and data."""


def run_row(
    run: Run,
    numbers: Mapping[str, float],
    *,
    finite: bool,
    update_step: int,
    agent_step: int = 0,
) -> Row:
    """Return the row of a run.

    Args:
        run: Which it is.
        numbers: What was measured: losses, performances, interferences and stiffnesses.
        finite: Whether all losses and outputs have been; else the numbers become NaN.
        update_step: Updates done.
        agent_step: Agent steps taken; 0 where nothing acts.
    """
    numbers = numbers if finite else dict.fromkeys(numbers, float("nan"))
    cell = run.cell
    performances = numbers["train_performance"], numbers["test_performance"]
    return {
        "run_id": run.run_id,
        "cell_id": cell.cell_id,
        "dataset": cell.dataset,
        "task": cell.task,
        "hidden": cell.hidden,
        "extra_layers": cell.extra_layers,
        "n_train": cell.n_train,
        "seed": run.seed,
        "update_step": update_step,
        "agent_step": agent_step,
        "diverged": not finite,
        "generalization_gap": generalization_gap(cell.task, *performances),
        **numbers,
    }


def generalization_gap(task: str, train: float, test: float) -> float:
    """Return how much worse the test set fares: larger means worse generalization (paper, B.1).

    Args:
        task: The learner, which decides whether more performance is better.
        train: Performance on training samples.
        test: Performance on test samples.
    """
    return train - test if known()[task].higher_is_better else test - train
