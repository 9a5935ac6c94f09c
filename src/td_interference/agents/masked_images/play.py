"""Two heads that act at once, and whole episodes of masked images played side by side."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from td_interference.datasets.arrays import N_CLASSES
from td_interference.environments.masked_image import MOVES, MaskedImages, MaskedImageState

HEADS = (N_CLASSES, len(MOVES))  # how many actions each head chooses from
N_OUTPUTS = sum(HEADS)


class Heads(NamedTuple):
    """The same thing of each of the two heads: its outputs, its actions, its values."""

    class_action: Tensor
    move: Tensor


def heads(outputs: Tensor) -> Heads:
    """Split the network's outputs [M, 14] into those for classes, [M, 10], and moves, [M, 4]."""
    return Heads(*outputs.split(HEADS, dim=1))


# Chooses for observations [N, 4, 32, 32]: the action of each head, int64 [N].
Policy = Callable[[Tensor], Heads]


def epsilon_greedy_policy(
    network: nn.Module, epsilon: float, generator: np.random.Generator
) -> Policy:
    """Return the policy in which each head takes its own action of the largest value.

    Args:
        network: To the values of both heads, [N, 14].
        epsilon: Probability that both heads act uniformly at random instead.
        generator: Of the random actions, on the CPU; asked as often whatever is done.
    """

    @torch.no_grad()
    def act(observation: Tensor) -> Heads:
        n, device = len(observation), observation.device
        greedy = torch.from_numpy(np.flatnonzero(generator.random(n) >= epsilon)).to(device)
        actions = Heads(
            *(torch.from_numpy(generator.integers(0, count, n)).to(device) for count in HEADS)
        )
        if len(greedy):  # early in training, most need no look at the network
            values = heads(network(observation[greedy]))
            for action, value in zip(actions, values, strict=True):
                action[greedy] = value.argmax(1)
        return actions

    return act


def softmax_policy(network: nn.Module, generator: np.random.Generator) -> Policy:
    """Return the policy that draws each head's action from the softmax of its outputs.

    Args:
        network: To the logits of both heads, [N, 14].
        generator: Of the draws, on the CPU.
    """

    @torch.no_grad()
    def act(observation: Tensor) -> Heads:
        drawn = torch.from_numpy(generator.random((len(HEADS), len(observation)))).to(
            observation.device
        )
        logits = heads(network(observation))
        return Heads(*(_quantile(*pair) for pair in zip(logits, drawn, strict=True)))

    return act


def _quantile(logits: Tensor, uniform: Tensor) -> Tensor:
    """Return the action in whose share of 0..1 each uniform number lies, int64 [N]."""
    shares = logits.double().softmax(1).cumsum(1)
    # Rounding may leave the last share's end below 1.
    return (shares <= uniform[:, None]).sum(1).clamp(max=logits.shape[1] - 1)


class Episodes(NamedTuple):
    """N whole episodes, and the M agent steps that they are made of."""

    reward: Tensor  # float64 [N], undiscounted sum of each episode
    episode: Tensor  # int64 [M], which of the episodes each step is of
    state: MaskedImageState  # M states that actions were taken in
    actions: Heads  # int64 [M] each


def play_episodes(images: MaskedImages, image: Tensor, policy: Policy) -> Episodes:
    """Play an episode on each of the images, all at once, to their ends.

    Args:
        images: What may be shown.
        image: int64 [N], one of them for each episode.
        policy: Asked about the episodes that have not ended, in their order.
    """
    state = images.begin(image)
    episode = torch.arange(len(image), device=images.device)
    reward = torch.zeros(len(image), dtype=torch.float64, device=images.device)
    parts: list[tuple[Tensor, MaskedImageState, Heads]] = []
    while len(episode):
        actions = policy(images.observation(state))
        step = images.step(state, *actions)
        parts.append((episode, state, actions))
        reward.index_add_(0, episode, step.reward.double())
        goes_on = ~(step.terminated | step.truncated)
        episode = episode[goes_on]
        state = MaskedImageState(*(part[goes_on] for part in step.state))
    episodes, states, taken = zip(*parts, strict=True)
    return Episodes(
        reward,
        torch.cat(episodes),
        MaskedImageState(*map(torch.cat, zip(*states, strict=True))),
        Heads(*map(torch.cat, zip(*taken, strict=True))),
    )
