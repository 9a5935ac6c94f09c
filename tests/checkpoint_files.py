"""What checkpoints there are in a file."""

from td_interference.storage.checkpoints import open_checkpoints


def checkpoint_steps(path):
    """The update steps at which a file has checkpoints."""
    with open_checkpoints(path) as checkpoints:
        return checkpoints.steps
