"""Everything that decides how the Atari expert is trained and evaluated."""

import math
from dataclasses import dataclass
from functools import partial

from td_interference.environments.screen import FRAMESKIP, STACK
from td_interference.planning.replay import Environment
from td_interference.planning.settings import Record, require, same, setting


@dataclass(frozen=True)
class ExpertSettings(Record):
    """One expert's hyperparameters.

    The defaults are data-efficient Rainbow (van Hasselt, Hessel & Aslanides 2019, appendix E,
    "DER"), the published kind of agent that the paper's authors took, trained as theirs was:
    100k agent steps, no sticky actions, life losses as terminals. Where DER is silent, Rainbow
    (Hessel et al. 2018, table 1) fills in.
    """

    game: str  # name in snake_case as in ale_py, e.g. "ms_pacman"
    seed: int = setting(
        0, "index of the repetition, from which all random numbers follow", minimum=0
    )
    architecture: str = setting(
        "data_efficient",
        "data_efficient (van Hasselt et al. 2019) or canonical (Mnih et al. 2015)",
        enum=["data_efficient", "canonical"],
    )
    hidden: int = setting(
        256, "units of the hidden layer of each dueling stream", "DER; Rainbow 512", minimum=1
    )
    n_atoms: int = setting(51, "atoms of the value distribution", "Rainbow", minimum=2)
    v_min: float = setting(-10.0, "smallest atom, in discounted clipped reward", "Rainbow")
    v_max: float = setting(10.0, "largest atom, in discounted clipped reward", "Rainbow")
    noisy_sigma: float = setting(
        0.1, "initial noise scale σ_0 of the noisy layers", "DER; Rainbow 0.5", minimum=0
    )
    n_environments: int = setting(1, "copies of the game that act together", "DER", minimum=1)
    agent_steps: int = setting(100_000, "agent steps of all copies together", "DER", minimum=1)
    learning_starts: int = setting(
        1600, "agent steps by a random agent before the first update", "DER", minimum=1
    )
    updates_per_step: float = setting(
        1.0, "updates per agent step; may be below 1", "DER", exclusiveMinimum=0
    )
    n_step: int = setting(20, "agent steps of the multi-step return", "DER; Rainbow 3", minimum=1)
    gamma: float = same(Environment, "gamma", "environment")
    learning_rate: float = setting(
        1e-4, "step size of Adam", "DER; Rainbow 6.25e-5", exclusiveMinimum=0
    )
    adam_epsilon: float = setting(1.5e-4, "of Adam", "Rainbow", exclusiveMinimum=0)
    minibatch: int = setting(32, "transitions per update", "DER", minimum=1)
    gradient_clip_norm: float = setting(
        10.0, "largest norm of the whole gradient", "DER", exclusiveMinimum=0
    )
    frozen_period: int = setting(
        2000, "updates between two copies to the frozen network", "DER", minimum=1
    )
    replay_capacity: int = setting(
        100_000, "agent steps that the replay memory holds", "DER: all of them", minimum=1
    )
    priority_exponent: float = setting(
        0.5, "power ω of the priorities", "Rainbow", minimum=0, maximum=1
    )
    priority_weight_start: float = setting(
        0.4,
        "β of the importance weights at the first update; it grows linearly to 1 at the last",
        "Rainbow",
        minimum=0,
        maximum=1,
    )
    training_repeat_action_probability: float = setting(
        0.0, "sticky actions in training, probability", "DER", minimum=0, maximum=1
    )
    life_loss_terminal: bool = setting(
        True, "whether a lost life ends the bootstrap in training, where the episode goes on", "DER"
    )
    max_frames_per_episode: int = same(Environment, "max_frames_per_episode", "environment")
    restart_period: int = setting(
        10_000,
        "agent steps per copy between two restarts of all emulators under fresh seeds, so that a "
        "resumed job need not play all again",
        "ours",
        minimum=1,
    )
    evaluation_episodes: int = setting(100, "episodes of the finished expert", "ours", minimum=2)
    evaluation_epsilon: float = setting(
        0.001, "probability of a random action in the evaluation", "Rainbow", minimum=0, maximum=1
    )
    # Of the expert and of the random agent (Machado et al. 2018).
    evaluation_repeat_action_probability: float = same(
        Environment, "repeat_action_probability", "environment"
    )
    random_episodes: int = setting(
        100, "episodes of the random agent that it is compared with", "ours", minimum=2
    )
    evaluation_environments: int = setting(
        8, "copies of the game that play an evaluation", "ours", minimum=1
    )

    def __post_init__(self) -> None:
        """Check what joins several fields.

        Raises:
            UserError: Names the keys at fault.
        """
        demand = partial(require, self, "expert")
        demand(self.v_min < self.v_max, "v_min", f"must be below {self.v_max:g}, 'expert.v_max'")
        demand(
            self.updates >= 1,
            "learning_starts",
            f"leaves nothing to learn in {self.agent_steps} agent_steps at "
            f"{self.updates_per_step:g} updates_per_step; lower it, or raise 'expert.agent_steps'",
        )
        each = (
            f"for returns of {self.n_step} agent steps ('expert.n_step') in each of "
            f"{self.n_environments} copies ('expert.n_environments')"
        )
        # The first update draws from steps whose return of n_step is whole; two in a row may be
        # the beginnings of episodes, which are no transitions.
        stored = (self.n_step + 1) * self.n_environments
        demand(
            (stored - self.learning_starts) * self.updates_per_step < 1,
            "learning_starts",
            f"lets updates begin with an empty memory; it must be at least {stored}, {each}",
        )
        rows = self.n_step + STACK + 2
        demand(
            self.replay_capacity // self.n_environments >= rows,
            "replay_capacity",
            f"must be at least {rows * self.n_environments}, {each}",
        )

    @property
    def updates(self) -> int:
        """Updates of the whole training; the copies end the step that they begin together."""
        rounds = math.ceil(self.agent_steps / self.n_environments)
        learned = rounds * self.n_environments - self.learning_starts
        return max(0, math.floor(learned * self.updates_per_step))

    @property
    def evaluation_steps(self) -> int:
        """Agent steps of the evaluation of both agents, if every episode goes to its limit."""
        episodes = self.evaluation_episodes + self.random_episodes
        return episodes * math.ceil(self.max_frames_per_episode / FRAMESKIP)

    @property
    def random_stream(self) -> str:
        """Name that this expert's generators are derived from; see `seeds`."""
        return f"expert-{self.game}-seed{self.seed}"
