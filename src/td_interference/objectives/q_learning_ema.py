"""Q-learning towards a moving average of the network ("DDQN" of the paper's figure 7)."""

import torch

from td_interference.objectives.q_base import QLearningObjective

OBJECTIVE = {
    "label": "DDQN",
    "colour": "#E69F00",
    "about": "Q-learning with a moving average as target network (figure 7)",
    "formula": "L_QL as of q_learning, with θ̄ = (1 - τ) θ̄ + τ θ after each update (below figure 7)",
}


class Objective(QLearningObjective):
    """As Q-learning; after each update the frozen network goes a step towards the network.

    θ̄ = (1 - τ) θ̄ + τ θ (paper, below figure 7).
    """

    @torch.no_grad()
    def before_update(self, update_step: int) -> None:
        """Start the average at the initial weights; afterwards move it by τ."""
        if update_step == 0:
            self.synchronise()
            return
        pairs = zip(self.frozen_network.parameters(), self.network.parameters(), strict=True)
        for average, parameter in pairs:
            average.lerp_(parameter, self.run.tau)
