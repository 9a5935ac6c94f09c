"""What Double DQN and REINFORCE agents of masked images have in common."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from td_interference.agents.masked_images.play import N_OUTPUTS, Episodes, Heads, Policy
from td_interference.environments.masked_image import N_PLANES, MaskedImages, MaskedImageState
from td_interference.networks.atari import initialise
from td_interference.networks.images import image_network
from td_interference.optimizers import make_optimizer
from td_interference.seeds import numpy_generator, torch_generator


class LearnerSettings(NamedTuple):
    """What every agent learns with."""

    hidden: int  # n_h
    extra_layers: int  # n_L
    learning_rate: float  # of Adam
    minibatch: int  # see `planning.cells.CellSpec`


class MeasuredStates(NamedTuple):
    """M states with what the agent's loss of them needs."""

    observation: Tensor  # float32 [M, 4, 32, 32]
    targets: tuple[Tensor, ...]  # [M] each; a record of the agent's own


class MaskedImageAgent(ABC):
    """One run: the network, its optimizer, and the training images it acts on.

    Args:
        images: The first n_T training images; no other is ever shown in training.
        learner: Of the network and its optimizer.
        settings: Of the agent itself, as in its learner's card.
        stream: Name that all of the run's generators follow from.

    Attributes:
        agent_step: Agent steps done.
        update_step: Updates done.
        finite: bool [], no loss has been inf or NaN.
    """

    # Names of the generators' purposes.
    purposes: ClassVar[tuple[str, ...]]

    def __init__(self, images: MaskedImages, learner: LearnerSettings, settings: Any, stream: str):
        self.agent_step = self.update_step = 0
        self.finite = torch.ones((), dtype=torch.bool, device=images.device)
        self.images, self.learner, self.settings = images, learner, settings
        network = image_network(N_PLANES, N_OUTPUTS, learner.hidden, learner.extra_layers)
        initialise(network, torch_generator(stream, "initial_weights"))
        self.network: nn.Module = network.to(images.device)
        self.optimizer = make_optimizer(
            "adam", self.network.parameters(), learning_rate=learner.learning_rate
        )
        self.generators = {name: numpy_generator(stream, name) for name in self.purposes}

    @abstractmethod
    def step(self) -> None:
        """Act, and learn as often as is due; the least that can be done of the run."""

    @abstractmethod
    def evaluation_policy(self, generator: np.random.Generator) -> Policy:
        """Return the policy of the present network that is judged."""

    @abstractmethod
    def states_of(
        self, images: MaskedImages, state: MaskedImageState, actions: Heads, reward: Tensor
    ) -> MeasuredStates:
        """Return M states of the agent's play, to measure the network in.

        Args:
            images: What was played on.
            state: The states.
            actions: Taken in them, int64 [M] each.
            reward: Of the whole episode of each, undiscounted, float64 [M].
        """

    @staticmethod
    @abstractmethod
    def loss(outputs: Tensor, targets: Any) -> Tensor:
        """Return the loss of each sample, [M].

        Args:
            outputs: Of the network, [M, 14].
            targets: See `MeasuredStates`.
        """

    @staticmethod
    @abstractmethod
    def function(outputs: Tensor) -> Tensor:
        """Return f of each sample, [M], whose interference is measured (eq. 8)."""

    def train_states(
        self, episodes: Episodes, most: int, generator: np.random.Generator
    ) -> MeasuredStates:
        """Draw training states to measure the network in: here, of evaluation episodes.

        Args:
            episodes: Of the agent, on the training images.
            most: M, at most.
            generator: On the CPU.
        """
        return self.test_states(self.images, episodes, most, generator)

    def test_states(
        self, images: MaskedImages, episodes: Episodes, most: int, generator: np.random.Generator
    ) -> MeasuredStates:
        """Draw states of evaluation episodes, without replacement; for the rest see above."""
        drawn = torch.from_numpy(generator.permutation(len(episodes.episode))[:most])
        drawn = drawn.to(images.device)
        state = MaskedImageState(*(part[drawn] for part in episodes.state))
        actions = Heads(*(part[drawn] for part in episodes.actions))
        return self.states_of(images, state, actions, episodes.reward[episodes.episode[drawn]])

    def draw_images(self) -> Tensor:
        """Draw a training image for each environment, int64."""
        size = self.settings.n_environments
        drawn = self.generators["episodes"].integers(0, len(self.images), size)
        return torch.from_numpy(drawn).to(self.images.device)

    def update(self, observation: Tensor, targets: tuple[Tensor, ...]) -> None:
        """Take one step on the mean loss of a minibatch of M samples.

        Args:
            observation: float32 [M, 4, 32, 32].
            targets: As `loss` takes them.
        """
        loss = self.loss(self.network(observation), targets).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.finite &= loss.detach().isfinite()
        self.update_step += 1

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `load_state_dict` needs to go on with the same bits.

        It shares memory with the agent: write it before the next step.
        """
        return {
            "agent_step": self.agent_step,
            "update_step": self.update_step,
            "finite": self.finite,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generators": {
                name: generator.bit_generator.state for name, generator in self.generators.items()
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict` of a run with the same settings."""
        self.agent_step, self.update_step = state["agent_step"], state["update_step"]
        self.finite = state["finite"].to(self.images.device, copy=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name, generator in self.generators.items():
            generator.bit_generator.state = state["generators"][name]
