"""The frames and steps behind every replay memory of the agents: the newest rows, each frame once.

Row t of environment e holds the newest frame of S_t, A_t and what the step told (see
`AtariStep`); so the row after an episode's end holds its last observation, and no transition.
Stacks of frames are rebuilt on demand: an observation costs 7 kB, not 28.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from td_interference.environments.atari import AtariStep
from td_interference.environments.screen import FRAME_SIZE, STACK


class FrameRing:
    """The newest rows of N environments; a row's number never changes, its place is the remainder.

    Args:
        n_rows: Rows per environment.
        n_environments: N.
        first_row: Number of the first row to be appended, the first of an episode in each
            environment; above 0 for a ring that is refilled.
    """

    def __init__(self, n_rows: int, n_environments: int, first_row: int = 0):
        self.n_rows, self.n_environments = n_rows, n_environments
        shape = (n_rows, n_environments)
        self.frame = np.zeros((*shape, FRAME_SIZE, FRAME_SIZE), dtype=np.uint8)
        self.action = np.zeros(shape, dtype=np.uint8)
        self.reward = np.zeros(shape, dtype=np.float32)
        self.raw_reward = np.zeros(shape, dtype=np.float32)
        self.terminated = np.zeros(shape, dtype=np.bool_)
        self.truncated = np.zeros(shape, dtype=np.bool_)
        self.life_lost = np.zeros(shape, dtype=np.bool_)
        self.valid = np.zeros(shape, dtype=np.bool_)
        self.age = np.zeros(shape, dtype=np.uint8)  # earlier frames of the episode, at most 3
        self._age_now = np.zeros(n_environments, dtype=np.uint8)
        self.first_row = self.next_row = first_row

    @property
    def oldest(self) -> int:
        """Number of the oldest row kept."""
        return max(self.first_row, self.next_row - self.n_rows)

    def append(
        self, observation: NDArray[np.uint8], action: NDArray[np.integer], step: AtariStep
    ) -> None:
        """Add one row.

        Args:
            observation: Before the step, [N, 4, 84, 84].
            action: [N].
            step: What the environments answered.
        """
        place = self.next_row % self.n_rows
        self.frame[place] = observation[:, -1]
        self.action[place] = action
        self.reward[place] = step.reward
        self.raw_reward[place] = step.raw_reward
        self.terminated[place] = step.terminated
        self.truncated[place] = step.truncated
        self.life_lost[place] = step.life_lost
        self.valid[place] = step.valid
        self.age[place] = self._age_now
        self._age_now = np.where(step.valid, np.minimum(self._age_now + 1, STACK - 1), 0)
        self.next_row += 1

    def stack(self, row: NDArray[np.int64], environment: NDArray[np.int64] | int) -> Tensor:
        """Return S_row: zeros where the episode had not begun.

        Args:
            row: Numbers of rows that are still there with the frames of their stacks, [B].
            environment: [B], or one for all.

        Returns:
            uint8 [B, 4, 84, 84].
        """
        environment = np.broadcast_to(environment, row.shape)
        back = np.arange(STACK - 1, -1, -1)
        frames = self.frame[(row[:, None] - back) % self.n_rows, environment[:, None]]
        frames[self.age[row % self.n_rows, environment][:, None] < back] = 0
        return torch.from_numpy(frames)
