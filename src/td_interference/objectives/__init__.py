"""Objectives: what a network is trained towards. One file each; `OBJECTIVES` names them.

To add one, write a module with a class `Objective` derived from `BaseObjective`, and put the
module's name here and into the schema's list. The registry imports nothing heavy, so the Snakefile
can read it.
"""

import importlib

OBJECTIVES = (
    "td_lambda",
    "monte_carlo",
    "expert_q",
    "td_star",
    "q_learning",
    "q_learning_ema",
    "q_learning_online",
)


def load(name: str) -> type:
    """Return the class `Objective` of `objectives/<name>.py`, imported on demand.

    Raises:
        KeyError: If the registry has no such name.
    """
    if name not in OBJECTIVES:
        raise KeyError(name)
    return importlib.import_module(f"{__name__}.{name}").Objective
