"""Tables: what figures draw. Modules here and the figures describe theirs; there is no other list.

A plain mean is described alone, as `planning.means.Means` has it: under "means" in the card of the
figure that draws it, or in a card `MEANS = {name: {…}}` of a module here. Any other table is a
function in a module here, of the name that it has in the card `TABLES = {name: [sources]}`. Columns
have the same names in every table and figure: game, experiment, objective, lambda, optimizer,
variant (what else tells runs apart), update_step, offset, index, mean, low, high, n, diverged,
not_measured. n is the number of runs in the mean, diverged that of those left out of it,
not_measured that of those without a value at that place. The registry imports nothing heavy, so the
Snakefile can read it.
"""

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from pydantic import RootModel

from td_interference import figures, metrics
from td_interference.planning.cards import PACKAGE, names, read, refuse
from td_interference.planning.means import Means, Source
from td_interference.planning.messages import did_you_mean


class TableEntry(NamedTuple):
    """One table."""

    name: str
    sources: tuple[Source, ...]
    module: str  # of td_interference.tables; holds a function of the table's name, unless plain
    means: Means | None = None  # of a plain one


def _entries() -> tuple[TableEntry, ...]:
    found: dict[str, TableEntry] = {}
    places: dict[str, str] = {}
    for folder, module, card, table in _described():
        place = f"{card}{table.name}'"
        if table.name in found:
            refuse(folder, module, f"{place}: {places[table.name]}.py has a table of that name")
        if table.means is not None:
            if wrong := _wrong(table.means):
                refuse(folder, module, f"{place}: {wrong}")
        elif table.name not in names(PACKAGE / "tables" / f"{module}.py"):
            refuse(folder, module, f"{place}: needs a function of that name")
        found[table.name], places[table.name] = table, module
    return tuple(found.values())


def _described() -> Iterator[tuple[str, str, str, TableEntry]]:
    """Yield each table with the folder and module of its card and its place there, plain first."""
    for module, figure in figures.cards().items():
        for name, means in figure.means.items():
            yield "figures", module, "FIGURE, field 'means.", _plain(name, means)
    for module, own in read("tables", "MEANS", RootModel[dict[str, Means]]).items():
        for name, means in own.root.items():
            yield "tables", module, "MEANS, field '", _plain(name, means)
    for module, card in read("tables", "TABLES", RootModel[dict[str, tuple[Source, ...]]]).items():
        for name, sources in card.root.items():
            yield "tables", module, "TABLES, field '", TableEntry(name, sources, module)


def _plain(name: str, means: Means) -> TableEntry:
    return TableEntry(name, means.sources, "plain", means)


def _wrong(means: Means) -> str:
    """Return what a plain table names that no metric measures, or ""."""
    known = {entry.name: entry.card.fields for entry in metrics.METRICS}
    if means.metric not in known:
        return f"{means.metric!r} is no metric{_known(means.metric, known)}"
    for field in means.fields:
        if field not in known[means.metric]:
            hint = _known(field, known[means.metric])
            return f"{field!r} is no field of {means.metric}{hint}"
    return ""


def _known(name: str, known: Any) -> str:
    return did_you_mean(name, known) or f"; known: {', '.join(known)}"


TABLES = _entries()

# What every experiment from D* has tables of, "<table>-<experiment>" for one of a user's own: by λ
# where all its runs have one, else by objective.
OF_ANY_EXPERIMENT = tuple(
    entry.name for entry in TABLES if entry.means is not None and entry.means.by == ("lambda",)
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
    found = entry(name)
    module = importlib.import_module(f"{__name__}.{found.module}")
    if found.means is not None:
        return partial(module.table, found.means)
    return getattr(module, name.partition("-")[0])
