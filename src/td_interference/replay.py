"""D* in memory: minibatches of stacked observations, and windows along the trajectory.

Each frame lies in memory once. Before every episode stand three black frames, so that the stack of
any step is four neighbouring frames: one contiguous copy, and never one from another episode.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from td_interference.environments.screen import FRAME_SIZE, STACK
from td_interference.errors import UserError, rebuild
from td_interference.returns import monte_carlo_return
from td_interference.storage import hdf5, kinds, raw_frames
from td_interference.storage.identity import Identity


class TransitionBatch(NamedTuple):
    """N transitions (S_t, A_t, R_t, S_{t+1})."""

    observation: Tensor  # uint8 [N, 4, 84, 84]
    action: Tensor  # int64 [N], index into the minimal action set
    reward: Tensor  # float32 [N], clipped by sign
    next_observation: Tensor  # uint8 [N, 4, 84, 84]
    terminated: Tensor  # bool [N], no bootstrap past this step
    truncated: Tensor  # bool [N], recording cut here; bootstrap as usual


class Window(NamedTuple):
    """Transitions at offsets -k .. k in the trajectory around each of N transitions."""

    index: Tensor  # type: ignore[assignment] # int64 [N, 2k + 1]; where not valid, the window's own centre
    valid: Tensor  # bool [N, 2k + 1]; False outside of the centre's episode


# Fills an array [n, 84, 84] with the frames of the file from a row on.
ReadFrames = Callable[[int, NDArray[np.uint8]], None]


class PaddedFrames:
    """All frames of D* with three black ones before each episode, as they are yet to be read.

    Args:
        episode_length: Agent steps of each episode, [episodes].
        read_frames: Reads frames of the file.
    """

    def __init__(self, episode_length: NDArray[np.int64], read_frames: ReadFrames):
        n_frames = episode_length + 1
        self._read_frames = read_frames
        in_file = n_frames.cumsum() - n_frames
        place = in_file + (STACK - 1) * np.arange(1, len(n_frames) + 1)
        self._episodes = np.stack([in_file, place, place + n_frames], axis=1)
        self.shape = (int(self._episodes[-1, 2]), FRAME_SIZE, FRAME_SIZE)

    def read_into(self, first: int, out: NDArray[np.uint8]) -> None:
        """Fill `out`, [n, 84, 84] and black, with the frames from number `first` on.

        Each is read into its place, so that frames are in memory once.
        """
        for in_file, begin, end in self._episodes.tolist():
            start, stop = max(begin, first), min(end, first + len(out))
            if start < stop:
                self._read_frames(in_file + start - begin, out[start - first : stop - first])

    def read(self) -> NDArray[np.uint8]:
        """Return all of them in memory, uint8 [frames, 84, 84]."""
        frames = np.zeros(self.shape, dtype=np.uint8)
        self.read_into(0, frames)
        return frames


class Replay:
    """D*: whole episodes of one game, in the order of play.

    Args:
        arrays: The data sets of `storage.REPLAY`; the frames may be left out if `padded` is given.
        device: Where the tensors live.
        padded: The frames with three black ones before each episode, uint8 [frames, 84, 84];
            made of `arrays`, if left out.
    """

    def __init__(
        self,
        arrays: hdf5.Arrays,
        device: torch.device | str = "cpu",
        padded: NDArray[np.uint8] | None = None,
    ):
        self.device = torch.device(device)
        self.episode_length: NDArray[np.int64] = arrays["episode_length"]
        n_episodes = len(self.episode_length)
        episode = np.repeat(np.arange(n_episodes), self.episode_length)
        # Transition i of episode e shows frame i + e of the file: each episode before it ended
        # with one frame more than it has transitions.
        padding = STACK - 1
        newest = np.arange(len(episode)) + episode + padding * (episode + 1)

        def copied(first: int, out: NDArray[np.uint8]) -> None:
            out[:] = arrays["frames"][first : first + len(out)]

        if padded is None:
            padded = PaddedFrames(self.episode_length, copied).read()
        frames = self._tensor(padded)
        self._shape = (STACK, FRAME_SIZE, FRAME_SIZE)
        self._stacks = frames.as_strided(
            (len(frames) - padding, STACK * frames[0].numel()), (frames[0].numel(), 1)
        )
        self._oldest = self._tensor(newest - padding)

        self.action = self._tensor(arrays["action"]).long()
        self.reward = self._tensor(arrays["reward"])
        self.terminated = self._tensor(arrays["terminated"])
        self.truncated = self._tensor(arrays["truncated"])
        self.monte_carlo_return = self._tensor(arrays["monte_carlo_return"])
        self.expert_q = self._tensor(arrays["expert_q"])
        self.episode = self._tensor(episode)

    def _tensor(self, array: NDArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    @classmethod
    def load(
        cls,
        path: Path | str,
        device: torch.device | str = "cpu",
        wanted: Identity | None = None,
        *,
        shared: bool = False,
    ) -> Self:
        """Read a D* file.

        Args:
            path: The file.
            device: Where the tensors live.
            wanted: What it must be of; None to take any.
            shared: Whether the frames may be held together with other processes of this machine,
                see `storage.raw_frames`; on a GPU they are copied to it in any case.

        Raises:
            UserError: If the file is not a good one, or of something else.
        """
        with hdf5.opened_sealed(path, kinds.REPLAY, wanted) as (file, sha256):
            arrays = {
                name: hdf5.numbers(path, file[name])
                for name in kinds.REPLAY.fields
                if name != "frames"
            }
            frames = file["frames"]
            if (fault := _fault(arrays, len(frames))) is not None:
                raise UserError(f"{path}: {fault}; {rebuild(path)}")
            yet = PaddedFrames(arrays["episode_length"], partial(hdf5.numbers_into, path, frames))
            padded = None
            if shared and torch.device(device).type == "cpu":
                padded = raw_frames.shared(sha256, yet.shape, yet.read_into)
            return cls(arrays, device, yet.read() if padded is None else padded)

    def __len__(self) -> int:
        """Number of transitions."""
        return len(self.action)

    @property
    def n_actions(self) -> int:
        """Size of the game's minimal action set."""
        return self.expert_q.shape[1]

    def observation(self, index: Tensor) -> Tensor:
        """Return S_t of each transition: [N] int64 to uint8 [N, 4, 84, 84]."""
        return self._stacks.index_select(0, self._oldest[index]).view(-1, *self._shape)

    def next_observation(self, index: Tensor) -> Tensor:
        """Return S_{t+1} of each transition, also past an episode's last step; as `observation`."""
        return self._stacks.index_select(0, self._oldest[index] + 1).view(-1, *self._shape)

    def transitions(self, index: Tensor) -> TransitionBatch:
        """Return the transitions at `index`, [N] int64."""
        return TransitionBatch(
            self.observation(index),
            self.action[index],
            self.reward[index],
            self.next_observation(index),
            self.terminated[index],
            self.truncated[index],
        )

    def draw(self, n: int, generator: np.random.Generator) -> Tensor:
        """Return `n` indices drawn uniformly over transitions, int64 [n].

        Args:
            n: How many, with replacement.
            generator: On the CPU, so that every machine draws the same.
        """
        return torch.from_numpy(generator.integers(0, len(self), n)).to(self.device)

    def window(self, index: Tensor, half_width: int) -> Window:
        """Return the transitions at offsets -half_width .. half_width around each of `index`.

        Args:
            index: Centres, int64 [N].
            half_width: k, in agent steps.
        """
        offset = torch.arange(-half_width, half_width + 1, device=self.device)
        around = index[:, None] + offset
        inside = (around >= 0) & (around < len(self))
        around = around.clamp(0, len(self) - 1)
        valid = inside & (self.episode[around] == self.episode[index][:, None])
        return Window(torch.where(valid, around, index[:, None]), valid)

    def segments(self, n_segments: int, anchors: int, generator: np.random.Generator) -> Tensor:
        """Return first anchors of stretches of consecutive steps for windowed measurements.

        A segment is `anchors` consecutive transitions of one episode. Starts are drawn uniformly,
        with replacement, among those with all anchors in one episode.

        Args:
            n_segments: How many to draw.
            anchors: Anchor states of each segment; episodes shorter than this are left out.
            generator: On the CPU.

        Returns:
            int64 [n_segments].

        Raises:
            UserError: If no episode is as long as a segment.
        """
        starts = torch.arange(max(0, len(self) - anchors + 1), device=self.device)
        fits = self.episode[starts] == self.episode[starts + anchors - 1]
        candidates = starts[fits]
        if not len(candidates):
            raise UserError(
                f"no episode has the {anchors} agent steps of a segment: the longest has "
                f"{self.episode_length.max(initial=0)}; lower 'anchors_per_segment' or "
                "'steps_per_segment' of the metric (config key 'metrics'), or record more play"
            )
        drawn = torch.from_numpy(generator.integers(0, len(candidates), n_segments))
        return candidates[drawn.to(self.device)]


def episode_rows(
    frames: Sequence[NDArray[np.uint8]],
    action: Sequence[int] | NDArray[np.uint8],
    reward: Sequence[float] | NDArray[np.float32],
    raw_reward: Sequence[float] | NDArray[np.float32],
    expert_q: Sequence[NDArray[np.float32]] | NDArray[np.float32],
    *,
    terminated: bool,
    start: int,
    gamma: float,
) -> hdf5.Arrays:
    """Return an episode of T steps, or one so far, as rows of `storage.REPLAY`.

    Args:
        frames: T + 1 of [84, 84].
        action: [T].
        reward: [T], clipped.
        raw_reward: [T].
        expert_q: T of [A].
        terminated: Whether the game was over after the last step, which else is marked truncated.
        start: Row of the first step.
        gamma: Discount per agent step, of the Monte-Carlo return of these rewards.
    """
    length = np.array([len(action)])
    last = np.arange(len(action)) == len(action) - 1
    clipped = np.asarray(reward, dtype=np.float32)
    raw = np.asarray(raw_reward, dtype=np.float32)
    return {
        "frames": np.asarray(frames),
        "action": np.asarray(action, dtype=np.uint8),
        "reward": clipped,
        "raw_reward": raw,
        "terminated": last & terminated,
        "truncated": last & (not terminated),
        "monte_carlo_return": monte_carlo_return(clipped, length, gamma=gamma),
        "expert_q": np.asarray(expert_q, dtype=np.float32),
        "episode_start": np.array([start]),
        "episode_length": length,
        "episode_score": raw.sum(dtype=np.float64, keepdims=True).astype(np.float32),
    }


def _fault(arrays: hdf5.Arrays, n_frames: int) -> str | None:
    """Say what contradicts what in the data sets of a D* file, if anything does."""
    length, start = arrays["episode_length"], arrays["episode_start"]
    n_transitions, n_actions = arrays["expert_q"].shape
    if not len(length) or length.min() < 1 or length.max() > n_transitions:
        return "its episodes are none, or not as long as they can be"
    if length.sum() != n_transitions or n_frames != n_transitions + len(length):
        return "its episodes, transitions and frames differ in number"
    if not np.array_equal(start, length.cumsum() - length):
        return "its episodes do not begin where the one before ends"
    if arrays["action"].max() >= n_actions:
        return f"it has an action beyond the {n_actions} of 'expert_q'"
    return None
