"""Double DQN on masked images: two heads with one body, each with its own TD error."""

import copy
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from td_interference.agents.masked_images.agent import (
    LearnerSettings,
    MaskedImageAgent,
    MeasuredStates,
)
from td_interference.agents.masked_images.play import (
    Episodes,
    Heads,
    Policy,
    epsilon_greedy_policy,
    heads,
)
from td_interference.agents.masked_images.replay import MaskedImageReplay, Transitions
from td_interference.environments.masked_image import MaskedImages, MaskedImageState

LEARNER = {
    "title": "value-based (Double DQN)",
    "family": "value-based (Double DQN)",
    "data": "images",
    "acts": True,
    "function": "the largest of all 14 values",
    "performance": "episode reward",
    "settings": {
        "gamma": {
            "default": 0.9,
            "minimum": 0,
            "maximum": 1,
            "description": "discount per agent step",
            "source": "code",
        },
        "replay_capacity": {
            "default": 100_000,
            "minimum": 1,
            "description": "transitions that the replay holds",
            "source": "code",
        },
        "learning_starts": {
            "default": 5000,
            "minimum": 1,
            "description": "agent steps before the first update",
            "source": "code",
        },
        "updates_per_step": {
            "default": 0.5,
            "exclusiveMinimum": 0,
            "description": "updates per agent step after those; may be below 1",
            "source": "code",
        },
        "tau": {
            "default": 0.1,
            "minimum": 0,
            "maximum": 1,
            "description": "share of the network in each update of its moving average"
            ", which gives the targets",
            "source": "code",
        },
        "epsilon_start": {
            "default": 0.95,
            "minimum": 0,
            "maximum": 1,
            "description": "probability of a random action of each head at first",
            "source": "code",
        },
        "epsilon_end": {
            "default": 0.05,
            "minimum": 0,
            "maximum": 1,
            "description": "the same from epsilon_decay_steps on",
            "source": "code",
        },
        "epsilon_decay_steps": {
            "default": 100_000,
            "minimum": 0,
            "description": "agent steps over which it falls linearly",
            "source": "code",
        },
        "evaluation_epsilon": {
            "default": 0.0,
            "minimum": 0,
            "maximum": 1,
            "description": "the same in evaluation episodes",
            "source": "paper, section 2: greedy",
        },
        "n_environments": {
            "default": 1,
            "minimum": 1,
            # With N of them, the agent acts at most N steps behind its newest parameters.
            "description": "episodes played side by side",
            "source": "code",
        },
    },
    "rules": [
        {
            "key": "agent.n_environments",
            "at_most": ["agent.replay_capacity"],
            "otherwise": "exceeds 'agent.replay_capacity'",
        },
        {
            "key": "agent.n_environments",
            "at_most": ["agent.learning_starts"],
            "otherwise": "exceeds 'agent.learning_starts'",
        },
        {
            "key": "agent.epsilon_end",
            "at_most": ["agent.epsilon_start"],
            "otherwise": "is above the {of.agent.epsilon_start:g} of 'agent.epsilon_start', from "
            "which it falls",
        },
        {
            "key": "measure_every",
            "multiple_of": ["agent.n_environments"],
            "otherwise": "must be a multiple of the {of.agent.n_environments} "
            "'agent.n_environments'",
        },
        {
            "key": "measure_every",
            "at_least": 2,
            "otherwise": "must be at least 2, for pairs of different transitions are measured",
        },
        {
            "key": "agent.replay_capacity",
            "at_least": 2,
            "otherwise": "must be at least 2, for pairs of different transitions are measured",
        },
        {
            "key": "agent_steps",
            "at_least": ["agent.learning_starts", "1/agent.updates_per_step"],
            "otherwise": "leave nothing to learn in after the {of.agent.learning_starts} agent "
            "steps of 'agent.learning_starts'; raise the one or lower the other",
        },
    ],
}


class DoubleDQNTargets(NamedTuple):
    """What was done in M states, and what its values are pulled towards."""

    class_action: Tensor  # int64 [M]
    move: Tensor  # int64 [M]
    class_target: Tensor  # float [M]
    move_target: Tensor  # float [M]


def double_dqn_target(
    online: Heads, target: Heads, reward: Tensor, terminated: Tensor, gamma: float
) -> Heads:
    """Return R + γ Q_target(S', argmax_a Q_online(S', a)) of each head, [M] each.

    There is no second term where S' is terminal. A truncated step bootstraps like any other: the
    observation does not hold the time, so neither can its value.

    Args:
        online: Values of S' by the online network, [M, 10] and [M, 4].
        target: The same by the moving average of the network.
        reward: [M], which both heads share.
        terminated: bool [M].
        gamma: Discount per agent step.

    Source:
        van Hasselt, Guez and Silver (2015), for each head.
    """
    goes_on = gamma * ~terminated
    return Heads(
        *(
            reward + goes_on * theirs.gather(1, own.argmax(1, keepdim=True))[:, 0]
            for own, theirs in zip(online, target, strict=True)
        )
    )


def exploration(settings: Any, agent_step: int) -> float:
    """Return the probability of a random action after `agent_step` agent steps."""
    if agent_step >= settings.epsilon_decay_steps:
        return settings.epsilon_end
    done = agent_step / settings.epsilon_decay_steps
    return settings.epsilon_start + (settings.epsilon_end - settings.epsilon_start) * done


def updates_by(settings: Any, agent_step: int) -> int:
    """Return how many updates a run has done that took `agent_step` agent steps."""
    return math.floor(max(0, agent_step - settings.learning_starts) * settings.updates_per_step)


class Learner(MaskedImageAgent):
    """One run of Double DQN; for the arguments see `MaskedImageAgent`, settings as in the card."""

    purposes = ("episodes", "exploration", "minibatches")

    def __init__(self, images: MaskedImages, learner: LearnerSettings, settings: Any, stream: str):
        super().__init__(images, learner, settings, stream)
        self.average_network = copy.deepcopy(self.network).requires_grad_(False)
        self.replay = MaskedImageReplay(images, settings.replay_capacity)
        self._state = images.begin(self.draw_images())

    def step(self) -> None:
        """Take one agent step in each environment, and do the updates that are due after it."""
        epsilon = exploration(self.settings, self.agent_step)
        policy = epsilon_greedy_policy(self.network, epsilon, self.generators["exploration"])
        actions = policy(self.images.observation(self._state))
        self.replay.append(self._state, actions)
        step = self.images.step(self._state, *actions)
        # One for each environment, whether its episode ends or not.
        begun = self.images.begin(self.draw_images())
        self._state = step.state.where(step.terminated | step.truncated, begun)
        self.agent_step += self.settings.n_environments
        while self.update_step < updates_by(self.settings, self.agent_step):
            batch = self.replay.sample(self.learner.minibatch, self.generators["minibatches"])
            self.update(self.images.observation(batch.state), self._targets(self.images, batch))
            self._follow()

    def evaluation_policy(self, generator: np.random.Generator) -> Policy:
        """See `MaskedImageAgent`: greedy but for `evaluation_epsilon`."""
        return epsilon_greedy_policy(self.network, self.settings.evaluation_epsilon, generator)

    def states_of(
        self, images: MaskedImages, state: MaskedImageState, actions: Heads, reward: Tensor
    ) -> MeasuredStates:
        """See `MaskedImageAgent`."""
        transitions = Transitions(state, actions, images.step(state, *actions))
        return MeasuredStates(images.observation(state), self._targets(images, transitions))

    def train_states(
        self, episodes: Episodes, most: int, generator: np.random.Generator
    ) -> MeasuredStates:
        """See `MaskedImageAgent`: from the replay."""
        drawn = self.replay.sample_distinct(most, generator)
        return MeasuredStates(
            self.images.observation(drawn.state), self._targets(self.images, drawn)
        )

    @staticmethod
    def loss(outputs: Tensor, targets: DoubleDQNTargets) -> Tensor:
        """Return the sum of the two heads' squared TD errors of each sample, [M], reward²."""
        td_errors = [
            value - own.gather(1, action[:, None])[:, 0]
            for own, action, value in zip(heads(outputs), targets[:2], targets[2:], strict=True)
        ]
        return torch.stack(td_errors).square().sum(0)

    @staticmethod
    def function(outputs: Tensor) -> Tensor:
        """Return the largest of all 14 values, [M]."""
        return outputs.amax(1)

    @torch.no_grad()
    def _targets(self, images: MaskedImages, transitions: Transitions) -> DoubleDQNTargets:
        step = transitions.step
        observation = images.observation(step.state)
        online, target = (heads(net(observation)) for net in (self.network, self.average_network))
        targets = double_dqn_target(
            online, target, step.reward, step.terminated, self.settings.gamma
        )
        return DoubleDQNTargets(*transitions.actions, *targets)

    @torch.no_grad()
    def _follow(self) -> None:
        """Let the moving average follow: θ_average ← (1 - τ) θ_average + τ θ (section 6)."""
        followed = self.network.parameters()
        for average, parameter in zip(self.average_network.parameters(), followed, strict=True):
            average.lerp_(parameter, self.settings.tau)

    def state_dict(self) -> dict[str, Any]:
        """See `MaskedImageAgent`."""
        return {
            **super().state_dict(),
            "average_network": self.average_network.state_dict(),
            "replay": self.replay.state_dict(),
            "episodes": dict(self._state._asdict()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `MaskedImageAgent`."""
        super().load_state_dict(state)
        self.average_network.load_state_dict(state["average_network"])
        self.replay.load_state_dict(state["replay"])
        parts = {name: part.to(self.images.device) for name, part in state["episodes"].items()}
        self._state = MaskedImageState(**parts)
