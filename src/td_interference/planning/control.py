"""Everything that decides how an agent learns to control an Atari game by Q-learning."""

import dataclasses
import math
from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from td_interference.environments.screen import FRAMESKIP, STACK
from td_interference.planning.digits import digits
from td_interference.planning.grid import AXES, RunSpec, product, q_learning_of
from td_interference.planning.layout import Result
from td_interference.planning.needs import Needs, control_needs
from td_interference.planning.replay import Environment
from td_interference.planning.settings import Record, check, require, same, setting
from td_interference.storage.identity import Identity, of_control

if TYPE_CHECKING:
    from td_interference.planning.lineage import Lineage


@dataclasses.dataclass(frozen=True)
class ControlSettings(Record):
    """One control run: everything that may change its result, and nothing else.

    The defaults are the paper's (appendix B.1 and B.2), or its authors' code ("code") where the
    paper is silent; those that neither gives are marked "ours".
    """

    kind: ClassVar[str] = "control"
    labels: ClassVar[Mapping[str, str]] = {}

    game: str  # name in snake_case as in ale_py, e.g. "ms_pacman"
    seed: int = 0  # index of the repetition; drives weights, exploration, minibatches, emulators
    hidden: int = 32  # n_h, channels of the first convolution; the other layers scale with it
    optimizer: str = "adam"  # name in optimizers.OPTIMIZERS
    learning_rate: float = 1e-4  # step size α (paper B.2; code 2.5e-4)
    weight_decay: float = same(RunSpec, "weight_decay", "training")
    momentum: float = same(RunSpec, "momentum", "training")
    loss: str = same(RunSpec, "loss", "training")
    gamma: float = same(Environment, "gamma", "environment")
    minibatch: int = same(RunSpec, "minibatch", "training")
    agent_steps: int = setting(
        10_000_000,
        "agent steps of all environments together from learning_starts on",
        "paper",
        minimum=1,
    )
    replay_capacity: int = setting(
        500_000, "agent steps that the replay memory holds", "paper; code 250k", minimum=1
    )
    learning_starts: int = setting(
        200_000, "agent steps by a random agent before the first update", "code", minimum=1
    )
    epsilon_start: float = setting(
        1.0,
        "probability of a random action at the first step from learning_starts on",
        "code",
        minimum=0,
        maximum=1,
    )
    epsilon_end: float = setting(
        0.05, "the same from epsilon_decay_steps on", "code", minimum=0, maximum=1
    )
    epsilon_decay_steps: int = setting(
        500_000,
        "agent steps from learning_starts on over which it falls linearly",
        "code",
        minimum=0,
    )
    updates_per_step: float = setting(
        1.0,
        "updates per agent step from learning_starts on; may be below 1",
        "code",
        exclusiveMinimum=0,
    )
    frozen_period: int = same(RunSpec, "frozen_period", "training")
    # With N of them, the agent acts at most N updates behind its newest parameters.
    n_environments: int = setting(1, "copies of the game that act together", "code", minimum=1)
    repeat_action_probability: float = same(Environment, "repeat_action_probability", "environment")
    max_frames_per_episode: int = same(Environment, "max_frames_per_episode", "environment")
    restart_period: int = setting(
        25_000,
        "agent steps per copy between two restarts of all emulators under fresh seeds, so that a "
        "resumed job need not play all again",
        "ours",
        minimum=1,
    )
    # Update steps (not agent steps) after which the state is kept (ours).
    checkpoints: tuple[int, ...] = tuple(range(500_000, 10_000_001, 500_000))
    window: int = setting(
        20_000,
        "transitions of recent play kept with each checkpoint, and more, back to the beginning of "
        "an episode in each environment",
        "ours",
        minimum=1,
    )
    evaluation_episodes: int = setting(
        10, "whole episodes played at each checkpoint", "ours", minimum=1
    )
    evaluation_epsilon: float = setting(
        0.0,
        "probability of a random action in them",
        "ours; greedy in the paper",
        minimum=0,
        maximum=1,
    )
    evaluation_environments: int = setting(
        8, "copies of the game that play them", "ours", minimum=1
    )

    def __post_init__(self) -> None:
        """Check each key, and what joins several.

        Raises:
            UserError: Names the key at fault.
        """
        check(self, "control")
        demand = partial(require, self, "control")
        # The first update draws from rows that are followed by another one.
        least, otherwise = 3 * self.n_environments, "leaves nothing to draw; it must be at least"
        each = f"{least}, 3 in each of {self.n_environments} 'n_environments'"
        demand(self.learning_starts >= least, "learning_starts", f"{otherwise} {each}")
        demand(
            self.epsilon_end <= self.epsilon_start,
            "epsilon_end",
            f"is above the {self.epsilon_start:g} of 'control.epsilon_start', from which it falls",
        )
        played = self.learning_starts + self.agent_steps
        demand(
            self.window <= played,
            "window",
            f"is more than the {played} agent steps of a whole run ({self.learning_starts} of "
            f"'control.learning_starts', {self.agent_steps} of 'control.agent_steps')",
        )
        demand(bool(self.checkpoints), "checkpoints", "names no update step")
        demand(
            list(self.checkpoints) == sorted(set(self.checkpoints)) and self.checkpoints[0] >= 1,
            "checkpoints",
            "must be update steps from 1 on, in ascending order",
        )
        demand(
            self.checkpoints[-1] <= self.updates,
            "checkpoints",
            f"goes beyond the {self.updates} updates of the run",
        )
        longest = self.longest_episode
        # Besides, some rows must be left to draw from, of which two in a row may be no transitions.
        needed = max(self.window_per_environment + longest + 1, STACK + 2) * self.n_environments
        demand(
            self.replay_capacity // self.n_environments > needed // self.n_environments,
            "replay_capacity",
            f"must be at least {needed + self.n_environments}: in each of {self.n_environments} "
            "environments it has to hold the window and the episode that it begins in, up to "
            f"{longest} agent steps ('restart_period')",
        )

    @property
    def longest_episode(self) -> int:
        """Agent steps after which an episode of training ends at the latest."""
        return min(self.restart_period, math.ceil(self.max_frames_per_episode / FRAMESKIP))

    @property
    def updates(self) -> int:
        """Updates of the whole run."""
        return math.floor(self.agent_steps * self.updates_per_step)

    @property
    def window_per_environment(self) -> int:
        """Transitions of each environment in a window, at least."""
        return math.ceil(self.window / self.n_environments)

    @property
    def run_id(self) -> str:
        """Name of the run in paths: fields joined by '-'; looked up, never parsed."""
        return (
            f"{self.game}-control-{self.optimizer}"
            f"-lr{digits(self.learning_rate)}-h{self.hidden}-seed{self.seed}"
        )

    @property
    def random_stream(self) -> str:
        """Name that this run's generators are derived from; see `seeds`.

        Runs of one game, width and seed share their initial weights and the beginning of their
        play, so that what differs between two optimizers is the optimizer.
        """
        return f"control-{self.game}-h{self.hidden}-seed{self.seed}"

    @cached_property
    def measured_as(self) -> RunSpec:
        """What measuring its checkpoints needs to know."""
        return q_learning_of(self.to_dict(), self.updates)

    @property
    def play(self) -> str:
        """Where the transitions lie that it is measured on: the windows of its own play."""
        return Result.WINDOWS.format(run_id=self.run_id)

    def transitions(self, _: Mapping[str, Any]) -> int:
        """Return how many transitions one of them is, about."""
        return self.window + self.n_environments * self.longest_episode

    def identity(self, _: "Lineage") -> Identity:
        """Return the identity of its checkpoints."""
        return of_control(self)

    def products(self, _: Mapping[str, Any]) -> list[str]:
        """Return what a measurement of it comes from."""
        return [Result.CHECKPOINTS.format(run_id=self.run_id), self.play]

    def needs(self, config: Mapping[str, Any]) -> Needs:
        """Return what training it asks of a cluster."""
        return control_needs(self, config["device"])

    def epsilon(self, agent_step: int) -> float:
        """Return the probability of a random action after `agent_step` agent steps.

        It is 1 until learning starts, then falls linearly from `epsilon_start`.
        """
        learned = agent_step - self.learning_starts
        if learned < 0:
            return 1.0
        if learned >= self.epsilon_decay_steps:
            return self.epsilon_end
        done = learned / self.epsilon_decay_steps
        return self.epsilon_start + (self.epsilon_end - self.epsilon_start) * done

    def updates_by(self, agent_step: int) -> int:
        """Return how many updates a run has done that took `agent_step` agent steps."""
        learned = min(max(0, agent_step - self.learning_starts), self.agent_steps)
        return math.floor(learned * self.updates_per_step)


def control_grid(config: Mapping[str, Any]) -> dict[str, ControlSettings]:
    """Return the runs of `config["control"]` by their ids: the product of its axes, in its order.

    Raises:
        UserError: If a combination of keys makes no sense.
    """
    shared = {
        field.name: config[field.metadata["block"]][field.name]
        for field in dataclasses.fields(ControlSettings)
        if "block" in field.metadata
    }
    runs = map(ControlSettings.from_dict, product(shared | config["control"], AXES))
    return {run.run_id: run for run in runs}


def window_name(update_step: int) -> str:
    """Return the name of the file with the play before the checkpoint of `update_step`."""
    return Result.WINDOW.rpartition("/")[2].format(update_step=update_step)


class ControlOutputs(NamedTuple):
    """Where the results of one run go."""

    checkpoints: Path  # .h5
    windows: Path  # directory; one `window_name(update_step)` in it for each checkpoint
    learning_curve: Path  # .csv, a row per episode of training
    evaluation: Path  # .csv, a row per evaluation episode of each checkpoint
