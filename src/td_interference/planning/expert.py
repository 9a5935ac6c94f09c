"""Everything that decides how the Atari expert is trained and evaluated.

Standard library only: the Snakefile reads this module.
"""

import math
from dataclasses import dataclass

from td_interference.environments.screen import FRAMESKIP, STACK
from td_interference.errors import UserError


@dataclass(frozen=True)
class ExpertSettings:
    """One expert's hyperparameters.

    The defaults are data-efficient Rainbow (van Hasselt, Hessel & Aslanides 2019, appendix E,
    "DER"), the published kind of agent that the paper's authors took, trained as theirs was:
    100k agent steps, no sticky actions, life losses as terminals. Where DER is silent, Rainbow
    (Hessel et al. 2018, table 1) fills in.

    Attributes:
        game: Name in snake_case as in ale_py, e.g. "ms_pacman".
        seed: Index of the repetition; drives initial weights, noise, minibatches and emulators.
        architecture: "data_efficient" (DER) or "canonical" (Mnih et al. 2015).
        hidden: Units of the hidden layer of each of the two streams (DER 256, Rainbow 512).
        n_atoms: Atoms of the value distribution (Rainbow).
        v_min: Smallest atom, discounted clipped reward (Rainbow).
        v_max: Largest atom, discounted clipped reward (Rainbow).
        noisy_sigma: Initial noise scale sigma_0 of the noisy layers (DER 0.1, Rainbow 0.5).
        n_environments: Copies of the game that act together (DER 1).
        training_steps: Agent steps of all copies together (DER 100k).
        learning_starts: Agent steps by a uniformly random agent before the first update (DER).
        updates_per_step: Gradient updates per agent step; may be below 1 (DER 1).
        n_step: Agent steps of the multi-step return (DER 20, Rainbow 3).
        gamma: Discount per agent step.
        learning_rate: Adam's (DER 1e-4, Rainbow 6.25e-5).
        adam_epsilon: Adam's (Rainbow).
        minibatch: Transitions per update.
        gradient_clip_norm: Largest norm of the whole gradient (DER 10).
        target_period: Updates between two copies to the target network (DER 2000).
        replay_capacity: Agent steps that the replay memory holds (DER: all 100k).
        priority_exponent: omega, power of the priorities (Rainbow).
        priority_weight_start: beta of the importance weights at the first update; it grows
            linearly to 1 at the last agent step (Rainbow).
        training_repeat_action_probability: Stickiness of actions in training (DER 0).
        life_loss_terminal: Whether a lost life ends the bootstrap (and no more: the episode
            goes on) in training (DER).
        max_frames_per_episode: Emulator frames after which an episode is truncated, in training
            and evaluation.
        restart_period: Agent steps per copy after which all episodes are cut and the emulators
            start under fresh seeds, so that a resumed job need not play all again.
        evaluation_episodes: Episodes of the finished expert.
        evaluation_epsilon: Probability of a random action in them (Rainbow).
        evaluation_repeat_action_probability: Stickiness of actions in the evaluation of both
            the expert and the random agent (Machado et al. 2018).
        random_episodes: Episodes of the uniformly random agent that the expert is compared with.
        evaluation_environments: Copies of the game that play the episodes of an evaluation.
    """

    game: str
    seed: int = 0
    architecture: str = "data_efficient"
    hidden: int = 256
    n_atoms: int = 51
    v_min: float = -10.0
    v_max: float = 10.0
    noisy_sigma: float = 0.1
    n_environments: int = 1
    training_steps: int = 100_000
    learning_starts: int = 1600
    updates_per_step: float = 1.0
    n_step: int = 20
    gamma: float = 0.99
    learning_rate: float = 1e-4
    adam_epsilon: float = 1.5e-4
    minibatch: int = 32
    gradient_clip_norm: float = 10.0
    target_period: int = 2000
    replay_capacity: int = 100_000
    priority_exponent: float = 0.5
    priority_weight_start: float = 0.4
    training_repeat_action_probability: float = 0.0
    life_loss_terminal: bool = True
    max_frames_per_episode: int = 108_000
    restart_period: int = 10_000
    evaluation_episodes: int = 100
    evaluation_epsilon: float = 0.001
    evaluation_repeat_action_probability: float = 0.25
    random_episodes: int = 100
    evaluation_environments: int = 8

    def __post_init__(self) -> None:
        """Check what joins several fields.

        Raises:
            UserError: Names the keys at fault.
        """
        if self.v_min >= self.v_max:
            raise UserError(
                f"config keys 'expert.v_min' and 'expert.v_max': {self.v_min:g} must be below "
                f"{self.v_max:g}"
            )
        if self.updates < 1:
            raise UserError(
                f"config key 'expert.learning_starts': {self.learning_starts} leaves nothing to "
                f"learn in {self.training_steps} training_steps at {self.updates_per_step:g} "
                "updates_per_step; lower it, or raise 'expert.training_steps'"
            )
        # The first update draws from steps whose return of n_step is whole; two in a row may be
        # the beginnings of episodes, which are no transitions.
        stored = (self.n_step + 1) * self.n_environments
        if (stored - self.learning_starts) * self.updates_per_step >= 1:
            raise UserError(
                f"config key 'expert.learning_starts': {self.learning_starts} lets updates begin "
                f"with an empty memory; it must be at least {stored}, for a return of "
                f"{self.n_step} agent steps ('expert.n_step') in each of {self.n_environments} "
                "copies ('expert.n_environments')"
            )
        rows = self.n_step + STACK + 2
        if self.replay_capacity // self.n_environments < rows:
            raise UserError(
                f"config key 'expert.replay_capacity': {self.replay_capacity} must be at least "
                f"{rows * self.n_environments}, to draw returns of {self.n_step} agent steps "
                f"('expert.n_step') in each of {self.n_environments} copies "
                "('expert.n_environments')"
            )

    @property
    def updates(self) -> int:
        """Updates of the whole training; the copies end the step that they begin together."""
        rounds = math.ceil(self.training_steps / self.n_environments)
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
