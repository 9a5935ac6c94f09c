"""What the objectives of a Q network share: Q(S_t, A_t), and the pointwise TD loss."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from td_interference.networks.atari import q_network
from td_interference.objectives.base import BaseObjective


class QObjective(BaseObjective):
    """An objective whose prediction is Q(S_t, A_t)."""

    def make_network(self) -> nn.Module:
        """Return the network of Q(s, ·)."""
        return q_network(self.replay.n_actions, self.run.hidden)

    def prediction(self, outputs: Tensor, index: Tensor) -> Tensor:
        """Return Q(S_t, A_t), [N]."""
        return outputs.gather(1, self.replay.action[index][:, None])[:, 0]

    @property
    def bootstrap_network(self) -> nn.Module:
        """The network whose Q(S_{t+1}, ·) stands in `td_target`: here the frozen one."""
        return self.frozen_network

    def successor_value(self, outputs: Tensor) -> Tensor:
        """Return max_a Q(S_{t+1}, a), [N]."""
        return outputs.amax(dim=1)

    @torch.no_grad()
    def td_target(self, index: Tensor) -> Tensor:
        """Return R_t + γ max_a Q(S_{t+1}, a), [N] (paper, eq. 3); a terminal step bootstraps 0.

        It makes `td_loss` L_QL, whatever the network is trained towards.
        """
        next_q = self.successor_value(self.bootstrap_network(self.replay.next_observation(index)))
        continues = ~self.replay.terminated[index]
        return self.replay.reward[index] + self.run.gamma * continues * next_q

    @property
    def td_target_moves(self) -> bool:
        """Whether the network bootstraps from itself."""
        return self.bootstrap_network is self.network


class QLearningObjective(QObjective):
    """Q-learning: the target is the TD target."""

    bootstraps: ClassVar[bool] = True

    def target(self, index: Tensor) -> Tensor:
        """Return the TD target, [N]."""
        return self.td_target(index)


class QRegressionObjective(QObjective):
    """Regression of Q(S_t, A_t) to numbers of D* that do not move.

    Its gain is that of the pointwise TD loss, which bootstraps from the network itself (eq. 10):
    there is no frozen network.
    """

    @property
    def bootstrap_network(self) -> nn.Module:
        """The network itself."""
        return self.network

    def before_update(self, update_step: int) -> None:
        """Do nothing: the targets do not move."""
