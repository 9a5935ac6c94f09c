"""Tables: what figures draw. `TABLES` names each with the runs and the measurement it reduces.

Columns have the same names in every table and figure: game, lambda, objective, offset, index, mean,
low, high, n; n is the number of runs. The registry imports nothing heavy, so the Snakefile can read
it.
"""

import importlib
from collections.abc import Callable
from typing import NamedTuple


class TableEntry(NamedTuple):
    """One table."""

    name: str
    experiment: str  # key of the configuration's experiments: whose runs
    metric: str  # which measurement of each
    module: str  # of td_interference.tables; holds a function of the table's name


TABLES = (
    TableEntry("stiffness_by_lambda", "td_lambda", "stiffness", "by_lambda"),
    TableEntry("stiffness_nearby_by_lambda", "td_lambda", "stiffness", "by_lambda"),
    TableEntry("gain_by_lambda", "td_lambda", "gain", "by_lambda"),
    TableEntry("singular_values_by_lambda", "td_lambda", "singular_values", "by_lambda"),
    TableEntry("sign_variance_by_lambda", "td_lambda", "sign_variance", "by_lambda"),
    TableEntry(
        "function_interference_by_lambda", "td_lambda", "function_interference", "by_lambda"
    ),
    TableEntry("gain_by_objective", "regression", "gain", "by_objective"),
)


def entry(name: str) -> TableEntry:
    """Return the entry called `name`.

    Raises:
        KeyError: If the registry has no such name.
    """
    return {entry.name: entry for entry in TABLES}[name]


def load(name: str) -> Callable:
    """Return the function that reduces measurements to the table, imported on demand.

    Raises:
        KeyError: If the registry has no such name.
    """
    return getattr(importlib.import_module(f"{__name__}.{entry(name).module}"), name)
