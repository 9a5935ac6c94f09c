"""Monte-Carlo regression, L_MC = (Q(s, a) - G)² (paper, section 5, figure 3)."""

from torch import Tensor

from td_interference.objectives.q_base import QRegressionObjective

OBJECTIVE = {
    "label": "MC",
    "colour": "#0072B2",
    "about": "Monte-Carlo regression (section 5)",
    "formula": "L_MC = (Q(S_t, A_t) - G_t)²",
    "departures": [
        "G_t ends with the rewards before a truncated step, without a bootstrap.",
    ],
}


class Objective(QRegressionObjective):
    """Q(S_t, A_t) towards the return that followed in D*."""

    def target(self, index: Tensor) -> Tensor:
        """Return G_t, [N]."""
        return self.replay.monte_carlo_return[index]
