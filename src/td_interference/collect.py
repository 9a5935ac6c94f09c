"""D*: an expert plays with a little exploration, and whole episodes of it are kept."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from td_interference import storage
from td_interference.agents.expert_file import expected_q, load_expert
from td_interference.agents.rainbow_network import RainbowNetwork
from td_interference.environments.atari import AtariEnvironments, AtariSettings
from td_interference.files import sha256
from td_interference.grid import ReplaySpec
from td_interference.progress import Progress
from td_interference.returns import monte_carlo_return
from td_interference.seeds import numpy_generator, seed_for


@dataclass
class Episode:
    """One episode under way; lists grow by one at each agent step."""

    frames: list[NDArray[np.uint8]]  # one more than steps, [84, 84]
    action: list[int] = field(default_factory=list)
    reward: list[float] = field(default_factory=list)
    raw_reward: list[float] = field(default_factory=list)
    expert_q: list[NDArray[np.float32]] = field(default_factory=list)
    terminated: bool = False
    truncated: bool = False


def play_episodes(
    network: RainbowNetwork,
    spec: ReplaySpec,
    *,
    n_threads: int,
    device: torch.device,
) -> Iterator[Episode]:
    """Yield finished episodes in the order in which they began, without end.

    Taking them in the order of their ends instead would favour short ones.

    Args:
        network: The expert.
        spec: How to play.
        n_threads: Of the emulator.
        device: Where the network is.
    """
    environments = AtariEnvironments(
        AtariSettings(
            spec.game,
            spec.repeat_action_probability,
            max_frames_per_episode=spec.max_frames_per_episode,
        ),
        spec.environments,
        seed_for(spec.random_stream, "emulators"),
        n_threads,
        # Never cut an episode: whole ones are wanted, and their own limit ends them.
        restart_period=np.iinfo(np.int64).max,
    )
    generator = numpy_generator(spec.random_stream, "exploration")
    n = spec.environments
    running = [Episode([frame]) for frame in environments.observation[:, -1].copy()]
    in_order = list(running)
    while True:
        observation = torch.from_numpy(environments.observation).to(device)
        q = expected_q(network, observation).cpu().numpy()
        explore = generator.random(n) < spec.epsilon
        uniform = generator.integers(0, environments.n_actions, n)
        action = np.where(explore, uniform, q.argmax(axis=1))
        step = environments.step(action)
        for copy in range(n):
            newest = step.observation[copy, -1].copy()
            if not step.valid[copy]:
                running[copy] = Episode([newest])
                in_order.append(running[copy])
                continue
            episode = running[copy]
            episode.frames.append(newest)
            episode.action.append(int(action[copy]))
            episode.reward.append(float(step.reward[copy]))
            episode.raw_reward.append(float(step.raw_reward[copy]))
            episode.expert_q.append(q[copy])
            episode.terminated = bool(step.terminated[copy])
            episode.truncated = bool(step.truncated[copy])
        while in_order and (in_order[0].terminated or in_order[0].truncated):
            yield in_order.pop(0)


def collect_replay(
    spec: ReplaySpec,
    expert_path: Path | str,
    replay_path: Path | str,
    *,
    n_threads: int,
    device: torch.device,
    progress_directory: Path | None = None,
) -> None:
    """Record one D* file.

    Args:
        spec: How to play, and how much.
        expert_path: The expert's weights.
        replay_path: HDF5 to write, of the table `storage.REPLAY`.
        n_threads: Of the emulator.
        device: Where the expert runs.
        progress_directory: For the heartbeat file.

    Raises:
        UserError: If the expert's file is bad, or the game is unknown.
    """
    network, expert_settings = load_expert(expert_path)
    network.to(device)
    attributes = {
        "settings": asdict(spec),
        "game": spec.game,
        "seed": spec.seed,
        "expert_sha256": sha256(expert_path),
        "expert_settings": asdict(expert_settings),
    }
    name = f"collect_replay {spec.game}-seed{spec.seed}"
    with (
        storage.create(replay_path, storage.REPLAY, attributes) as writer,
        Progress(name, spec.transitions, "transitions", progress_directory) as progress,
    ):
        n_transitions = 0
        for episode in play_episodes(network, spec, n_threads=n_threads, device=device):
            for field_name, rows in _rows(episode, n_transitions, spec.gamma).items():
                writer.append(field_name, rows)
            n_transitions += len(episode.action)
            progress.advance(len(episode.action))
            if n_transitions >= spec.transitions:
                break


def _rows(episode: Episode, start: int, gamma: float) -> storage.Arrays:
    """Return an episode as rows of `storage.REPLAY`, the first transition being row `start`."""
    length = len(episode.action)
    ends = np.arange(length) == length - 1
    reward = np.array(episode.reward, dtype=np.float32)
    lengths = np.array([length])
    return {
        "frames": np.stack(episode.frames),
        "action": np.array(episode.action, dtype=np.uint8),
        "reward": reward,
        "raw_reward": np.array(episode.raw_reward, dtype=np.float32),
        "terminated": ends & episode.terminated,
        "truncated": ends & episode.truncated,
        "monte_carlo_return": monte_carlo_return(reward, lengths, gamma=gamma),
        "expert_q": np.stack(episode.expert_q).astype(np.float32),
        "episode_start": np.array([start]),
        "episode_length": lengths,
        "episode_score": np.array([sum(episode.raw_reward)], dtype=np.float32),
    }
