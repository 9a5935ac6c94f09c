"""Policy score: what playing by the learned Q values earns (paper, section 5.2, figure 6)."""

import numpy as np
import torch
from torch import Tensor

from td_interference.agents.playing import epsilon_greedy_policy, play_episodes
from td_interference.environments.atari import AtariSettings
from td_interference.errors import UserError
from td_interference.metrics import Settings
from td_interference.metrics.subject import Subject
from td_interference.seeds import seed_for
from td_interference.storage.hdf5 import Arrays

METRIC = {
    "title": "Whole episodes played by the learned Q values",
    "source": "paper, figure 6",
    "about": "undiscounted scores of whole episodes",
    "formula": "Σ_t R_t of an episode (figure 6)",
    "departures": [
        "Greedy play with sticky actions; the paper says average reward after training.",
    ],
    "version": 3,
    "checkpoints": "last",
    "fields": {
        "score": {
            "dtype": "float32",
            "dimensions": ["episode"],
            "unit": "game score",
            "description": "undiscounted sum of raw rewards",
        },
        "agent_steps": {
            "dtype": "int64",
            "dimensions": ["episode"],
            "unit": "agent steps",
            "description": "its length",
        },
        "truncated": {
            "dtype": "bool",
            "dimensions": ["episode"],
            "unit": "",
            "description": "cut by the limit on emulator frames",
        },
    },
    "settings": {
        "episodes": {
            "minimum": 2,
            "default": 30,
            "description": "whole episodes",
        },
        "n_environments": {
            "minimum": 1,
            "default": 10,
            "description": "copies of the game that play at once",
        },
        "epsilon": {
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "default": 0,
            "description": "probability of a random action, 0 is greedy",
        },
    },
    "measurable": [
        {
            "key": "objective.learns",
            "equals": "Q",
            "otherwise": "'policy_score' needs values of actions, and {of.run.objective} learns V; "
            "take one of Q",
        },
    ],
    "environment": ["repeat_action_probability", "max_frames_per_episode"],
}


def measure(subject: Subject, settings: Settings) -> Arrays:
    """Return the scores of whole episodes played by the checkpoint's network.

    Emulators and random actions are the same at every checkpoint and for every objective.

    Args:
        subject: The checkpoint, of a run that learns Q.
        settings: "episodes"; "n_environments", how many play at once; "epsilon", the probability of
            a random action (0 is greedy); "repeat_action_probability" at each emulator frame;
            "max_frames_per_episode", emulator frames after which an episode is truncated.

    Returns:
        "score" [episodes], undiscounted, of raw rewards; "agent_steps" [episodes]; "truncated"
        [episodes].

    Raises:
        UserError: If the network has one output, V.
    """
    run, replay, network = subject.run, subject.replay, subject.objective.network

    @torch.no_grad()
    def q_values(observation: Tensor) -> Tensor:
        return network(observation.to(replay.device))

    first = torch.zeros(1, dtype=torch.int64, device=replay.device)
    n_outputs = q_values(replay.observation(first)).shape[1]
    if n_outputs != replay.n_actions:
        raise UserError(
            f"{run.run_id}: 'policy_score' needs a value of each of {replay.n_actions} actions, "
            f"and {run.objective} learns {n_outputs}; measure objectives of Q"
        )
    episodes = play_episodes(
        epsilon_greedy_policy(
            q_values, n_outputs, settings.epsilon, subject.generator("policy_score")
        ),
        AtariSettings(
            run.game, settings.repeat_action_probability, settings.max_frames_per_episode
        ),
        settings.episodes,
        settings.n_environments,
        seed_for(run.random_stream, "policy_score_environments"),
    )
    return {
        "score": np.array([episode.score for episode in episodes], dtype=np.float32),
        "agent_steps": np.array([episode.agent_steps for episode in episodes], dtype=np.int64),
        "truncated": np.array([episode.truncated for episode in episodes], dtype=np.bool_),
    }
