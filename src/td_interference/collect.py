"""D*: an expert plays with a little exploration, and whole episodes of it are kept."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from td_interference.agents.expert.file import expected_q, load_expert
from td_interference.agents.expert.network import RainbowNetwork
from td_interference.environments.atari import AtariEnvironments, AtariSettings, AtariStep
from td_interference.jobs.progress import Progress
from td_interference.jobs.resume import ResumeState
from td_interference.planning.replay import ReplaySpec
from td_interference.replay import episode_rows
from td_interference.seeds import numpy_generator, seed_for
from td_interference.storage import hdf5, kinds
from td_interference.storage.identity import Identity, made_from, of_expert

logger = logging.getLogger(__name__)


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


class Recording:
    """The play of an expert under way, in several copies of the game.

    It goes on exactly after a kill: emulators and frames are brought back by playing the saved
    actions again, with the saved values of the expert in place of its network's.

    Args:
        network: The expert.
        spec: How to play.
        n_threads: Of the emulator.
        device: Where the network is.
    """

    def __init__(
        self, network: RainbowNetwork, spec: ReplaySpec, *, n_threads: int, device: torch.device
    ):
        self._network, self._spec, self._device = network, spec, device
        self._environments = AtariEnvironments(
            AtariSettings(spec.game, spec.repeat_action_probability, spec.max_frames_per_episode),
            spec.n_environments,
            seed_for(spec.random_stream, "emulators"),
            n_threads,
            # Never cut an episode: whole ones are wanted, and their own limit ends them.
            restart_period=np.iinfo(np.int64).max,
        )
        self._exploration = numpy_generator(spec.random_stream, "exploration")
        self._expert_q: list[NDArray[np.float32]] = []  # of each step, [N, A]
        self._begin(self._environments.observation)

    def _begin(self, observation: NDArray[np.uint8]) -> None:
        self._running = [Episode([frame]) for frame in observation[:, -1].copy()]
        self._in_order = list(self._running)

    def step(self) -> list[Episode]:
        """Take one agent step in each copy.

        Returns:
            Episodes that are finished, in the order in which they began. Taking them in the order
            of their ends instead would favour short ones.
        """
        spec, n = self._spec, self._spec.n_environments
        observation = torch.from_numpy(self._environments.observation).to(self._device)
        q = expected_q(self._network, observation).cpu().numpy().astype(np.float32)
        explore = self._exploration.random(n) < spec.epsilon
        uniform = self._exploration.integers(0, self._environments.n_actions, n)
        action = np.where(explore, uniform, q.argmax(axis=1))
        return self._take(action, q, self._environments.step(action))

    def _take(
        self, action: NDArray[np.integer], q: NDArray[np.float32], step: AtariStep
    ) -> list[Episode]:
        self._expert_q.append(q)
        for copy, newest in enumerate(step.observation[:, -1].copy()):
            if not step.valid[copy]:
                self._running[copy] = Episode([newest])
                self._in_order.append(self._running[copy])
                continue
            episode = self._running[copy]
            episode.frames.append(newest)
            episode.action.append(int(action[copy]))
            episode.reward.append(float(step.reward[copy]))
            episode.raw_reward.append(float(step.raw_reward[copy]))
            episode.expert_q.append(q[copy])
            episode.terminated = bool(step.terminated[copy])
            episode.truncated = bool(step.truncated[copy])
        finished = []
        while self._in_order and (self._in_order[0].terminated or self._in_order[0].truncated):
            finished.append(self._in_order.pop(0))
        return finished

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `play_again` needs: N (4 A + 1) bytes per step so far."""
        return {
            "environments": self._environments.state_dict(),
            "expert_q": torch.from_numpy(np.stack(self._expert_q)),
            "exploration": self._exploration.bit_generator.state,
        }

    def play_again(self, state: dict[str, Any]) -> Iterator[list[Episode]]:
        """Go on from `state_dict` of a recording with the same arguments.

        Must be exhausted before the next step.

        Yields:
            What `step` returned, of each step up to that state.
        """
        self._expert_q = []
        played = self._environments.play_again(state["environments"])
        for place, (before, actions, step) in enumerate(played):
            if place == 0:
                self._begin(before)
            yield self._take(actions, state["expert_q"][place].numpy(), step)
        self._exploration.bit_generator.state = state["exploration"]


def collect_replay(
    spec: ReplaySpec,
    expert_path: Path | str,
    replay_path: Path | str,
    *,
    identity: Identity,
    n_threads: int,
    device: torch.device,
    resume: ResumeState,
) -> None:
    """Record one D* file.

    On a CPU it depends on `spec` and the expert alone, however often the job was killed and
    resumed.

    Args:
        spec: How to play, and how much.
        expert_path: The expert's weights.
        replay_path: HDF5 to write, of the table `storage.REPLAY`.
        identity: Of the recording, see `identity.of_replay`; the expert must be the one it names.
        n_threads: Of the emulator.
        device: Where the expert runs.
        resume: Where to go on from and to save to; the heartbeat file is beside it.

    Raises:
        UserError: If the expert's file is bad or of another expert, or the game is unknown.
    """
    expert = load_expert(expert_path, device, of_expert(identity["expert"]))
    if resume.finished([Path(replay_path)]):
        return
    identity = made_from(identity, expert=expert.sha256)
    name = f"collect_replay {spec.game}-seed{spec.seed}"
    recording = Recording(expert.network, spec, n_threads=n_threads, device=device)
    with (
        hdf5.create(replay_path, kinds.REPLAY, identity) as writer,
        Progress(name, spec.transitions, "transitions", resume.directory) as progress,
    ):
        n_transitions = 0
        for episode in _episodes(recording, resume):
            rows = episode_rows(
                episode.frames,
                episode.action,
                episode.reward,
                episode.raw_reward,
                episode.expert_q,
                terminated=episode.terminated,
                start=n_transitions,
                gamma=spec.gamma,
            )
            for field_name, values in rows.items():
                writer.append(field_name, values)
            n_transitions += len(episode.action)
            progress.advance(len(episode.action))
            if n_transitions >= spec.transitions:
                break
    resume.finish([Path(replay_path)])


def _episodes(recording: Recording, resume: ResumeState) -> Iterator[Episode]:
    """Yield finished episodes without end, from the first one on also after a kill."""
    if (state := resume.load()) is not None:
        logger.info("playing the stored actions again to bring back emulators and frames")
        for finished in recording.play_again(state):
            yield from finished
    while True:
        yield from recording.step()
        if resume.due():
            resume.save(recording.state_dict())
