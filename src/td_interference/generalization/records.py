"""The record of one measured run of the generalization experiments (paper, B.1)."""

import dataclasses
from collections.abc import Mapping
from typing import Self

from td_interference.planning.cells import CellSpec
from td_interference.planning.learners import known


def generalization_gap(task: str, train: float, test: float) -> float:
    """Return how much worse the test set fares: larger means worse generalization (paper, B.1).

    Args:
        task: The learner, which decides whether more performance is better.
        train: Performance on training samples.
        test: Performance on test samples.
    """
    return train - test if known()[task].higher_is_better else test - train


@dataclasses.dataclass(frozen=True)
class RunMeasurement:
    """One run at one update step: a row of the table. NaN throughout once a run diverged.

    `function` is of f, which each learner's card names. `loss` is of the loss. Interference is
    the inner product of two gradients, stiffness their cosine; each the mean over the pairs of
    different samples. Stiffness is over the pairs that have an angle, which those with a zero
    gradient have not.
    """

    run_id: str
    cell_id: str
    dataset: str
    task: str
    hidden: int  # n_h
    extra_layers: int  # n_L
    n_train: int  # n_T
    seed: int
    update_step: int  # updates done
    agent_step: int  # agent steps done; 0 where nothing acts
    diverged: bool  # a loss or output has been inf or NaN, now or before
    # Mean cross entropy in nats, or mean squared error in units of y squared, or the agent's loss
    # (`double_dqn`, `reinforce`) over the measured states.
    train_loss: float
    test_loss: float
    # Accuracy in 0..1, or mean squared error / variance of the output, or mean undiscounted reward
    # of an agent's episodes on the images of the split.
    train_performance: float
    test_performance: float
    generalization_gap: float  # in units of performance; larger is worse
    function_interference_train_train: float
    function_interference_train_test: float
    function_interference_test_test: float
    function_stiffness_train_train: float  # in -1..1
    function_stiffness_train_test: float
    function_stiffness_test_test: float
    loss_interference_train_train: float
    loss_interference_train_test: float
    loss_interference_test_test: float
    loss_stiffness_train_train: float
    loss_stiffness_train_test: float
    loss_stiffness_test_test: float

    @classmethod
    def of(
        cls,
        cell: CellSpec,
        seed: int,
        run_id: str,
        numbers: Mapping[str, float],
        *,
        finite: bool,
        update_step: int,
        agent_step: int = 0,
    ) -> Self:
        """Return the row of a run of `cell`.

        Args:
            cell: The run's.
            seed: The run's, an index.
            run_id: The run's.
            numbers: What was measured: losses, performances, interferences and stiffnesses.
            finite: Whether all losses and outputs have been; else the numbers become NaN.
            update_step: Updates done.
            agent_step: Agent steps taken; 0 where nothing acts.
        """
        known = numbers if finite else dict.fromkeys(numbers, float("nan"))
        return cls(
            run_id=run_id,
            cell_id=cell.cell_id,
            dataset=cell.dataset,
            task=cell.task,
            hidden=cell.hidden,
            extra_layers=cell.extra_layers,
            n_train=cell.n_train,
            seed=seed,
            update_step=update_step,
            agent_step=agent_step,
            diverged=not finite,
            generalization_gap=generalization_gap(
                cell.task, known["train_performance"], known["test_performance"]
            ),
            **known,
        )
