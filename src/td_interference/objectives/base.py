"""What all objectives share: a network, a frozen network, a prediction, a target, a loss."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from td_interference.errors import UserError
from td_interference.networks.atari import initialise
from td_interference.objectives.losses import LOSSES
from td_interference.planning.grid import RunSpec
from td_interference.replay import Replay
from td_interference.seeds import torch_generator


class BaseObjective(ABC):
    """One objective on one D*: J(u) = ℓ(target(u) - prediction(u)) for each transition u.

    Args:
        run: The run's settings.
        replay: D*; the objective's tensors live on its device.

    Attributes:
        bootstraps: Whether the target is R_t + γ times a learned value of S_{t+1}, that of
            `successor_value`, by whichever network; else second-order metrics take the target as
            a number that no update moves.
    """

    bootstraps: ClassVar[bool] = False

    def __init__(self, run: RunSpec, replay: Replay):
        """See the class."""
        self.run, self.replay = run, replay
        self._loss = LOSSES[run.loss]
        network = self.make_network()
        initialise(network, torch_generator(run.random_stream, "initial_weights"))
        self.network = network.to(replay.device)
        self.frozen_network = copy.deepcopy(self.network).requires_grad_(False)

    @abstractmethod
    def make_network(self) -> nn.Module:
        """Return the network to train, its weights not yet drawn."""

    @abstractmethod
    def prediction(self, outputs: Tensor, index: Tensor) -> Tensor:
        """Return what is pulled towards the target.

        Args:
            outputs: Of the network at S_t, [N, n_outputs].
            index: The transitions, int64 [N].

        Returns:
            V(S_t) or Q(S_t, A_t), [N].
        """

    @abstractmethod
    def target(self, index: Tensor) -> Tensor:
        """Return the td_target of each transition, [N], detached."""

    def synchronise(self) -> None:
        """Copy the network to the frozen network and recompute what hangs on it."""
        self.frozen_network.load_state_dict(self.network.state_dict())
        self.frozen_network_changed()

    def frozen_network_changed(self) -> None:  # noqa: B027 - most objectives keep nothing
        """Recompute what hangs on the frozen network, for objectives that keep such."""

    def before_update(self, update_step: int) -> None:
        """Prepare the update that follows `update_step` updates: move the frozen network."""
        if update_step % self.run.frozen_period == 0:
            self.synchronise()

    def restore(
        self, parameters: Mapping[str, Tensor], frozen_parameters: Mapping[str, Tensor]
    ) -> None:
        """Put both networks where a checkpoint or resume state left them."""
        self.network.load_state_dict(parameters)
        self.frozen_network.load_state_dict(frozen_parameters)
        self.frozen_network_changed()

    def td_error(self, outputs: Tensor, index: Tensor, target: Tensor | None = None) -> Tensor:
        """Return δ = target - prediction of each transition, [N].

        Args:
            outputs: Of the network at S_t, [N, n_outputs].
            index: The transitions, int64 [N].
            target: `target(index)`, [N], where it is known already.
        """
        target = self.target(index) if target is None else target
        return self._difference(target, self.prediction(outputs, index))

    def loss(self, outputs: Tensor, index: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the pointwise losses J(u) = ℓ(δ), [N], no mean over them; see `td_error`."""
        return self._loss(self.td_error(outputs, index, target))

    def td_target(self, index: Tensor) -> Tensor:
        """Return the target of the TD loss whose gain is measured, [N]; here the target itself."""
        return self.target(index)

    @property
    def td_target_moves(self) -> bool:
        """Whether `td_target` moves with each step of the network; else it is the same after it."""
        return False

    def td_loss(self, outputs: Tensor, index: Tensor, td_target: Tensor | None = None) -> Tensor:
        """Return the pointwise TD loss whose gain is measured, [N].

        Args:
            outputs: Of the network at S_t, [N, n_outputs].
            index: The transitions, int64 [N].
            td_target: `td_target(index)`, [N], where it is known already.
        """
        td_target = self.td_target(index) if td_target is None else td_target
        return self._loss(self._difference(td_target, self.prediction(outputs, index)))

    def _difference(self, target: Tensor, prediction: Tensor) -> Tensor:
        # [N, 1] - [N] would be [N, N], each target less every prediction, without a word.
        if target.shape != prediction.shape:
            raise UserError(
                f"{self.run.objective_file or self.run.objective}: for the same transitions the "
                f"target is {list(target.shape)} and the prediction {list(prediction.shape)}"
            )
        return target - prediction

    def successor_value(self, outputs: Tensor) -> Tensor:
        """Return the value of S_{t+1} in the target of an objective that bootstraps.

        Args:
            outputs: Of a network at S_{t+1}, [N, n_outputs].

        Returns:
            [N], without regard to whether S_{t+1} is terminal.
        """
        raise NotImplementedError(f"{type(self).__module__} does not bootstrap")
