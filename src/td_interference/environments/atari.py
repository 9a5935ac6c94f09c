"""Several copies of one Atari game, stepped together, that can be brought back bit by bit.

A thin layer over ale_py's `AtariVectorEnv`, whose C++ does all preprocessing. It adds names for
what a step was, both rewards, errors a user can mend, and exact resume: the emulators cannot be
cloned, but where they stand follows from their seeds and the actions since, one byte each.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from ale_py import ALEInterface, LoggerMode
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from td_interference.environments.roms import rom_path
from td_interference.environments.screen import FRAME_SIZE, FRAMESKIP, STACK


@dataclass(frozen=True)
class AtariSettings:
    """What the game is; defaults after Machado et al. (2018), as in the paper.

    Attributes:
        game: Name in snake_case, e.g. "ms_pacman"; see `games`.
        repeat_action_probability: Probability, at each emulator frame, that the emulator repeats
            its last action instead of the new one ("sticky actions").
        max_frames_per_episode: Emulator frames after which an episode is truncated
            (108,000 are 30 minutes of play).
    """

    game: str
    repeat_action_probability: float = 0.25
    max_frames_per_episode: int = 108_000


class AtariStep(NamedTuple):
    """What one agent step did in each of N environments.

    Where `valid` is false, the step was no transition: its environment's episode had ended at
    the step before, the action was ignored, and `observation` is the first of a new episode
    (three frames of zeros, then the first frame). All other fields are zero or false there.
    """

    observation: NDArray[np.uint8]  # [N, 4, 84, 84], after the step; the newest frame is [:, -1]
    reward: NDArray[np.float32]  # [N], sign of the raw reward: -1, 0 or 1
    raw_reward: NDArray[np.int32]  # [N], change of the game's score
    terminated: NDArray[np.bool_]  # [N], the game is over
    truncated: NDArray[np.bool_]  # [N], the episode was cut here though the game is not over
    life_lost: NDArray[np.bool_]  # [N], fewer lives than before the step
    valid: NDArray[np.bool_]  # [N], the step was a transition


@functools.cache
def n_actions(game: str) -> int:
    """Return the size of a game's minimal action set.

    Raises:
        UserError: As `rom_path`, or the game needs several players.
    """
    path = rom_path(game)
    ALEInterface.setLoggerMode(LoggerMode.Error)
    emulator = ALEInterface()
    emulator.loadROM(path)
    return len(emulator.getMinimalActionSet())


class AtariEnvironments:
    """N copies of a game that take their steps together; see `AtariStep` for what a step says.

    The observation before the first step, and again after each invalid step, begins an episode.
    The stream of each copy depends on the arguments and the actions alone, not on `n_threads`.

    Every `restart_period` agent steps all episodes are cut (`truncated`), and all copies start
    anew under fresh seeds: this bounds how far back `play_again` has to play.

    Args:
        settings: The game.
        n_environments: N.
        seed: Seed of all copies together; any non-negative integer.
        n_threads: Threads of the emulator; they also work between `send` and `receive`.
        restart_period: Agent steps per copy between two restarts.
        kept_periods: How many past periods, besides the one under way, the state goes back;
            more than 0 only where the caller needs old frames (see `play_again`).

    Raises:
        UserError: As `n_actions`.
    """

    def __init__(
        self,
        settings: AtariSettings,
        n_environments: int,
        seed: int,
        n_threads: int = 1,
        restart_period: int = 10_000,
        kept_periods: int = 0,
    ):
        self.settings, self.n_environments = settings, n_environments
        self.n_actions = n_actions(settings.game)
        self.restart_period = restart_period
        self._seed, self._kept_periods = seed, kept_periods
        self._emulators = AtariVectorEnv(
            settings.game,
            n_environments,
            num_threads=min(n_threads, n_environments),
            max_num_frames_per_episode=settings.max_frames_per_episode,
            repeat_action_probability=settings.repeat_action_probability,
            full_action_space=False,
            autoreset_mode=AutoresetMode.NEXT_STEP,
            img_height=FRAME_SIZE,
            img_width=FRAME_SIZE,
            grayscale=True,
            stack_num=STACK,
            frameskip=FRAMESKIP,
            maxpool=True,
            noop_max=0,
            episodic_life=False,
            life_loss_info=False,
            reward_clipping=False,
            use_fire_reset=False,
        )
        self.observation: NDArray[np.uint8]  # [N, 4, 84, 84], after the newest step
        self._lives: NDArray[np.int32]
        self._ended: NDArray[np.bool_]  # [N], the next step is a reset
        self._period: int
        self._steps_in_period: int
        self._first_period = 0
        self._actions: list[NDArray[np.uint8]] = []
        self._in_flight = False
        self._restart(0)

    def step(self, actions: NDArray[np.integer]) -> AtariStep:
        """Take one agent step in each copy.

        Args:
            actions: [N], indices into the minimal action set.
        """
        self.send(actions)
        return self.receive()

    def send(self, actions: NDArray[np.integer]) -> None:
        """Begin a step; the emulators work in threads of their own until `receive`."""
        assert not self._in_flight, "receive() comes between two send()"
        actions = np.asarray(actions)
        # Beyond the set, C++ would read another game's memory.
        if (
            actions.shape != (self.n_environments,)
            or not ((actions >= 0) & (actions < self.n_actions)).all()
        ):
            raise ValueError(f"{actions=}: need {self.n_environments} of 0..{self.n_actions - 1}")
        self._actions.append(actions.astype(np.uint8))
        if self._steps_in_period < self.restart_period:
            self._emulators.send(actions.astype(np.int64))
        self._in_flight = True

    def receive(self) -> AtariStep:
        """End the step that `send` began, and say what it did."""
        assert self._in_flight, "send() comes before receive()"
        self._in_flight = False
        if self._steps_in_period == self.restart_period:
            self._restart(self._period + 1)
            self._forget_old_periods()
            nothing = np.zeros(self.n_environments, dtype=np.bool_)
            return AtariStep(
                observation=self.observation,
                reward=np.zeros(self.n_environments, dtype=np.float32),
                raw_reward=np.zeros(self.n_environments, dtype=np.int32),
                terminated=nothing,
                truncated=nothing,
                life_lost=nothing,
                valid=nothing,
            )
        self._steps_in_period += 1
        observation, raw_reward, terminated, truncated, info = self._emulators.recv()
        valid = ~self._ended
        if self._steps_in_period == self.restart_period:
            truncated = truncated | valid
        truncated = truncated & ~terminated
        step = AtariStep(
            observation=observation,
            reward=np.sign(raw_reward).astype(np.float32),
            raw_reward=raw_reward,
            terminated=terminated,
            truncated=truncated,
            life_lost=valid & (info["lives"] < self._lives),
            valid=valid,
        )
        self.observation, self._lives = observation, info["lives"]
        self._ended = terminated | truncated
        return step

    def state_dict(self) -> dict[str, Any]:
        """Return all that `play_again` needs: N bytes per step kept.

        `first_step` is how many steps, valid or not, each copy took before the first one kept.
        """
        assert not self._in_flight, "a step is under way"
        actions = np.array(self._actions, dtype=np.uint8).reshape(-1, self.n_environments)
        return {
            "first_period": self._first_period,
            "first_step": self._first_period * (self.restart_period + 1),
            "actions": torch.from_numpy(actions),
        }

    def play_again(
        self, state: dict[str, Any]
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8], AtariStep]]:
        """Bring the copies where they stood at `state_dict`, bit by bit, by playing again.

        Shows each step that the state goes back to. Must be exhausted before the next step.

        Args:
            state: From `state_dict`, of environments made with the same arguments.

        Yields:
            The observation before the step, the actions, and the step.
        """
        self._first_period, self._actions, self._in_flight = state["first_period"], [], False
        self._restart(self._first_period)
        for actions in state["actions"].numpy():
            before = self.observation
            yield before, actions, self.step(actions)

    def close(self) -> None:
        """End the emulator's threads."""
        self._emulators.close()

    def _restart(self, period: int) -> None:
        seeds = np.random.SeedSequence((self._seed, period)).generate_state(self.n_environments)
        # 31 bits: the emulator takes signed seeds of 32.
        self.observation, info = self._emulators.reset(seed=(seeds >> 1).astype(np.int64))
        self._period, self._steps_in_period = period, 0
        self._lives = info["lives"]
        self._ended = np.zeros(self.n_environments, dtype=np.bool_)

    def _forget_old_periods(self) -> None:
        # A period is restart_period transitions and the restart that ends it.
        while self._period - self._first_period > self._kept_periods:
            del self._actions[: self.restart_period + 1]
            self._first_period += 1
