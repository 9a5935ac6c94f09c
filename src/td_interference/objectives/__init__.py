"""Objectives: what a network is trained towards. One file each; `OBJECTIVES` names them.

To add one, write a module with a class `Objective` that has the methods of `BaseObjective`, and
put the module's name here. The registry imports nothing heavy, so the Snakefile can read it.
"""

import importlib

OBJECTIVES = ("td_lambda",)


def load(name: str) -> type:
    """Return the class `Objective` of `objectives/<name>.py`, imported on demand.

    Raises:
        KeyError: If the registry has no such name.
    """
    if name not in OBJECTIVES:
        raise KeyError(name)
    return importlib.import_module(f"{__name__}.{name}").Objective
