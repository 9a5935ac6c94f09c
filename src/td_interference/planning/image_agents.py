"""How the masked-image agents learn (paper, section 4 and appendix B.1).

Standard library only: the Snakefile imports this at every dry run. What agents share with
classifiers (widths, learning rate, minibatch, steps) is in `cells.CellSpec`.
"""

import dataclasses
from typing import Any

from td_interference.errors import UserError
from td_interference.planning.settings import check, properties, setting

_KEY = "generalization.agent"


@dataclasses.dataclass(frozen=True)
class DoubleDQNSettings:
    """A Double DQN agent; defaults are the paper's, or its authors' code ("code")."""

    gamma: float = setting(0.9, "discount per agent step", "code", minimum=0, maximum=1)
    replay_capacity: int = setting(100_000, "transitions that the replay holds", "code", minimum=1)
    learning_starts: int = setting(5000, "agent steps before the first update", "code", minimum=1)
    steps_per_update: int = setting(2, "agent steps for each update after those", "code", minimum=1)
    tau: float = setting(
        0.1,
        "share of the network in each update of its target network, a moving average",
        "code",
        minimum=0,
        maximum=1,
    )
    epsilon_start: float = setting(
        0.95, "probability of a random action of each head at first", "code", minimum=0, maximum=1
    )
    epsilon_end: float = setting(
        0.05, "the same from epsilon_decay_steps on", "code", minimum=0, maximum=1
    )
    epsilon_decay_steps: int = setting(
        100_000, "agent steps over which it falls linearly", "code", minimum=0
    )
    evaluation_epsilon: float = setting(
        0.0,
        "the same in evaluation episodes",
        "paper, section 2: greedy",
        minimum=0,
        maximum=1,
    )
    # With N of them, the agent acts at most N steps behind its newest parameters.
    n_environments: int = setting(1, "episodes played side by side", "code", minimum=1)

    def __post_init__(self) -> None:
        """Check each key, and what joins several.

        Raises:
            UserError: Names the key at fault.
        """
        check(self, _KEY)
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

    All episodes begun side by side are played to their ends before the next are begun; the policy
    does not change meanwhile.
    """

    entropy_weight: float = setting(1e-4, "of the entropy bonus, per nat", "code", minimum=0)
    n_environments: int = setting(1, "episodes played side by side", "code", minimum=1)

    def __post_init__(self) -> None:
        """Check each key.

        Raises:
            UserError: Names the key at fault.
        """
        check(self, _KEY)


AgentSettings = DoubleDQNSettings | ReinforceSettings

# By the name of the experiment; the others have no agent.
AGENT_SETTINGS: dict[str, type[DoubleDQNSettings] | type[ReinforceSettings]] = {
    "double_dqn": DoubleDQNSettings,
    "reinforce": ReinforceSettings,
}


def agent_properties() -> dict[str, dict[str, Any]]:
    """Return the schema of every agent's settings; those of one experiment alone say of which."""
    found: dict[str, dict[str, Any]] = {}
    kinds = {name: properties(record) for name, record in AGENT_SETTINGS.items()}
    for name, own in kinds.items():
        for key, rules in own.items():
            shared = all(key in other for other in kinds.values())
            only = "" if shared else f"{name}: "
            found[key] = {**rules, "description": only + rules["description"]}
    return found


def _require(holds: bool, settings: Any, name: str, otherwise: str) -> None:
    if not holds:
        value = getattr(settings, name)
        raise UserError(f"config key '{_KEY}.{name}': {value!r} {otherwise}")
