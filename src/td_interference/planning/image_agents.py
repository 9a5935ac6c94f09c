"""How the masked-image agents learn (paper, section 4 and appendix B.1).

Standard library only: the Snakefile imports this at every dry run. What agents share with
classifiers (widths, learning rate, minibatch, steps) is in `records.CellSpec`.
"""

import dataclasses
from typing import Any

from td_interference.errors import UserError


@dataclasses.dataclass(frozen=True)
class DoubleDQNSettings:
    """A Double DQN agent; defaults are the paper's where it says, else its authors' code ("code").

    Attributes:
        gamma: Discount per agent step (code).
        replay_capacity: Transitions that the replay holds (code).
        learning_starts: Agent steps before the first update (code).
        steps_per_update: Agent steps for each update after that (code).
        tau: Share of the online network in each update of the target network, an exponential
            moving average (code).
        epsilon_start: Probability of a random action of each head at the first step (code).
        epsilon_end: The same from `epsilon_decay_steps` on (code).
        epsilon_decay_steps: Agent steps over which it falls linearly (code).
        evaluation_epsilon: Probability of a random action of each head in evaluation episodes
            (paper, section 2: greedy).
        n_environments: Episodes played side by side; with N of them, the agent acts at most N steps
            behind its newest parameters (code 1).
    """

    gamma: float = 0.9
    replay_capacity: int = 100_000
    learning_starts: int = 5000
    steps_per_update: int = 2
    tau: float = 0.1
    epsilon_start: float = 0.95
    epsilon_end: float = 0.05
    epsilon_decay_steps: int = 100_000
    evaluation_epsilon: float = 0.0
    n_environments: int = 1

    def __post_init__(self) -> None:
        """Check each key.

        Raises:
            UserError: Names the key at fault.
        """
        least = ("replay_capacity", "learning_starts", "steps_per_update", "n_environments")
        for name in least:
            _require(getattr(self, name) >= 1, self, name, "must be at least 1")
        for name in ("gamma", "tau", "epsilon_start", "epsilon_end", "evaluation_epsilon"):
            inside = 0 <= getattr(self, name) <= 1
            _require(inside, self, name, "is outside [0, 1]")
        known = self.epsilon_decay_steps >= 0
        _require(known, self, "epsilon_decay_steps", "must not be negative")
        fits = self.n_environments <= min(self.replay_capacity, self.learning_starts)
        _require(
            fits,
            self,
            "n_environments",
            "exceeds 'agent.replay_capacity' or 'agent.learning_starts'",
        )
        falls = self.epsilon_end <= self.epsilon_start
        start = f"is above the {self.epsilon_start:g} of 'agent.epsilon_start', from which it falls"
        _require(falls, self, "epsilon_end", start)

    def epsilon(self, agent_step: int) -> float:
        """Return the probability of a random action after `agent_step` agent steps."""
        if agent_step >= self.epsilon_decay_steps:
            return self.epsilon_end
        done = agent_step / self.epsilon_decay_steps
        return self.epsilon_start + (self.epsilon_end - self.epsilon_start) * done

    def updates_by(self, agent_step: int) -> int:
        """Return how many updates a run has done that took `agent_step` agent steps."""
        return max(0, agent_step - self.learning_starts) // self.steps_per_update


@dataclasses.dataclass(frozen=True)
class ReinforceSettings:
    """A REINFORCE agent.

    Its update is on all episodes since the last one, as soon as these have the cell's `minibatch`
    of agent steps.

    Attributes:
        entropy_weight: Of the entropy bonus of the two heads' policies, per nat (code).
        n_environments: Episodes begun side by side and all played to their ends before the next
            are begun; the policy does not change meanwhile (code 1).
    """

    entropy_weight: float = 1e-4
    n_environments: int = 1

    def __post_init__(self) -> None:
        """Check each key.

        Raises:
            UserError: Names the key at fault.
        """
        positive = 0 <= self.entropy_weight < float("inf")
        _require(positive, self, "entropy_weight", "must be a number from 0 on")
        some = self.n_environments >= 1
        _require(some, self, "n_environments", "must be at least 1")


AgentSettings = DoubleDQNSettings | ReinforceSettings

# By the name of the experiment; the others have no agent.
AGENT_SETTINGS: dict[str, type[DoubleDQNSettings] | type[ReinforceSettings]] = {
    "double_dqn": DoubleDQNSettings,
    "reinforce": ReinforceSettings,
}


def _require(holds: bool, settings: Any, name: str, otherwise: str) -> None:
    if not holds:
        value = getattr(settings, name)
        raise UserError(f"config key 'generalization.agent.{name}': {value!r} {otherwise}")
