"""REINFORCE on masked images: two heads with one body, the softmax of each its policy."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from td_interference.agents.masked_images.agent import (
    MaskedImageAgent,
    MeasuredStates,
)
from td_interference.agents.masked_images.play import (
    Heads,
    Policy,
    heads,
    play_episodes,
    softmax_policy,
)
from td_interference.environments.masked_image import MaskedImages, MaskedImageState

LEARNER = {
    "title": "policy gradient (REINFORCE)",
    "family": "policy gradient (REINFORCE)",
    "data": "images",
    "acts": True,
    "function": "the mean of all 14 outputs",
    "performance": "episode reward",
    "learns_once": True,
    "settings": {
        "entropy_weight": {
            "default": 1e-4,
            "minimum": 0,
            "description": "of the entropy bonus of the two heads' policies, per nat",
            "source": "code",
        },
        "n_environments": {
            "default": 1,
            "minimum": 1,
            # All are played to their ends before the next are begun.
            "description": "episodes begun side by side",
            "source": "code",
        },
    },
    "rules": [
        {
            "key": "minibatch",
            "at_most": ["agent_steps"],
            "otherwise": "is more than the {of.agent_steps} agent steps ('agent_steps') of the "
            "whole training",
        },
    ],
}


class ReinforceTargets(NamedTuple):
    """What was done in M states, and what came of it."""

    class_action: Tensor  # int64 [M]
    move: Tensor  # int64 [M]
    episode_reward: Tensor  # float [M], undiscounted sum of the whole episode of each
    entropy_weight: Tensor  # float [M], the same for all


class Learner(MaskedImageAgent):
    """One run of REINFORCE; for the arguments see `MaskedImageAgent`, settings as in the card.

    An update is on all episodes since the last one, as soon as these have the minibatch of agent
    steps.
    """

    purposes = ("episodes", "actions")

    def step(self) -> None:
        """Play whole episodes until there are enough agent steps for an update, and do it."""
        policy = softmax_policy(self.network, self.generators["actions"])
        played: list[MeasuredStates] = []
        collected = 0
        while collected < self.learner.minibatch:
            play = play_episodes(self.images, self.draw_images(), policy)
            reward = play.reward[play.episode]
            played.append(self.states_of(self.images, play.state, play.actions, reward))
            collected += len(reward)
        targets = zip(*(part.targets for part in played), strict=True)
        self.update(
            torch.cat([part.observation for part in played]),
            ReinforceTargets(*map(torch.cat, targets)),
        )
        self.agent_step += collected

    def evaluation_policy(self, generator: np.random.Generator) -> Policy:
        """See `MaskedImageAgent`: the policy that is learned, drawn from."""
        return softmax_policy(self.network, generator)

    def states_of(
        self, images: MaskedImages, state: MaskedImageState, actions: Heads, reward: Tensor
    ) -> MeasuredStates:
        """See `MaskedImageAgent`."""
        weight = torch.full_like(reward.float(), self.settings.entropy_weight)
        targets = ReinforceTargets(*actions, reward.float(), weight)
        return MeasuredStates(images.observation(state), targets)

    @staticmethod
    def loss(outputs: Tensor, targets: ReinforceTargets) -> Tensor:
        """Return -G (log π_class + log π_move) - w (H_class + H_move) of each sample, [M].

        G is the reward of the whole episode, w the weight of the entropy H in nats (Williams,
        1992; the bonus is the authors' code's).
        """
        surrogate = torch.zeros_like(targets.episode_reward)
        for logits, action in zip(heads(outputs), targets[:2], strict=True):
            log_policy = logits.log_softmax(1)
            entropy = -(log_policy.exp() * log_policy).sum(1)
            taken = log_policy.gather(1, action[:, None])[:, 0]
            surrogate = surrogate + targets.episode_reward * taken
            surrogate = surrogate + targets.entropy_weight * entropy
        return -surrogate

    @staticmethod
    def function(outputs: Tensor) -> Tensor:
        """Return the mean of all 14 outputs, [M]."""
        return outputs.mean(1)
