"""TD(λ) policy evaluation: V towards forward-view λ-returns of a frozen network (eq. 4 and 5)."""

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from td_interference.errors import UserError
from td_interference.networks.atari import value_network
from td_interference.objectives.base import BaseObjective
from td_interference.planning.grid import RunSpec
from td_interference.replay import Replay
from td_interference.returns import lambda_return

OBJECTIVE = {
    "label": "TD(λ)",
    "colour": "#000000",
    "about": "policy evaluation by λ-returns (section 5.1)",
    "formula": "L_TD(λ) = (V(S_t) - G^λ(S_t))² (eq. 4, 5)",
    "learns": "V",
    "takes_lambda": True,
    "departures": [
        "A truncated step bootstraps; the authors' code ends an episode there.",
    ],
}

_EVALUATION_BATCH = 256  # observations at a time, when V of all of D* is needed


class Objective(BaseObjective):
    """V(S_t) towards G^λ(S_t), all λ-returns recomputed at each copy of the frozen network."""

    bootstraps: ClassVar[bool] = True

    def __init__(self, run: RunSpec, replay: Replay):
        """As `BaseObjective`."""
        super().__init__(run, replay)
        self._target = torch.full((len(replay),), torch.nan, device=replay.device)

    def make_network(self) -> nn.Module:
        """Return the network of V."""
        return value_network(self.run.hidden)

    def prediction(self, outputs: Tensor, index: Tensor) -> Tensor:
        """Return V(S_t), [N]."""
        return outputs[:, 0]

    def target(self, index: Tensor) -> Tensor:
        """Return G^λ(S_t), [N]."""
        return self._target[index]

    def successor_value(self, outputs: Tensor) -> Tensor:
        """Return V(S_{t+1}), [N].

        Raises:
            UserError: If λ > 0: the values of more states than S_{t+1} are in the target.
        """
        if self.run.lambda_:
            raise UserError(
                f"{self.run.run_id}: 'second_order' knows targets of one step (eq. 17), and λ is "
                f"{self.run.lambda_:g}; measure it where 'lambdas' is 0, or an objective of Q"
            )
        return outputs[:, 0]

    def frozen_network_changed(self) -> None:
        """Recompute all λ-returns from the frozen network's values (paper, appendix B.3)."""
        assert self.run.lambda_ is not None, "RunSpec sees to it that TD(λ) has a λ"
        returns = lambda_return(
            self.replay.reward.cpu().numpy(),
            self._next_values(),
            self.replay.terminated.cpu().numpy(),
            self.replay.episode_length,
            gamma=self.run.gamma,
            lambda_=self.run.lambda_,
        )
        self._target = torch.from_numpy(returns).to(self.replay.device)

    @torch.no_grad()
    def _next_values(self) -> np.ndarray:
        indices = torch.arange(len(self.replay), device=self.replay.device)
        values = [
            self.frozen_network(self.replay.next_observation(index))[:, 0]
            for index in indices.split(_EVALUATION_BATCH)
        ]
        return torch.cat(values).cpu().numpy()
