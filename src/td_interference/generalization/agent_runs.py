"""Training the masked-image agents of one or more cells in turn, and measuring them on the way.

The counterpart of `training.TrainingTogether`, with the same use.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from td_interference.agents.masked_images.agent import LearnerSettings, MaskedImageAgent
from td_interference.agents.masked_images.play import play_episodes
from td_interference.datasets.arrays import DatasetArrays
from td_interference.environments.masked_image import MaskedImages
from td_interference.errors import UserError
from td_interference.generalization import learner
from td_interference.generalization.interference import interference
from td_interference.generalization.records import RunMeasurement
from td_interference.generalization.side_by_side import batch_of_one
from td_interference.gradients import per_sample_gradients
from td_interference.planning.cells import CellSpec
from td_interference.seeds import numpy_generator

_Numbers = dict[str, float]  # of one run: fields of `RunMeasurement`


class _Run(NamedTuple):
    """One seed of one cell."""

    cell: CellSpec
    seed: int
    run_id: str
    agent: MaskedImageAgent
    train_images: Tensor  # int64, of the first n_T, that performance is measured on
    test_images: Tensor  # int64, of the test images


class AgentsInTurn:
    """All runs of cells that differ in n_T and seeds alone, one after the other in one process.

    A run's initial weights, episodes, actions, minibatches and measured states depend on its own id
    only. A run that diverges goes on.

    Args:
        cells: Of one group; see `cells.grouped`. Of agents.
        data: Images. Of the train split the first n_T are played on in training, of the test split
            none.
        device: To learn on. On a CPU, results depend on nothing but the cells and the data.

    Raises:
        UserError: If a cell asks for more training images than there are.
        ValueError: If the cells are not of one group, or not of agents.
    """

    def __init__(
        self, cells: Sequence[CellSpec], data: DatasetArrays, device: torch.device | str = "cpu"
    ) -> None:
        """See the class."""
        if any(cell.shared != cells[0].shared for cell in cells):
            raise ValueError("the cells differ in more than n_T and seeds")
        self._steps_done = 0
        self._shared = cells[0]
        self._test = MaskedImages.of(data.test, device)
        self._runs = [
            run for cell in cells for run in _runs(cell, data, self._test, torch.device(device))
        ]

    @property
    def networks(self) -> list[nn.Module]:
        """The networks as they are now, in the order of cells, then seeds; not to be changed."""
        return [run.agent.network for run in self._runs]

    @property
    def steps_done(self) -> int:
        """Agent steps that every run has done, at least.

        An agent ends what it has begun, so it may have done some more: a step of each of its
        environments, or for REINFORCE the whole episodes of an update.
        """
        return self._steps_done

    def advance(self, agent_steps: int) -> None:
        """Do some agent steps of every run, with the updates that belong to them.

        It makes no difference to a run in how many calls its steps are done.

        Raises:
            ValueError: If they go beyond the last.
        """
        if self._steps_done + agent_steps > self._shared.duration:
            raise ValueError(f"{agent_steps} agent steps go beyond the last")
        self._steps_done += agent_steps
        for run in self._runs:
            while run.agent.agent_step < self._steps_done:
                run.agent.step()

    def measure(self) -> list[RunMeasurement]:
        """Return a row for each run as it is now, in the order of cells, then seeds."""
        return [self._row(run, self._measured(run)) for run in self._runs]

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `load_state_dict` needs to go on with the same bits.

        It shares memory with the agents: write it before the next `advance`.
        """
        agents = [run.agent.state_dict() for run in self._runs]
        return {"steps_done": self._steps_done, "agents": agents}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict` of the same cells and data."""
        self._steps_done = state["steps_done"]
        for run, agent in zip(self._runs, state["agents"], strict=True):
            run.agent.load_state_dict(agent)

    def _measured(self, run: _Run) -> _Numbers:
        """Play evaluation episodes, and measure the gradients in some of their states.

        All draws are the same at every measured step: what differs is what was learned.
        """
        agent, most = run.agent, run.cell.samples
        splits = {
            "train": (agent.images, run.train_images),
            "test": (self._test, run.test_images),
        }
        played = {
            name: play_episodes(
                *split, agent.evaluation_policy(numpy_generator(run.run_id, f"evaluation_{name}"))
            )
            for name, split in splits.items()
        }
        train = agent.train_states(
            played["train"], most, numpy_generator(run.run_id, "measured_train")
        )
        test = agent.test_states(
            self._test, played["test"], most, numpy_generator(run.run_id, "measured_test")
        )
        observation = torch.cat([train.observation, test.observation])
        both = zip(train.targets, test.targets, strict=True)
        targets = type(train.targets)(*map(torch.cat, both))
        n_train = torch.tensor([len(train.observation)], device=observation.device)
        with torch.no_grad():
            outputs = agent.network(observation)
            losses = agent.loss(outputs, targets).double()
        agent.finite &= outputs.isfinite().all()
        numbers = {
            "train_loss": losses[: int(n_train)].mean().item(),
            "test_loss": losses[int(n_train) :].mean().item(),
        }
        for name, episodes in played.items():
            numbers[f"{name}_performance"] = episodes.reward.mean().item()
        values = {"function": agent.function, "loss": lambda outputs: agent.loss(outputs, targets)}
        for name, value in values.items():
            # Without a name, so that nothing holds them while the next value's are made.
            measured = interference(
                batch_of_one(per_sample_gradients(agent.network, observation, value)),
                n_train,
                len(test.observation),
            )
            for pair, means in measured._asdict().items():
                numbers[f"{name}_interference_{pair}"] = means.inner_product.item()
                numbers[f"{name}_stiffness_{pair}"] = means.cosine.item()
        return numbers

    def _row(self, run: _Run, numbers: _Numbers) -> RunMeasurement:
        return RunMeasurement.of(
            run.cell,
            run.seed,
            run.run_id,
            numbers,
            finite=bool(run.agent.finite),
            update_step=run.agent.update_step,
            agent_step=self._steps_done,
        )


def _runs(
    cell: CellSpec, data: DatasetArrays, test: MaskedImages, device: torch.device
) -> list[_Run]:
    if cell.agent is None:
        raise ValueError(f"{cell.cell_id} is not of an agent")
    if cell.n_train > len(data.train.inputs):
        raise UserError(
            f"config key 'generalization.n_train': {cell.n_train} is more than the "
            f"{len(data.train.inputs)} training samples of {cell.dataset}"
        )
    images = MaskedImages.of(data.train.first(cell.n_train), device)
    settings = LearnerSettings(cell.hidden, cell.extra_layers, cell.learning_rate, cell.minibatch)
    runs = []
    for seed, run_id in zip(cell.seeds, cell.run_ids, strict=True):
        evaluated = [
            torch.from_numpy(
                numpy_generator(run_id, f"{name}_images").permutation(size)[
                    : cell.evaluation_samples
                ]
            )
            for name, size in (("train", len(images)), ("test", len(test)))
        ]
        agent = learner(cell.task)(images, settings, cell.agent, run_id)
        runs.append(_Run(cell, seed, run_id, agent, *evaluated))
    return runs
