"""What tells runs of one line apart, where an experiment lists several values of anything else.

A figure has a line for each λ, say. If its experiment also lists two widths, a mean over both would
be of unlike runs: they are two variants, and each has its own rows in tables and panels in figures.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Key = dict[str, str | float]  # columns of a table

# Seeds and games are what means are over; checkpoints are what was kept of a run.
_ALIKE = {"seed", "game", "checkpoints", "objective_file"}


class Variants(NamedTuple):
    """The variants of a table's runs."""

    fields: tuple[str, ...]  # of the runs' descriptions, that differ within a line; often none
    order: Mapping[str, int]  # of the variants' names, by their fields' values

    def of(self, run: Any) -> str:
        """Return the name of a run's variant, such as "hidden 4"; "" where all runs are alike."""
        return _name(self.fields, run.to_dict())


def find_variants(key: Callable[[Any], Key], measured: Sequence[Any]) -> Variants:
    """Return the variants of measured runs.

    Args:
        key: What a line of the table is of.
        measured: Each with its `run`.
    """
    lines: dict[tuple, list[dict[str, Any]]] = {}
    for item in measured:
        lines.setdefault(tuple(key(item).items()), []).append(item.run.to_dict())
    differ: dict[str, None] = {}
    for runs in lines.values():
        for name, value in runs[0].items():
            if name not in _ALIKE and any(run[name] != value for run in runs):
                differ[name] = None
    fields = tuple(differ)
    values = {
        _name(fields, run): tuple(_sortable(run.get(name)) for name in fields)
        for runs in lines.values()
        for run in runs
    }
    return Variants(fields, {name: n for n, name in enumerate(sorted(values, key=values.get))})  # type: ignore[arg-type]


def _name(fields: Sequence[str], run: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name.strip('_').replace('_', ' ')} {run[name]}"
        for name in fields
        if run.get(name) is not None  # as λ of what takes none
    )


def _sortable(value: Any) -> tuple[str, Any]:
    """Return what puts numbers in order, and apart from text and from nothing."""
    number = isinstance(value, int | float)
    return ("number", value) if number else ("text", "" if value is None else str(value))
