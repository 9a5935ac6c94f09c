"""Made-up play for the agents' memories: a stream that remembers all it ever said."""

import numpy as np

from td_interference.environments.atari import AtariStep


class Stream:
    """N environments that end and lose lives at random, and restart every `period` + 1 rows.

    The frame of row t of environment e shows t and e; a stream remembers all it ever said.
    """

    def __init__(self, n: int, seed: int, period: int = 10**9, end: float = 0.08):
        self.n, self.period, self.end = n, period, end
        self.random = np.random.default_rng(seed)
        self.rows: list[tuple[np.ndarray, np.ndarray, AtariStep]] = []
        self.observation = self._begun()
        self.ended = np.zeros(n, dtype=bool)

    def _frame(self) -> np.ndarray:
        frame = np.zeros((self.n, 84, 84), dtype=np.uint8)
        frame[:, 0, 0] = 1 + len(self.rows) % 251  # never black, as the padding is
        frame[:, 1, 0] = 1 + len(self.rows) // 251
        frame[:, 0, 1] = 1 + np.arange(self.n)
        return frame

    def _begun(self) -> np.ndarray:
        black = np.zeros((self.n, 3, 84, 84), dtype=np.uint8)
        return np.concatenate([black, self._frame()[:, None]], axis=1)

    def advance(self) -> tuple[np.ndarray, np.ndarray, AtariStep]:
        before, action = self.observation, self.random.integers(0, 9, self.n)
        self.rows.append((before, action, None))  # counted by `_frame`
        phase = len(self.rows) % (self.period + 1)
        valid = ~self.ended & (phase != 0)
        chance = self.random.random(self.n)
        terminated = valid & (chance < self.end)
        truncated = valid & ~terminated & ((chance > 1 - self.end) | (phase == self.period))
        continued = np.concatenate([before[:, 1:], self._frame()[:, None]], axis=1)
        raw_reward = (self.random.integers(-1, 3, self.n) * 50 * valid).astype(np.int32)
        step = AtariStep(
            observation=np.where(valid[:, None, None, None], continued, self._begun()),
            reward=np.sign(raw_reward).astype(np.float32),
            raw_reward=raw_reward,
            terminated=terminated,
            truncated=truncated,
            life_lost=valid & (chance < 2 * self.end),
            valid=valid,
        )
        self.rows[-1] = before, action, step
        self.observation, self.ended = step.observation, terminated | truncated
        return self.rows[-1]


def identity(observation: np.ndarray) -> tuple[int, int]:
    """Row (of the first 251 * 250) and environment that an observation's newest frame shows."""
    newest = observation[-1]
    return int(newest[0, 0]) - 1 + 251 * (int(newest[1, 0]) - 1), int(newest[0, 1]) - 1
