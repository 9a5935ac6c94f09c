"""The replay memory of Rainbow: single frames in, prioritized n-step minibatches out."""

from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from td_interference.agents.expert.sum_tree import SumTree
from td_interference.agents.frame_ring import FrameRing
from td_interference.environments.atari import AtariStep
from td_interference.environments.screen import STACK


class ReplayBatch(NamedTuple):
    """B transitions over up to n agent steps each."""

    observation: Tensor  # uint8 [B, 4, 84, 84], S_t
    action: Tensor  # int64 [B], A_t
    n_step_return: Tensor  # float32 [B], sum_{k<m} gamma^k R_{t+k+1}, m <= n steps
    bootstrap_observation: Tensor  # uint8 [B, 4, 84, 84], S_{t+m}
    bootstrap_discount: Tensor  # float32 [B], gamma^m, or 0 where S_{t+m} is terminal
    importance_weight: Tensor  # float32 [B], in (0, 1]
    leaf: NDArray[np.int64]  # [B], for `update_priorities`

    def to(self, device: str | torch.device) -> Self:
        """Return the batch with its tensors on `device`."""
        moved = {name: value.to(device) for name, value in self._asdict().items() if name != "leaf"}
        return self._replace(**moved)


class NStep(NamedTuple):
    """The n-step part of B transitions."""

    n_step_return: NDArray[np.float64]  # [B]
    bootstrap_offset: NDArray[np.int64]  # [B], m in 1..n
    bootstrap_discount: NDArray[np.float64]  # [B]


def n_step(
    reward: NDArray[np.float32],
    terminal: NDArray[np.bool_],
    ended: NDArray[np.bool_],
    gamma: float,
) -> NStep:
    """Sum up to n rewards, no further than the first step at which an episode ended.

    Args:
        reward: R_{t+1} .. R_{t+n}, [B, n].
        terminal: Whether the bootstrap ends with the step, [B, n].
        ended: Whether the stream ends with it, terminal or truncated, [B, n].
        gamma: Discount per agent step.

    Returns:
        The return, and from where and how strongly to bootstrap.
    """
    n = reward.shape[1]
    steps = np.where(ended.any(1), ended.argmax(1) + 1, n)  # m
    powers = gamma ** np.arange(n)
    counted = np.arange(n) < steps[:, None]
    last = np.take_along_axis(terminal, steps[:, None] - 1, axis=1)[:, 0]
    return NStep(
        n_step_return=(reward * powers * counted).sum(1),
        bootstrap_offset=steps,
        bootstrap_discount=np.where(last, 0.0, gamma**steps),
    )


class PrioritizedReplay:
    """The last `capacity` agent steps of N environments, drawn by priority.

    A row can be drawn from the moment that the n rows after it are there; so every n-step return
    drawn is whole, or ends with its episode. Source: Schaul et al. (2016), proportional variant;
    Rainbow's priorities are losses.

    Args:
        capacity: Agent steps of all environments together.
        n_environments: N.
        n_step: n.
        gamma: Discount per agent step.
        priority_exponent: omega, power of the priorities.
        life_loss_terminal: Whether a lost life ends the bootstrap.
        first_row: As of `FrameRing`.
    """

    def __init__(
        self,
        capacity: int,
        n_environments: int,
        n_step: int,
        gamma: float,
        priority_exponent: float,
        life_loss_terminal: bool,
        first_row: int = 0,
    ):
        if capacity // n_environments <= n_step + STACK:
            raise ValueError(f"{capacity=} is too small for {n_environments=} and {n_step=}")
        self.ring = FrameRing(capacity // n_environments, n_environments, first_row)
        self._n_step, self._gamma = n_step, gamma
        self._exponent, self._life_loss_terminal = priority_exponent, life_loss_terminal
        # Leaf p * N + e: the row at place p of the ring, of environment e.
        self._tree = SumTree(self.ring.n_rows * n_environments)
        self._max_priority = 1.0

    def __len__(self) -> int:
        """Number of transitions that can be drawn."""
        return int(np.count_nonzero(self._tree.leaves))

    def append(
        self, observation: NDArray[np.uint8], action: NDArray[np.integer], step: AtariStep
    ) -> None:
        """Add one row.

        Args:
            observation: Before the step, [N, 4, 84, 84].
            action: [N].
            step: What the environments answered.
        """
        ring = self.ring
        ring.append(observation, action, step)
        newest = ring.next_row - 1
        # The oldest rows whose stacks begin in rows about to be overwritten leave the draw.
        self._set_priorities(newest + STACK - 1, 0.0)
        matured = newest - self._n_step
        if matured >= ring.first_row:
            valid = ring.valid[matured % ring.n_rows]
            self._set_priorities(matured, np.where(valid, self._max_priority**self._exponent, 0.0))

    def sample(
        self, size: int, importance_exponent: float, generator: np.random.Generator
    ) -> ReplayBatch:
        """Draw a minibatch, one transition from each of `size` equal slices of priority mass.

        Args:
            size: B.
            importance_exponent: beta of the importance weights.
            generator: Source of the draw.
        """
        ring = self.ring
        mass = (np.arange(size) + generator.random(size)) * (self._tree.total / size)
        leaf = self._tree.find(mass)
        place, environment = np.divmod(leaf, ring.n_environments)
        window = (place[:, None] + np.arange(self._n_step)) % ring.n_rows, environment[:, None]
        terminal = ring.terminated[window]
        if self._life_loss_terminal:
            terminal = terminal | ring.life_lost[window]
        ended = terminal | ring.truncated[window]
        target = n_step(ring.reward[window], terminal, ended, self._gamma)
        # Weights of max 1 make updates smaller only: the number of transitions cancels.
        priority = self._tree.get(leaf)
        weight = (priority / priority.min()) ** -importance_exponent
        return ReplayBatch(
            observation=ring.stack(place, environment),
            action=torch.from_numpy(ring.action[place, environment].astype(np.int64)),
            n_step_return=torch.from_numpy(target.n_step_return.astype(np.float32)),
            bootstrap_observation=ring.stack(place + target.bootstrap_offset, environment),
            bootstrap_discount=torch.from_numpy(target.bootstrap_discount.astype(np.float32)),
            importance_weight=torch.from_numpy(weight.astype(np.float32)),
            leaf=leaf,
        )

    def update_priorities(self, leaf: NDArray[np.int64], priority: NDArray[np.floating]) -> None:
        """Set the priorities of a minibatch, before the next `append`.

        Args:
            leaf: From the `ReplayBatch`, [B].
            priority: Losses, [B], finite; raised to `priority_exponent` here.
        """
        # A loss of exactly 0 must not take a transition out of the draw for ever.
        priority = np.maximum(priority.astype(np.float64), 1e-6)
        self._max_priority = max(self._max_priority, float(priority.max()))
        self._tree.set(leaf, priority**self._exponent)

    def state_dict(self) -> dict[str, Any]:
        """Return the priorities; the rows are for the environments to bring back."""
        leaves = torch.from_numpy(self._tree.leaves.copy())
        return {
            "priorities": leaves,
            "max_priority": self._max_priority,
            "next_row": self.ring.next_row,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Set the priorities, after all rows that can be drawn were appended again."""
        if self.ring.next_row != state["next_row"]:
            raise ValueError(f"memory was refilled to row {self.ring.next_row}, not {state}")
        self._max_priority = state["max_priority"]
        self._tree.set(np.arange(self._tree.capacity), state["priorities"].numpy())

    def _set_priorities(self, row: int, value: NDArray[np.float64] | float) -> None:
        n = self.ring.n_environments
        first = (row % self.ring.n_rows) * n
        self._tree.set(np.arange(first, first + n), value)
