"""Metrics: what is measured at a checkpoint. One file each, and the folder is the registry.

To add one: a module here with a card, `METRIC` (see `MetricCard`), and `measure(subject,
settings)`. Its block of the configuration, its kind of HDF5 file and the record that `measure` is
given are made from the card. The registry imports nothing heavy, so the Snakefile can read it.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from td_interference.planning.cards import Card, read, refuse
from td_interference.planning.grid import RunSpec
from td_interference.planning.messages import did_you_mean
from td_interference.planning.objectives import ObjectiveCard
from td_interference.planning.settings import Rule, Setting, make_record

_OF_RUNS = (
    *(f"run.{field.name}" for field in fields(RunSpec)),
    *(f"objective.{name}" for name in ObjectiveCard.model_fields),
)

Settings = Any  # what `measure` is given: a frozen record with the card's settings as attributes


class FieldCard(Card):
    """One array that `measure` returns.

    A dimension is an axis if a field of its own name has its coordinates. The first that is none is
    what was drawn within a run, the unit of means; what the others were drawn for is averaged.
    """

    dtype: str
    dimensions: tuple[str | int, ...] = Field(description="the name of each, or its fixed size")
    unit: str = Field(description="'1' for a number without one, '' for a truth value")
    description: str
    may_lack: bool = False  # NaN where there is nothing to measure; elsewhere NaN is an overflow
    of_pairs: bool = False  # each unit's is a mean over its pairs with all others


class MetricCard(Card):
    """What a metric says of itself."""

    title: str = Field(description="what its files hold")
    source: str = Field(description="where in the paper")
    about: str = Field(description="what its block of the configuration is of")
    formula: str = ""  # with the number of its equation
    departures: tuple[str, ...] = ()  # from the paper
    version: int = Field(description="of its files; higher wherever they change")
    checkpoints: Literal["all", "last"] = Field(description="of a run, that are measured")
    fields: dict[str, FieldCard] = Field(description="what 'measure' returns, by name")
    settings: dict[str, Setting] = Field(description="how much to look at, by name")
    environment: tuple[str, ...] = ()  # settings that it takes from that block
    rules: tuple[Rule, ...] = ()  # that join its settings
    measurable: tuple[Rule, ...] = ()  # of the runs it can measure: of `run` and its `objective`
    copies: int = 1  # of a network, or of what is as large, that it works with beside the run's own

    @model_validator(mode="after")
    def _check(self) -> "MetricCard":
        for rule in self.rules:
            for key in rule.keys:
                if key not in self.settings:
                    raise ValueError(f"'rules' name no setting: {key!r}")
        for rule in self.measurable:
            for key in rule.keys:
                if key not in _OF_RUNS:
                    known = did_you_mean(key, _OF_RUNS) or f"; known: {', '.join(_OF_RUNS)}"
                    raise ValueError(f"'measurable' names nothing of a run: {key!r}{known}")
        return self


class VariantCard(Card):
    """What a metric says of itself that is another one, under settings of its own."""

    variant_of: str
    about: str = Field(description="what its block of the configuration is of")
    checkpoints: Literal["all", "last"] = Field(description="of a run, that are measured")


class MetricEntry(NamedTuple):
    """One metric."""

    name: str  # of its settings and in paths
    module: str  # that measures it; so its kind of file in `storage.kinds.MEASUREMENTS` is called
    card: MetricCard


def _entries() -> tuple[MetricEntry, ...]:
    cards = read("metrics", "METRIC", MetricCard, "measure", VariantCard)
    found = []
    for name, card in cards.items():
        if isinstance(card, MetricCard):
            found.append(MetricEntry(name, name, card))
            continue
        whole = cards.get(card.variant_of)
        if not isinstance(whole, MetricCard):
            known = [other for other, kind in cards.items() if isinstance(kind, MetricCard)]
            said = did_you_mean(card.variant_of, known) or f"; known: {', '.join(known)}"
            refuse("metrics", name, f"METRIC, field 'variant_of': is no metric{said}")
        own = {"about": card.about, "checkpoints": card.checkpoints}
        found.append(MetricEntry(name, card.variant_of, whole.model_copy(update=own)))
    return tuple(found)


METRICS = _entries()


def entry(name: str) -> MetricEntry:
    """Return the entry called `name`.

    Raises:
        KeyError: If the registry has no such name.
    """
    return {entry.name: entry for entry in METRICS}[name]


def load(name: str) -> Callable[[Any, Mapping[str, Any]], Any]:
    """Return a function that measures a subject under settings, its module imported on demand.

    The module's own `measure` is given the settings as a frozen record; what is not set is as in
    the card.

    Raises:
        KeyError: If the registry has no such name.
    """
    found = entry(name)
    further = [(key, Any) for key in found.card.environment]
    record = make_record(
        f"{found.module}_settings",
        found.card.settings,
        ("checkpoints", str, found.card.checkpoints),
        *further,
    )
    module = importlib.import_module(f"{__name__}.{found.module}")
    return lambda subject, settings: module.measure(subject, record(**settings))


def defaults() -> dict[str, dict[str, Any]]:
    """Return the configuration's block `metrics` as the cards have it, which is as in the paper."""
    return {
        name: {
            "checkpoints": card.checkpoints,
            **{key: setting.default for key, setting in card.settings.items()},
        }
        for name, _, card in METRICS
    }


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration's block `metrics`."""
    blocks = {entry.name: _block(entry.card) for entry in METRICS}
    return _closed(
        "what is measured of a run, at which of its checkpoints (all, or the last), and on how "
        "much",
        blocks,
    )


def _block(card: MetricCard) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "checkpoints": {"description": "which of a run's checkpoints", "enum": ["all", "last"]}
    }
    properties |= {name: setting.in_schema() for name, setting in card.settings.items()}
    return _closed(card.about, properties)


def _closed(description: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "description": description,
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
    }
