"""Objectives: what a network is trained towards. One file each; the folder is the registry.

To add one to the package, write a module with a card `OBJECTIVE` (see `planning.objectives`) and a
class `Objective` derived from `BaseObjective`. The configuration's `own_objectives` names the file
of one outside of the package. This module imports nothing heavy, so the Snakefile can read it.
"""

import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from td_interference.errors import UserError
from td_interference.objectives import own
from td_interference.planning.grid import RunSpec
from td_interference.planning.objectives import known as known
from td_interference.storage.files import sha256
from td_interference.storage.identity import Identity

if TYPE_CHECKING:
    from td_interference.objectives.base import BaseObjective
    from td_interference.replay import Replay


def load(name: str, file: str | None = None) -> type:
    """Return the class `Objective` of `objectives/<name>.py`, or of `file`, imported on demand.

    Args:
        name: In the registry, or of the user's own objective.
        file: Python file of the user's own objective; its code is run.

    Raises:
        KeyError: If the registry has no such name.
        UserError: If the file cannot be imported or its class is no objective.
    """
    if file is not None:
        return own.load_class(name, file)
    if name not in known():
        raise KeyError(name)
    return importlib.import_module(f"{__name__}.{name}").Objective


def check_unchanged(file: str | None, identity: Identity) -> None:
    """See that an objective's file is still the one of which a run's identity was taken.

    Args:
        file: Of the user's own objective; None for one of the package, which its name identifies.
        identity: Of the run, see `identity.of_run`.

    Raises:
        UserError: If it cannot be read, or was edited since.
    """
    if file is None:
        return
    try:
        same = sha256(file) == identity.get("objective_sha256")
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    if not same:
        raise UserError(
            f"{file}: was edited since this was planned; run the same command again, which plans "
            "with the file as it is then"
        )


def check_own(file: str) -> None:
    """Check, without running it, what names an objective of the user's own.

    Raises:
        UserError: If it is no Python file, or its name is no name for an objective.
    """
    path, key = Path(file), "config key 'own_objectives'"
    if not re.fullmatch(r"[a-z][a-z0-9_]*\.py", path.name):
        raise UserError(
            f"{key}: {file!r} should be a Python file named in small letters, digits and '_', "
            "which then is the objective's name"
        )
    if path.stem in known():
        raise UserError(f"{key}: {path.stem!r} is an objective already; give the file another name")
    if not path.is_file():
        raise UserError(f"{key}: {file}: no such file (paths start where snakemake is called)")
    try:
        own.check_source(file, path.read_bytes())
    except OSError as error:
        raise UserError(f"{key}: {file}: cannot be read ({error.strerror})") from None
    except UserError as error:
        raise UserError(f"{key}: {error}") from None


def make(run: RunSpec, replay: "Replay") -> "BaseObjective":
    """Return the objective of a run on its D*.

    Args:
        run: The run.
        replay: Its D*.

    Raises:
        KeyError: If the registry has no such name.
        UserError: If the user's own objective has a mistake; names file, line and function.
    """
    objective = load(run.objective, run.objective_file)
    if run.objective_file is not None:
        return own.make(objective, run.objective_file, run, replay)
    return objective(run, replay)
