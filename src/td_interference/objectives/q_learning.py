"""Q-learning with a frozen copy, as DQN (paper, eq. 3; figures 4, 6, 7)."""

from td_interference.objectives.q_base import QLearningObjective

OBJECTIVE = {
    "label": "DQN",
    "colour": "#CC79A7",
    "about": "Q-learning with a frozen copy of the network (figures 4, 6, 7)",
    "formula": "L_QL = (Q(S_t, A_t) - (R_t + γ max_a Q̄(S_{t+1}, a)))², eq. 10 with a frozen copy Q̄",
}


class Objective(QLearningObjective):
    """Q(S_t, A_t) towards R_t + γ max_a Q(S_{t+1}, a) of a copy taken every `frozen_period`."""
