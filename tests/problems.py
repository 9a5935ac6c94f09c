"""Small problems that several tests share."""

import numpy as np

from td_interference.planning.grid import RunSpec
from td_interference.returns import monte_carlo_return
from td_interference.storage import hdf5

LENGTHS = np.array([40, 25, 60])  # agent steps; the second episode is truncated
GAMMA = 0.99


def replay_arrays(lengths=LENGTHS, truncated_episode=1, n_actions=9, seed=0) -> hdf5.Arrays:
    """Arrays of a made-up D*; each frame is filled with noise around its own number."""
    generator = np.random.default_rng(seed)
    n, n_frames = int(lengths.sum()), int((lengths + 1).sum())
    ends = np.zeros(n, dtype=bool)
    ends[np.cumsum(lengths) - 1] = True
    truncated = np.zeros(n, dtype=bool)
    if truncated_episode is not None:
        truncated[np.cumsum(lengths)[truncated_episode] - 1] = True
    raw_reward = generator.choice([0, 0, 0, 10, 50], n).astype(np.float32)
    frames = generator.integers(0, 64, (n_frames, 84, 84))
    frames += (np.arange(n_frames) % 191)[:, None, None]  # neighbouring frames look alike
    reward = np.sign(raw_reward)
    return {
        "frames": np.clip(frames + 1, 1, 255).astype(np.uint8),  # never black, as padding is
        "action": generator.integers(0, n_actions, n).astype(np.uint8),
        "reward": reward,
        "raw_reward": raw_reward,
        "terminated": ends & ~truncated,
        "truncated": truncated,
        "monte_carlo_return": monte_carlo_return(reward, lengths, gamma=GAMMA),
        "expert_q": generator.normal(size=(n, n_actions)).astype(np.float32),
        "episode_start": np.cumsum(lengths) - lengths,
        "episode_length": lengths,
        "episode_score": np.add.reduceat(raw_reward, np.cumsum(lengths) - lengths),
    }


def run_spec(**over) -> RunSpec:
    """A small run, with some fields set differently."""
    fields = {
        "game": "ms_pacman",
        "objective": "td_lambda",
        "lambda_": 0.9,
        "loss": "capped",
        "gamma": GAMMA,
        "hidden": 2,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "weight_decay": 1e-4,
        "momentum": 0.9,
        "minibatch": 8,
        "updates": 12,
        "frozen_period": 5,
        "tau": 0.01,
        "checkpoints": (6, 12),
        "seed": 0,
    }
    return RunSpec(**{**fields, **over})
