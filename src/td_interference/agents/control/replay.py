"""The replay memory of Q-learning: single frames in, uniform minibatches and recent play out.

The newest row's own successor is not there yet: it lends its frame, and is no transition.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from td_interference.agents.frame_ring import FrameRing
from td_interference.environments.screen import STACK
from td_interference.replay import TransitionBatch, episode_rows
from td_interference.storage import hdf5, kinds
from td_interference.storage.identity import Identity

_OBSERVATIONS_AT_ONCE = 256  # stacks in memory while Q values of a window are computed, 7 MB


class Rows(NamedTuple):
    """Consecutive rows of one environment: the transitions of an episode, whole or so far."""

    environment: int
    first: int  # counted from the first row ever
    length: int  # at least 1; the row after them holds the frame that the last one led to


class UniformReplay:
    """The last `capacity` agent steps of N environments, each transition as likely as any other.

    Args:
        capacity: Agent steps of all environments together.
        n_environments: N.
        first_row: As of `FrameRing`.
    """

    def __init__(self, capacity: int, n_environments: int, first_row: int = 0):
        if capacity // n_environments <= STACK:
            raise ValueError(f"{capacity=} is too small for {n_environments=}")
        self.ring = FrameRing(capacity // n_environments, n_environments, first_row)
        self.append = self.ring.append

    @property
    def drawable_rows(self) -> range:
        """Numbers of the rows whose transitions, where valid, can be drawn."""
        # The stacks of the oldest three may reach back to rows that are gone. Whether they do is
        # not asked: a refilled ring, which may begin elsewhere, must draw the same.
        first = max(self.ring.first_row, self.ring.next_row - self.ring.n_rows + STACK - 1)
        return range(first, self.ring.next_row - 1)

    def __len__(self) -> int:
        """Number of transitions that can be drawn."""
        return int(self.ring.valid[np.array(self.drawable_rows) % self.ring.n_rows].sum())

    def sample(self, size: int, generator: np.random.Generator) -> TransitionBatch:
        """Draw a minibatch uniformly over transitions, with replacement.

        Args:
            size: B.
            generator: On the CPU, so that every machine draws the same.

        Raises:
            ValueError: There is nothing to draw yet.
        """
        ring, rows, n = self.ring, self.drawable_rows, self.ring.n_environments
        if not rows:
            raise ValueError("nothing to draw: fewer than two rows were appended")
        drawn = np.empty(size, dtype=np.int64)
        missing = np.arange(size)
        while len(missing):  # about one row in an episode is none
            drawn[missing] = generator.integers(rows.start * n, rows.stop * n, len(missing))
            missing = missing[~ring.valid[drawn[missing] // n % ring.n_rows, drawn[missing] % n]]
        row, environment = np.divmod(drawn, n)
        place = row % ring.n_rows, environment
        return TransitionBatch(
            observation=ring.stack(row, environment),
            action=torch.from_numpy(ring.action[place].astype(np.int64)),
            reward=torch.from_numpy(ring.reward[place]),
            next_observation=ring.stack(row + 1, environment),
            terminated=torch.from_numpy(ring.terminated[place]),
            truncated=torch.from_numpy(ring.truncated[place]),
        )

    def recent_episodes(self, n_transitions: int) -> Iterator[Rows]:
        """Yield the newest play without gaps, environment by environment, in the order of play.

        An episode is left out if its beginning is no longer there, because the observations
        after it could not be rebuilt.

        Args:
            n_transitions: Of each environment; at least so many if there are, back to the
                beginning of the episode in which the oldest of them lies.
        """
        rows = np.arange(self.ring.oldest, self.ring.next_row - 1)
        place = rows % self.ring.n_rows
        for environment in range(self.ring.n_environments):
            valid = self.ring.valid[place, environment]
            begins = valid & (self.ring.age[place, environment] == 0)
            until_now = valid[::-1].cumsum()[::-1]
            whole = np.flatnonzero(begins & (until_now >= n_transitions))
            first = whole[-1] if len(whole) else 0
            # At least one row that is no transition stands between two episodes.
            ends = np.flatnonzero(np.append(~valid, True))
            for begin in np.flatnonzero(begins):
                if begin >= first:
                    length = ends[np.searchsorted(ends, begin)] - begin
                    yield Rows(environment, int(rows[begin]), int(length))


def write_window(
    path: Path | str,
    memory: UniformReplay,
    n_transitions: int,
    gamma: float,
    q_values: Callable[[Tensor], Tensor],
    identity: Identity,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Write recent play in the format of D*, so that `Replay.load` reads it.

    Args:
        path: HDF5 to write, of the table `storage.REPLAY`.
        memory: Where the play is.
        n_transitions: Of each environment; see `UniformReplay.recent_episodes`.
        gamma: Discount per agent step, of the Monte-Carlo return.
        q_values: The agent's Q(s, ·): uint8 [B, 4, 84, 84] to float32 [B, A]; stored in the place
            of an expert's.
        identity: What the play is of.
        attributes: What else the file says of itself.
    """
    described = {
        "title": "Recent play of an agent under training, in the format of D*",
        "expert_q": "Q(s, .) of the agent itself at this checkpoint; there is no expert",
        "monte_carlo_return": "of the rewards seen; an episode under way ends truncated",
        **(attributes or {}),
    }
    ring, start = memory.ring, 0
    with hdf5.create(path, kinds.REPLAY, identity, described) as writer:
        for rows in memory.recent_episodes(n_transitions):
            numbers = np.arange(rows.first, rows.first + rows.length)
            parts = np.split(
                numbers, range(_OBSERVATIONS_AT_ONCE, len(numbers), _OBSERVATIONS_AT_ONCE)
            )
            q = [q_values(ring.stack(part, rows.environment)).cpu() for part in parts]
            place = numbers % ring.n_rows
            episode = episode_rows(
                ring.frame[np.append(place, (numbers[-1] + 1) % ring.n_rows), rows.environment],
                ring.action[place, rows.environment],
                ring.reward[place, rows.environment],
                ring.raw_reward[place, rows.environment],
                torch.cat(q).numpy(),
                terminated=bool(ring.terminated[place[-1], rows.environment]),
                start=start,
                gamma=gamma,
            )
            for name, values in episode.items():
                writer.append(name, values)
            start += rows.length
