"""Half Monte Carlo, half Q-learning."""

from td_interference.objectives.q_base import QLearningObjective


class Objective(QLearningObjective):
    """Q(S_t, A_t) towards the mean of the return and the TD target of a frozen copy."""

    bootstraps = False  # its target is not R + γ max Q(S') alone, as the second-order terms need

    def target(self, index):
        """Return the td_target of each transition, [N]."""
        return 0.5 * (self.td_target(index) + self.replay.monte_carlo_return[index])
