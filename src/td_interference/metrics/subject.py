"""What a metric looks at: one run's networks and optimizer as one checkpoint left them."""

from typing import NamedTuple

import numpy as np
import torch

from td_interference.objectives.base import BaseObjective
from td_interference.planning.grid import RunSpec
from td_interference.replay import Replay
from td_interference.seeds import numpy_generator
from td_interference.storage.checkpoints import Checkpoint
from td_interference.updates import restore_optimizer, run_optimizer


class Subject(NamedTuple):
    """One checkpoint of one run, ready to be measured; metrics leave it as they found it."""

    run: RunSpec
    objective: BaseObjective  # its networks hold the checkpoint's parameters
    checkpoint: Checkpoint

    @property
    def replay(self) -> Replay:
        """D* of the run."""
        return self.objective.replay

    def generator(self, metric: str) -> np.random.Generator:
        """Return the metric's generator: the same at every checkpoint and for every objective.

        So all of them are measured on the same samples, and what differs is what was learned.
        """
        return numpy_generator(self.run.random_stream, metric)

    def optimizer(self) -> torch.optim.Optimizer:
        """Return an optimizer over the network, in the checkpoint's state."""
        optimizer = run_optimizer(self.run, self.objective.network)
        restore_optimizer(optimizer, self.checkpoint.optimizer)
        return optimizer

    def restore_network(self) -> None:
        """Put the network back to the checkpoint's parameters, after steps taken on trial."""
        self.objective.network.load_state_dict(self.checkpoint.parameters)
