"""The pages of reference in docs/: what cards and records say of settings, metrics, and the rest.

`python -m td_interference.planning.reference docs` writes them.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from td_interference import datasets, figures, metrics, tables
from td_interference.planning import learners, objectives
from td_interference.planning.cells import CellSpec
from td_interference.planning.config import RECORDS
from td_interference.planning.settings import Setting, of_record, shown

_SETTINGS = """# Settings

What may stand in these blocks of the configuration, beside the lists that a grid is made of. The
defaults hold where neither a scale nor you set a key; keys without one must be set. They are from
*paper*, Bengio et al. (2020); *code*, its authors' code; *DER*, data-efficient Rainbow (van Hasselt
et al. 2019); *Rainbow*, Hessel et al. (2018); where none of them says, they are choices of *ours*.
What the keys of the other blocks mean and may be is in `workflow/schemas/config.schema.yaml`.
"""
_METRICS = """# Metrics

What is measured of a run's checkpoints, `results/<scale>/metrics/<metric>/<run>.h5`. Settings stand
in the block `metrics.<metric>` of the configuration; the defaults are the paper's, or ours where it
says nothing. Each array but coordinates begins with the dimension of checkpoints, whose coordinate
is `update_step`. More departures from the paper, with reasons, are in
[deviations.md](deviations.md).
"""
_OBJECTIVES = """# Objectives

What networks learn from D\\*. The loss is that of the formula where `training.loss` is squared;
where it is capped, it is linear in δ beyond |δ| = 1. More departures from the paper, with
reasons, are in [deviations.md](deviations.md).
"""
_FIGURES = """# Figures and their tables

A figure is `results/<name>.pdf`, its `.png`, and a `.csv` of the plotted numbers; a table is
`results/<scale>/tables/<table>.csv` and `.parquet`. In tables of means `game`, `experiment`,
`objective`, `lambda` and `optimizer` say what a line is of, `variant` what else tells runs apart;
`offset` (agent steps), `index` and `update_step` (updates) where on it; `mean` is over `n` runs and
has the interval `low` to `high`, in the unit of what is measured; `diverged` and `not_measured`
count the runs that are not in it.
"""
_LEARNERS = """# Learners of the generalization experiments

What `task` may be in `generalization.experiments.<name>`. ρ is the mean inner product of the
gradients of the function f; the generalization gap is that of the performance. Settings of agents
are in [settings.md](settings.md), departures from the paper in [deviations.md](deviations.md).
"""
_DATASETS = """# Data sets of the generalization experiments

What `dataset` may be in `generalization.experiments.<name>`, beside data of your own
([generalization.md](generalization.md)).
"""
_KEYS = "| key | default | what it is | may be | from |\n| --- | --- | --- | --- | --- |\n"
_ARRAYS = "| array | dimensions | type | unit | what it is |\n| --- | --- | --- | --- | --- |\n"
_WORDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}


def pages() -> dict[str, str]:
    """Return every page in Markdown, by its file's name."""
    return {
        "settings.md": _page(
            _SETTINGS, (_section(name, _settings(own)) for name, own in _blocks().items())
        ),
        "metrics.md": _page(_METRICS, map(_metric, metrics.METRICS)),
        "objectives.md": _page(_OBJECTIVES, map(_objective, objectives.known())),
        "figures.md": _page(_FIGURES, map(_figure, figures.FIGURES)),
        "learners.md": _page(_LEARNERS, map(_learner, learners.known())),
        "datasets.md": _page(_DATASETS, map(_dataset, datasets.known())),
    }


def _page(head: str, sections: Iterable[str]) -> str:
    return "\n".join([head, *sections])


def _section(name: str, *parts: str) -> str:
    return "\n\n".join([f"## `{name}`", *(part.rstrip() for part in parts if part)]) + "\n"


def _blocks() -> dict[str, Mapping[str, Setting]]:
    """Return the settings of each block of the configuration that a record or a card has."""
    cells = "generalization.experiments.<name>"
    blocks = {name: of_record(record) for name, record in {**RECORDS, cells: CellSpec}.items()}
    titles = {"training": "training` and `experiments.<name>"}
    agents = {
        f"{cells}.agent` of `{name}": card.settings
        for name, card in learners.known().items()
        if card.acts
    }
    return {titles.get(name, name): own for name, own in {**blocks, **agents}.items()}


def _settings(settings: Mapping[str, Setting]) -> str:
    rows = [
        f"| `{name}` | {shown(own.default)} | {own.described} | {_range(own.rules)} "
        f"| {own.source} |\n"
        for name, own in settings.items()
    ]
    return _KEYS + "".join(rows) if rows else ""


def _range(rules: Mapping[str, Any]) -> str:
    bounds = [f"{word} {rules[rule]}" for rule, word in _WORDS.items() if rule in rules]
    return ", ".join([*bounds, *map(str, rules.get("enum", ()))])


def _metric(entry: metrics.MetricEntry) -> str:
    card = entry.card
    made = [table.name for table in tables.TABLES if entry.name in _metrics(table)]
    at = f"Measured at {'all checkpoints' if card.checkpoints == 'all' else 'the last checkpoint'}"
    facts = f"{at}, version {card.version} of its files. Tables: {_listed(made)}."
    if entry.name != entry.module:
        return _section(entry.name, f"{_sentence(card.about)} {facts}")
    rows = [
        f"| `{name}` | {', '.join(map(str, field.dimensions))} | {field.dtype} | {field.unit} "
        f"| {field.description} |\n"
        for name, field in card.fields.items()
    ]
    return _section(
        entry.name,
        f"{card.title} ({card.source}). {facts}",
        *_formula(card),
        _settings(card.settings),
        _ARRAYS + "".join(rows),
    )


def _objective(name: str) -> str:
    card = objectives.known()[name]
    takes = ", for each λ of `lambdas`" if card.takes_lambda else ""
    facts = f"It learns {card.learns}{takes}; figures call it {card.label}."
    return _section(name, f"{_sentence(card.about)} {facts}", *_formula(card))


def _learner(name: str) -> str:
    card = learners.known()[name]
    better = "more" if card.higher_is_better else "less"
    return _section(
        name,
        f"{_sentence(card.title)} It learns from {card.data}"
        f"{', as an agent: training is counted in agent steps' if card.acts else ''}. "
        f"f: {card.function}. "
        f"Performance: {card.performance}, {better} is better.",
    )


def _dataset(name: str) -> str:
    card = datasets.known()[name]
    whole = f", {card.n_train:,} training samples" if card.n_train else ""
    there = "; comes with a library" if card.embedded else ""
    return _section(name, f"{card.title}: {card.kind}{whole}; split: {card.split}{there}.")


def _figure(entry: figures.FigureEntry) -> str:
    rows = [f"- {_table(tables.entry(name))}\n" for name in entry.tables]
    return _section(entry.name, entry.caption, "Tables:", "".join(rows))


def _table(table: tables.TableEntry) -> str:
    experiments = dict.fromkeys(source.experiment for source in table.sources)
    of = f"`{table.name}`: of {_listed(_metrics(table))}, experiments {_listed(experiments)}"
    if (means := table.means) is None:
        return of
    lines = (*(["game"] if means.games == "apart" else []), *means.by)
    return f"{of}; mean of {_listed(means.fields)} by {_listed(lines)}"


def _metrics(table: tables.TableEntry) -> list[str]:
    return list(dict.fromkeys(source.metric for source in table.sources))


def _formula(card: Any) -> Iterable[str]:
    """Yield the formula of a card, and how it departs from the paper."""
    if card.formula:
        yield f"`{card.formula}`"
    if card.departures:
        yield "Departures from the paper:"
        yield "".join(f"- {line}\n" for line in card.departures)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}{'' if words.endswith('.') else '.'}" if words else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    for file, text in pages().items():
        (Path(sys.argv[1]) / file).write_text(text)
