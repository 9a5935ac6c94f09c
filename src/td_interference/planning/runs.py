"""What all runs that leave checkpoints have in common.

A file says which one it is of, and each is measured as if it had learned from a D*.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import PurePath

from td_interference.planning.control import ControlSettings
from td_interference.planning.grid import RunSpec
from td_interference.storage.identity import Identity


def run_of(identity: Identity, own_objectives: Sequence[str] = ()) -> RunSpec | ControlSettings:
    """Return the run that an identity of `identity.of_run` or `identity.of_control` describes.

    Args:
        identity: Of the run, or of what was measured of it.
        own_objectives: Files of the user's own objectives; an identity holds their content alone.

    Raises:
        KeyError, TypeError: If it describes none.
    """
    if "control" in identity:
        return ControlSettings.from_dict(identity["control"])
    run = RunSpec.from_dict(identity["run"])
    files = [file for file in own_objectives if PurePath(file).stem == run.objective]
    return dataclasses.replace(run, objective_file=files[0]) if files else run


def measured_as(run: RunSpec | ControlSettings) -> RunSpec:
    """Return what measuring a checkpoint of a run needs to know.

    Of control, it is as if Q-learning had learned from a window. The random streams are those of
    policy evaluation: what is drawn to be measured is drawn alike in both.
    """
    if isinstance(run, RunSpec):
        return run
    return RunSpec(
        game=run.game,
        objective="q_learning",
        lambda_=None,
        loss=run.loss,
        gamma=run.gamma,
        hidden=run.hidden,
        optimizer=run.optimizer,
        learning_rate=run.learning_rate,
        weight_decay=run.weight_decay,
        momentum=run.momentum,
        minibatch=run.minibatch,
        updates=run.updates,
        frozen_period=run.frozen_period,
        tau=1.0,  # there is no moving average
        checkpoints=run.checkpoints,
        seed=run.seed,
    )
