"""The Rainbow learner: one update of the online network from one minibatch.

Source: Hessel et al. (2018), "Rainbow: combining improvements in deep reinforcement learning".
"""

import copy
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from td_interference.agents.expert import categorical
from td_interference.agents.expert.network import Noise, RainbowNetwork, to_pixels
from td_interference.agents.expert.prioritized_replay import ReplayBatch
from td_interference.optimizers import make_optimizer
from td_interference.planning.expert import ExpertSettings


class Noises(NamedTuple):
    """The three independent draws of noise of one update."""

    online: Noise  # for the prediction at S_t
    choice: Noise  # for the online network's choice of the action at S_{t+m}
    target: Noise  # for the frozen network's distribution of that action


def rainbow_loss(
    online: RainbowNetwork, target: RainbowNetwork, batch: ReplayBatch, noises: Noises
) -> Tensor:
    """Return each transition's KL(projected target || prediction), [B], not yet weighted.

    The target is that of double Q-learning: the online network chooses the action at S_{t+m},
    the frozen network gives its distribution. Gradients flow through the prediction alone.

    Args:
        online: The network that learns.
        target: Its older copy.
        batch: On the networks' device.
        noises: Noise of the three forward passes; None in a place means mean weights.
    """
    samples = torch.arange(len(batch.action), device=batch.action.device)
    with torch.no_grad():
        pixels = to_pixels(batch.bootstrap_observation)
        best = online.action_values(pixels, noises.choice).argmax(1)
        bootstrap = target(pixels, noises.target)[samples, best].softmax(-1)
        distribution = categorical.project(
            bootstrap, batch.n_step_return, batch.bootstrap_discount, online.support
        )
    logits = online(to_pixels(batch.observation), noises.online)[samples, batch.action]
    return categorical.kl_divergence(distribution, logits.log_softmax(-1))


class RainbowLearner:
    """Online and frozen network, optimizer, and their counters.

    Args:
        settings: Hyperparameters.
        network: The online network; changed in place.
        noise_generator: Source of the noise of updates, on the CPU.
    """

    def __init__(
        self, settings: ExpertSettings, network: RainbowNetwork, noise_generator: torch.Generator
    ):
        self.settings, self.online = settings, network
        self.target = copy.deepcopy(network).requires_grad_(False)
        self.optimizer = make_optimizer(
            "adam",
            network.parameters(),
            learning_rate=settings.learning_rate,
            epsilon=settings.adam_epsilon,
        )
        self.update_step = 0
        self._noise_generator = noise_generator

    def update(self, batch: ReplayBatch) -> NDArray[np.float32]:
        """Take one optimizer step, and copy the frozen network when it is due.

        Args:
            batch: On the network's device.

        Returns:
            The losses before the step, [B], which are the new priorities.
        """
        noises = Noises(*(self.online.sample_noise(self._noise_generator) for _ in Noises._fields))
        losses = rainbow_loss(self.online, self.target, batch, noises)
        self.optimizer.zero_grad()
        (batch.importance_weight * losses).mean().backward()
        torch.nn.utils.clip_grad_norm_(self.online.parameters(), self.settings.gradient_clip_norm)
        self.optimizer.step()
        self.update_step += 1
        if self.update_step % self.settings.frozen_period == 0:
            self.target.load_state_dict(self.online.state_dict())
        return losses.detach().cpu().numpy()

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `load_state_dict` needs to go on with the same bits."""
        return {
            "online": self.online.state_dict(),
            "target": self.target.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "update_step": self.update_step,
            "noise_generator": self._noise_generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.online.load_state_dict(state["online"])
        self.target.load_state_dict(state["target"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.update_step = state["update_step"]
        self._noise_generator.set_state(state["noise_generator"])
