"""Q-learning without a frozen network ("QL" of the paper's figure 7)."""

from torch import nn

from td_interference.objectives.q_base import QLearningObjective

OBJECTIVE = {
    "label": "QL",
    "colour": "#56B4E9",
    "about": "Q-learning without a target network (figure 7)",
    "formula": "L_QL = (Q(S_t, A_t) - (R_t + γ max_a Q(S_{t+1}, a)))² (eq. 10)",
    "target_moves": True,
}


class Objective(QLearningObjective):
    """Q(S_t, A_t) towards R_t + γ max_a Q(S_{t+1}, a) of the network itself, held fixed."""

    @property
    def bootstrap_network(self) -> nn.Module:
        """The network itself."""
        return self.network

    def before_update(self, update_step: int) -> None:
        """Do nothing: there is no frozen network."""
