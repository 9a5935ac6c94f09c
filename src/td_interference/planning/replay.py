"""What decides a D*, the expert's recorded play, and how every game is played."""

import dataclasses

from td_interference.planning.settings import Record, same, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class Environment:
    """A game as everything in the project plays it."""

    gamma: float = setting(
        0.99, "discount per agent step, in [0, 1)", "code", minimum=0, exclusiveMaximum=1
    )
    repeat_action_probability: float = setting(
        0.25,
        "sticky actions, probability at each emulator frame, in [0, 1]",
        "paper",
        minimum=0,
        maximum=1,
    )
    max_frames_per_episode: int = setting(
        108_000,
        "emulator frames after which an episode is truncated",
        "Machado et al. (2018): 30 minutes",
        minimum=4,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReplaySpec(Record):
    """One D* file: everything that may change it but the expert."""

    game: str
    seed: int
    transitions: int = setting(
        500_000, "agent steps to record, then on to the end of the episode", "paper", minimum=1
    )
    epsilon: float = setting(
        0.05, "probability of a uniformly random action, in [0, 1]", "paper", minimum=0, maximum=1
    )
    gamma: float = same(Environment, "gamma", "environment")
    repeat_action_probability: float = same(Environment, "repeat_action_probability", "environment")
    max_frames_per_episode: int = same(Environment, "max_frames_per_episode", "environment")
    n_environments: int = setting(16, "copies of the game that play at once", "ours", minimum=1)

    @property
    def random_stream(self) -> str:
        """Name of the recording's random streams."""
        return f"replay-{self.game}-seed{self.seed}"
