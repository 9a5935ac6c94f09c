"""One-step targets of the expert, L_TD* = (Q(s, a) - (r + γ max_a' Q*(s', a')))² (section 5)."""

import torch
from torch import Tensor

from td_interference.objectives.q_base import QRegressionObjective

OBJECTIVE = {
    "label": "TD*",
    "colour": "#009E73",
    "about": "regression to the expert's one-step targets (section 5)",
    "formula": "L_TD* = (Q(S_t, A_t) - (R_t + γ max_a Q*(S_{t+1}, a)))²",
    "departures": [
        "After a truncated step the target is Q*(S_t, A_t), for D* has no Q* of the next state.",
    ],
}


class Objective(QRegressionObjective):
    """Q(S_t, A_t) towards R_t + γ max_a Q*(S_{t+1}, a)."""

    def target(self, index: Tensor) -> Tensor:
        """Return the expert's TD target, [N].

        D* holds Q* of every state an action was taken in, so not of the one after a truncated
        step: there Q*(S_t, A_t), which estimates the same, takes its place.
        """
        replay = self.replay
        following = (index + 1).clamp(max=len(replay) - 1)
        next_q = replay.expert_q[following].amax(dim=1)
        one_step = replay.reward[index] + self.run.gamma * ~replay.terminated[index] * next_q
        own = replay.expert_q[index, replay.action[index]]
        return torch.where(replay.truncated[index], own, one_step)
