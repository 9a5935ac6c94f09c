"""TD(λ) policy evaluation: V towards forward-view λ-returns of a frozen network (eq. 4 and 5)."""

from typing import ClassVar

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
        self._target: Tensor | None = None  # [N], of all transitions; None until it is asked for

    def make_network(self) -> nn.Module:
        """Return the network of V."""
        return value_network(self.run.hidden)

    def prediction(self, outputs: Tensor, index: Tensor) -> Tensor:
        """Return V(S_t), [N]."""
        return outputs[:, 0]

    def target(self, index: Tensor) -> Tensor:
        """Return G^λ(S_t), [N]."""
        if self._target is None:
            self._target = self._lambda_returns()
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
        """Forget the λ-returns: they are of the frozen network's values (paper, appendix B.3)."""
        self._target = None

    def _lambda_returns(self) -> Tensor:
        """Return G^λ of all of D*, [N], by the frozen network as it is now."""
        assert self.run.lambda_ is not None, "RunSpec sees to it that TD(λ) has a λ"
        returns = lambda_return(
            self.replay.reward.cpu().numpy(),
            self._next_values().cpu().numpy(),
            self.replay.terminated.cpu().numpy(),
            self.replay.episode_length,
            gamma=self.run.gamma,
            lambda_=self.run.lambda_,
        )
        return torch.from_numpy(returns).to(self.replay.device)

    @torch.no_grad()
    def _next_values(self) -> Tensor:
        """Return V(S_{t+1}) of all of D*, [N]; 0 where the λ-returns do not depend on it."""
        n, device = len(self.replay), self.replay.device
        counts = torch.ones(n, dtype=torch.bool)
        if self.run.lambda_ == 1:  # only where a truncation cut off what would follow
            last = torch.from_numpy(self.replay.episode_length.cumsum() - 1)
            counts = torch.zeros(n, dtype=torch.bool).index_fill(0, last, True)
            counts &= ~self.replay.terminated.cpu()
        values = torch.zeros(n, dtype=next(self.frozen_network.parameters()).dtype, device=device)
        # Always the same batches: in others, a network's values are rounded otherwise.
        for index in torch.arange(n).split(_EVALUATION_BATCH):
            if counts[index].any():
                observation = self.replay.next_observation(index.to(device))
                values[index] = self.frozen_network(observation)[:, 0]
        return values
