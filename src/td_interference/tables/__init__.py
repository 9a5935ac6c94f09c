"""Tables: what figures draw. `TABLES` names each with the measurements it reduces.

Columns have the same names in every table and figure: game, experiment, objective, lambda,
optimizer, variant (what else tells runs apart), update_step, offset, index, mean, low, high, n,
diverged, not_measured. n is the number of runs in the mean, diverged that of those left out of it,
not_measured that of those without a value at that place. The registry imports nothing heavy, so
the Snakefile can read it.
"""

import importlib
from collections.abc import Callable
from typing import NamedTuple


class Source(NamedTuple):
    """Measurements of one kind that a table reduces."""

    experiment: str  # whose runs: a key of the configuration's experiments, or see planning
    metric: str  # which measurement of each
    optimizers: tuple[str, ...] = ()  # only runs by these; () for all
    first_game: bool = False  # only runs of the game that the experiment lists first


class TableEntry(NamedTuple):
    """One table."""

    name: str
    sources: tuple[Source, ...]
    module: str  # of td_interference.tables; holds a function of the table's name


_SPREAD = ("adam", "rmsprop")  # the optimizers that the paper's figure 12 compares
_PARAMETERIZATIONS = tuple(
    Source("parameterizations", metric)
    for metric in ("sign_variance", "policy_score", "function_interference")
)
_RANDOM_NETWORKS = (Source("random_networks", "random_networks"),)
_GENERALIZATION = (Source("generalization", "generalization"),)

TABLES = (
    TableEntry("stiffness_by_lambda", (Source("td_lambda", "stiffness"),), "by_lambda"),
    TableEntry("stiffness_nearby_by_lambda", (Source("td_lambda", "stiffness"),), "by_lambda"),
    TableEntry("gain_by_lambda", (Source("td_lambda", "gain"),), "by_lambda"),
    TableEntry("singular_values_by_lambda", (Source("td_lambda", "singular_values"),), "by_lambda"),
    TableEntry("sign_variance_by_lambda", (Source("td_lambda", "sign_variance"),), "by_lambda"),
    TableEntry(
        "function_interference_by_lambda",
        (Source("td_lambda", "function_interference"),),
        "by_lambda",
    ),
    TableEntry("gain_by_objective", (Source("regression", "gain"),), "by_objective"),
    TableEntry("gain_nearby_by_objective", (Source("regression", "gain"),), "by_objective"),
    TableEntry(
        "gain_by_optimizer",
        (Source("policy_evaluation", "gain"), Source("control", "gain")),
        "by_optimizer",
    ),
    TableEntry(
        "gain_nearby_by_optimizer",
        (Source("policy_evaluation", "gain"), Source("control", "gain")),
        "by_optimizer",
    ),
    TableEntry(
        "singular_values_by_optimizer",
        (
            Source("policy_evaluation", "singular_values", _SPREAD, first_game=True),
            Source("control", "singular_values", _SPREAD, first_game=True),
        ),
        "by_optimizer",
    ),
    TableEntry(
        "gain_over_training",
        (Source("control", "gain_over_training", ("adam",), first_game=True),),
        "over_training",
    ),
    TableEntry(
        "second_order_by_objective", (Source("second_order", "second_order"),), "second_order"
    ),
    TableEntry("momentum_variance", (Source("momentum", "momentum"),), "second_order"),
    TableEntry("parameterizations", _PARAMETERIZATIONS, "parameterizations"),
    TableEntry("parameterization_correlations", _PARAMETERIZATIONS, "parameterizations"),
    TableEntry("random_networks_summary", _RANDOM_NETWORKS, "random_networks"),
    TableEntry("random_networks_histogram", _RANDOM_NETWORKS, "random_networks"),
    TableEntry("random_networks_step_sizes", _RANDOM_NETWORKS, "random_networks"),
    TableEntry("generalization_runs", _GENERALIZATION, "generalization"),
    TableEntry("generalization_by_size", _GENERALIZATION, "generalization"),
    TableEntry("generalization_lines", _GENERALIZATION, "generalization"),
    TableEntry("gap_by_size", _GENERALIZATION, "generalization"),
    TableEntry("gap_correlations", _GENERALIZATION, "generalization"),
    TableEntry("interference_by_capacity", _GENERALIZATION, "capacity"),
    TableEntry("capacity_correlations", _GENERALIZATION, "capacity"),
)


# What every experiment from D* has tables of, "<table>-<experiment>" for one of a user's own: by λ
# where all its runs have one, else by objective.
OF_ANY_EXPERIMENT = tuple(
    entry.name
    for entry in TABLES
    if {source.experiment for source in entry.sources} == {"td_lambda"}
)


def entry(name: str) -> TableEntry:
    """Return the entry called `name`.

    Args:
        name: Of the registry; or "<name>-<experiment>", the table of an experiment of a user's
            own in place of that which the registry names.

    Raises:
        KeyError: If the registry has no such name.
    """
    base, _, experiment = name.partition("-")
    found = {entry.name: entry for entry in TABLES}[base]
    if not experiment:
        return found
    sources = tuple(source._replace(experiment=experiment) for source in found.sources)
    return found._replace(name=name, sources=sources)


def of_experiment(experiment: str) -> list[TableEntry]:
    """Return the tables that an experiment of a user's own always has."""
    return [entry(f"{name}-{experiment}") for name in OF_ANY_EXPERIMENT]


def load(name: str) -> Callable:
    """Return the function that reduces measurements to the table, imported on demand.

    Raises:
        KeyError: If the registry has no such name.
    """
    module = importlib.import_module(f"{__name__}.{entry(name).module}")
    return getattr(module, name.partition("-")[0])
