"""Training the masked-image agents of one or more cells in turn, and measuring them on the way."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from td_interference.agents.masked_images.agent import LearnerSettings, MaskedImageAgent
from td_interference.agents.masked_images.play import Episodes, play_episodes
from td_interference.datasets.arrays import DatasetArrays
from td_interference.environments.masked_image import MaskedImages
from td_interference.generalization import learner
from td_interference.generalization.group_training import GroupTraining, Row, Run, run_row
from td_interference.generalization.interference import interference
from td_interference.generalization.side_by_side import batch_of_one
from td_interference.gradients import per_sample_gradients
from td_interference.planning.cells import CellSpec
from td_interference.seeds import numpy_generator


class AgentsInTurn(GroupTraining):
    """The runs of agents, one after the other in one process; see `GroupTraining`.

    Args:
        cells: Of one group, of agents.
        data: Images. Of the train split the first n_T are played on in training, of the test split
            none.
        device: To learn on. On a CPU, results depend on nothing but the cells and the data.
    """

    def __init__(
        self, cells: Sequence[CellSpec], data: DatasetArrays, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__(cells, len(data.train.inputs))
        self._test = MaskedImages(data.test, device)
        shown = {
            cell.n_train: MaskedImages(data.train.first(cell.n_train), device) for cell in cells
        }
        own = self.shared
        settings = LearnerSettings(own.hidden, own.extra_layers, own.learning_rate, own.minibatch)
        self.agents: list[MaskedImageAgent] = [
            learner(own.task)(shown[run.cell.n_train], settings, own.agent, run.run_id)
            for run in self.runs
        ]

    @property
    def networks(self) -> list[nn.Module]:
        """See `GroupTraining`."""
        return [agent.network for agent in self.agents]

    def _train(self, steps: int) -> None:
        for agent in self.agents:
            while agent.agent_step < self.steps_done + steps:
                agent.step()

    def measure(self) -> list[Row]:
        """See `GroupTraining`."""
        rows = []
        for run, agent in zip(self.runs, self.agents, strict=True):
            numbers, finite = self._measured(run, agent), bool(agent.finite)
            rows.append(
                run_row(
                    run,
                    numbers,
                    finite=finite,
                    update_step=agent.update_step,
                    agent_step=self.steps_done,
                )
            )
        return rows

    def state_dict(self) -> dict[str, Any]:
        """See `GroupTraining`."""
        agents = [agent.state_dict() for agent in self.agents]
        return {"steps_done": self.steps_done, "agents": agents}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `GroupTraining`."""
        self.steps_done = state["steps_done"]
        for agent, own in zip(self.agents, state["agents"], strict=True):
            agent.load_state_dict(own)

    def _measured(self, run: Run, agent: MaskedImageAgent) -> dict[str, float]:
        """Play evaluation episodes, and measure the gradients in some of their states.

        All draws are the same at every measured step: what differs is what was learned.
        """

        def played(name: str, images: MaskedImages) -> Episodes:
            order = numpy_generator(run.run_id, f"{name}_images").permutation(len(images))
            policy = agent.evaluation_policy(numpy_generator(run.run_id, f"evaluation_{name}"))
            shown = torch.from_numpy(order[: run.cell.evaluation_samples])
            return play_episodes(images, shown, policy)

        train_episodes, test_episodes = played("train", agent.images), played("test", self._test)
        most = run.cell.samples
        train = agent.train_states(
            train_episodes, most, numpy_generator(run.run_id, "measured_train")
        )
        test = agent.test_states(
            self._test, test_episodes, most, numpy_generator(run.run_id, "measured_test")
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
            "train_performance": train_episodes.reward.mean().item(),
            "test_performance": test_episodes.reward.mean().item(),
        }
        values = {"function": agent.function, "loss": lambda outputs: agent.loss(outputs, targets)}
        for name, value in values.items():
            # Without a name, so that nothing holds them while the next value's are made.
            measured = interference(
                batch_of_one(per_sample_gradients(agent.network, observation, value)),
                n_train,
                len(test.observation),
            )
            numbers |= {column: own for column, (own,) in measured.columns(name).items()}
        return numbers
