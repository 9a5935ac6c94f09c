"""What made-up files are of: one D* by one expert, and runs from it."""

from td_interference.planning.grid import RunSpec
from td_interference.storage import identity
from td_interference.storage.identity import Identity

EXPERT = {"game": "ms_pacman", "seed": 0, "hidden": 8}
REPLAY = {"game": "ms_pacman", "seed": 0, "epsilon": 0.05}


def of_replay(**over: object) -> Identity:
    """The made-up D*, with some fields set differently."""
    return identity.of_replay({**REPLAY, **over}, EXPERT)


def of_run(run: RunSpec) -> Identity:
    """A run from the made-up D*, whatever its own seed."""
    return identity.of_run(run, REPLAY, EXPERT)
