"""The replay memory of Rainbow: single frames in, prioritized n-step minibatches out.

Row t of environment e holds the newest frame of S_t, A_t and what the step told (see
`AtariStep`); so the row after an episode's end holds its last observation, and no transition.
Stacks of frames are rebuilt on sampling: an observation costs 7 kB, not 28.
"""

from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from td_interference.agents.sum_tree import SumTree
from td_interference.environments.atari import AtariStep
from td_interference.screen import FRAME_SIZE, STACK


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
        first_row: Number of the first row to be appended; above 0 for a memory that is refilled.
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
        """See the class."""
        self.rows = capacity // n_environments
        if self.rows <= n_step + STACK:
            raise ValueError(f"{capacity=} is too small for {n_environments=} and {n_step=}")
        self._n_environments, self._n_step, self._gamma = n_environments, n_step, gamma
        self._exponent, self._life_loss_terminal = priority_exponent, life_loss_terminal
        shape = (self.rows, n_environments)
        self._frame = np.zeros((*shape, FRAME_SIZE, FRAME_SIZE), dtype=np.uint8)
        self._action = np.zeros(shape, dtype=np.uint8)
        self._reward = np.zeros(shape, dtype=np.float32)
        self._terminal = np.zeros(shape, dtype=np.bool_)
        self._ended = np.zeros(shape, dtype=np.bool_)
        self._valid = np.zeros(shape, dtype=np.bool_)
        self._age = np.zeros(shape, dtype=np.uint8)  # earlier frames of the episode, at most 3
        self._age_now = np.zeros(n_environments, dtype=np.uint8)
        self._tree = SumTree(self.rows * n_environments)  # leaf: row * N + environment
        self._max_priority = 1.0
        self._first_row = self._next_row = first_row

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
        row = self._next_row % self.rows
        terminal = step.terminated
        if self._life_loss_terminal:
            terminal = terminal | step.life_lost
        self._frame[row] = observation[:, -1]
        self._action[row] = action
        self._reward[row] = step.reward
        self._terminal[row] = terminal
        self._ended[row] = terminal | step.truncated
        self._valid[row] = step.valid
        self._age[row] = self._age_now
        self._age_now = np.where(step.valid, np.minimum(self._age_now + 1, STACK - 1), 0)
        # The oldest rows whose stacks begin in rows about to be overwritten leave the draw.
        self._set_priorities(self._next_row + STACK - 1, 0.0)
        matured = self._next_row - self._n_step
        if matured >= self._first_row:
            valid = self._valid[matured % self.rows]
            self._set_priorities(matured, np.where(valid, self._max_priority**self._exponent, 0.0))
        self._next_row += 1

    def sample(
        self, size: int, importance_exponent: float, generator: np.random.Generator
    ) -> ReplayBatch:
        """Draw a minibatch, one transition from each of `size` equal slices of priority mass.

        Args:
            size: B.
            importance_exponent: beta of the importance weights.
            generator: Source of the draw.
        """
        mass = (np.arange(size) + generator.random(size)) * (self._tree.total / size)
        leaf = self._tree.find(mass)
        row, environment = np.divmod(leaf, self._n_environments)
        window = (row[:, None] + np.arange(self._n_step)) % self.rows, environment[:, None]
        target = n_step(
            self._reward[window], self._terminal[window], self._ended[window], self._gamma
        )
        # Weights of max 1 make updates smaller only: the number of transitions cancels.
        priority = self._tree.get(leaf)
        weight = (priority / priority.min()) ** -importance_exponent
        return ReplayBatch(
            observation=self._stack(row, environment),
            action=torch.from_numpy(self._action[row, environment].astype(np.int64)),
            n_step_return=torch.from_numpy(target.n_step_return.astype(np.float32)),
            bootstrap_observation=self._stack(row + target.bootstrap_offset, environment),
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
            "next_row": self._next_row,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Set the priorities, after all rows that can be drawn were appended again."""
        if self._next_row != state["next_row"]:
            raise ValueError(f"memory was refilled to row {self._next_row}, not {state}")
        self._max_priority = state["max_priority"]
        self._tree.set(np.arange(self._tree.capacity), state["priorities"].numpy())

    def _set_priorities(self, row: int, value: NDArray[np.float64] | float) -> None:
        first = (row % self.rows) * self._n_environments
        self._tree.set(np.arange(first, first + self._n_environments), value)

    def _stack(self, row: NDArray[np.int64], environment: NDArray[np.int64]) -> Tensor:
        """Return observations, uint8 [B, 4, 84, 84]: zeros where the episode had not begun."""
        back = np.arange(STACK - 1, -1, -1)
        frames = self._frame[(row[:, None] - back) % self.rows, environment[:, None]]
        frames[self._age[row % self.rows, environment][:, None] < back] = 0
        return torch.from_numpy(frames)
