"""The learning curve of an agent under training: a row for each episode, counted as it acts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars

from td_interference.environments.atari import AtariStep
from td_interference.storage.files import atomic_path


class TrainingEpisode(NamedTuple):
    """One row of the learning curve: an episode of training, when it ended."""

    agent_step: int  # agent steps of all environments so far
    update_step: int
    episode_return: int  # undiscounted sum of raw rewards
    episode_steps: int  # agent steps
    truncated: bool  # cut by the time limit or a restart of the emulators
    loss: float | None  # mean over the updates since the row before; None if there were none


class LearningCurve:
    """The rows so far, and the scores, lengths and losses of the next ones.

    Args:
        n_environments: N.
    """

    def __init__(self, n_environments: int):
        self.rows: list[TrainingEpisode] = []
        self.losses: list[float] = []  # of each update since the newest row
        self._score = np.zeros(n_environments, dtype=np.int64)
        self._length = np.zeros(n_environments, dtype=np.int64)

    def count(self, step: AtariStep, agent_step: int, update_step: int) -> None:
        """Count one step of all environments, and add a row for each episode that it ended.

        Args:
            step: What the environments answered.
            agent_step: Agent steps of all environments, this one included.
            update_step: Updates so far.
        """
        self._score += step.raw_reward
        self._length += step.valid
        for n in np.flatnonzero(step.terminated | step.truncated):
            loss = float(np.mean(self.losses)) if self.losses else None
            episode = int(self._score[n]), int(self._length[n]), bool(step.truncated[n])
            self.rows.append(TrainingEpisode(agent_step, update_step, *episode, loss))
            self._score[n] = self._length[n] = 0
            self.losses.clear()

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `load_state_dict` needs to go on with the same rows."""
        return {
            "rows": [tuple(row) for row in self.rows],
            "losses": list(self.losses),
            "score": self._score.tolist(),
            "length": self._length.tolist(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict` of a curve of as many environments."""
        self.rows = [TrainingEpisode(*row) for row in state["rows"]]
        self.losses = list(state["losses"])
        self._score[:], self._length[:] = state["score"], state["length"]


def write_learning_curve(path: Path | str, rows: Sequence[TrainingEpisode]) -> None:
    """Write one row per training episode, as CSV, atomically."""
    schema = {
        "agent_step": polars.Int64,
        "update_step": polars.Int64,
        "episode_return": polars.Int64,
        "episode_steps": polars.Int64,
        "truncated": polars.Boolean,
        "loss": polars.Float64,
    }
    with atomic_path(path) as temporary:
        polars.DataFrame(rows, schema=schema, orient="row").write_csv(temporary)
