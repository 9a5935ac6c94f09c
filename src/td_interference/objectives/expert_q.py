"""Regression to the expert, L_reg = (Q(s, a) - Q*(s, a))² (paper, section 5, figure 3)."""

from torch import Tensor

from td_interference.objectives.q_base import QRegressionObjective

OBJECTIVE = {
    "label": "reg",
    "colour": "#D55E00",
    "about": "regression to the expert (section 5)",
    "formula": "L_reg = (Q(S_t, A_t) - Q*(S_t, A_t))²",
}


class Objective(QRegressionObjective):
    """Q(S_t, A_t) towards the expert's Q*(S_t, A_t)."""

    def target(self, index: Tensor) -> Tensor:
        """Return Q*(S_t, A_t), [N]."""
        return self.replay.expert_q[index, self.replay.action[index]]
