"""Tables: what figures draw. Modules here describe theirs, and the folder is the registry.

To add some: a module with a card, `TABLES = {name: [sources]}` (see `Source`), and a function of
each name that reduces what was measured. Columns have the same names in every table and figure:
game, experiment, objective, lambda, optimizer, variant (what else tells runs apart), update_step,
offset, index, mean, low, high, n, diverged, not_measured. n is the number of runs in the mean,
diverged that of those left out of it, not_measured that of those without a value at that place.
The registry imports nothing heavy, so the Snakefile can read it.
"""

import importlib
from collections.abc import Callable
from typing import NamedTuple

from pydantic import Field, RootModel

from td_interference.planning.cards import PACKAGE, Card, names, read, refuse


class Source(Card):
    """Measurements of one kind that a table reduces."""

    experiment: str = Field(description="a key of the configuration's experiments, or see planning")
    metric: str = Field(description="which measurement of each of its runs")
    optimizers: tuple[str, ...] = ()  # only runs by these; () for all
    first_game: bool = False  # only runs of the game that the experiment lists first


class TableEntry(NamedTuple):
    """One table."""

    name: str
    sources: tuple[Source, ...]
    module: str  # of td_interference.tables; holds a function of the table's name


def _entries() -> tuple[TableEntry, ...]:
    found: dict[str, TableEntry] = {}
    for module, card in read("tables", "TABLES", RootModel[dict[str, tuple[Source, ...]]]).items():
        for name, sources in card.root.items():
            if name in found:
                refuse("tables", module, f"TABLES: {found[name].module}.py has {name!r} already")
            if name not in names(PACKAGE / "tables" / f"{module}.py"):
                refuse("tables", module, f"TABLES: {name!r} needs a function of that name")
            found[name] = TableEntry(name, sources, module)
    return tuple(found.values())


TABLES = _entries()

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
    sources = tuple(
        source.model_copy(update={"experiment": experiment}) for source in found.sources
    )
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
