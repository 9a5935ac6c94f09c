"""The runs that leave checkpoints, and which of them an identity is of."""

import dataclasses
from collections.abc import Sequence
from pathlib import PurePath

from td_interference.planning.control import ControlSettings
from td_interference.planning.grid import RunSpec
from td_interference.storage.identity import Identity

Trained = RunSpec | ControlSettings


def run_of(identity: Identity, own_objectives: Sequence[str] = ()) -> Trained:
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
