"""Figures: one file each, and the folder is the registry.

To add one: a module here with a card, `FIGURE` (see `FigureCard`), `data(tables)`, which returns
the numbers of its CSV, and `plot(data, title)`, which draws these alone. The registry imports
nothing heavy, so the Snakefile can read it.
"""

import importlib
import re
from functools import cache
from types import ModuleType
from typing import Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from td_interference.planning.cards import Card, read, refuse
from td_interference.planning.means import Means

_OF_A_MEAN = (
    "interval of that mean over runs: Student's t, which from ten runs on a bootstrap widens where "
    "runs are skewed; one run has none"
)
# What captions share, by the word in braces that stands for it.
FRAGMENTS = {
    "of_a_mean": _OF_A_MEAN,
    "lines": f"Lines: mean over runs. Shaded: {_OF_A_MEAN}; it may run off the axes.",
    "of_r": "its interval is over cells, each with all its seeds (Fisher's z, jackknife), and "
    "there is none where there are too few of them",
    "generalization": "Networks of different capacity (width n_h, n_L extra layers), trained on "
    "the first n_T samples or images: classifiers, regressions, Double DQN and REINFORCE agents. "
    "ρ: mean function interference, the inner product of the gradients of f (the largest output, "
    "or the mean one of regressions and REINFORCE) at two different training samples. Gap: "
    "accuracy or reward in train minus test, or test minus train error.",
}
# What `render` fills into titles.
TITLE_WORDS = ("games", "scale", "runs", "cells", "confidence", "interval", "data", "left_out")


def _check_words(text: str, known: tuple[str, ...]) -> None:
    for word in re.findall(r"{(\w+)[:}]", text):
        if word not in known:
            raise ValueError(f"'{{{word}}}' stands for nothing; known: {', '.join(known)}")


class FigureCard(Card):
    """What a figure says of itself."""

    name: str = Field(
        description="of the files a user asks for: results/<name>.pdf", pattern="^[a-z][a-z0-9_]*$"
    )
    means: dict[str, Means] = Field(default_factory=dict)  # tables that it draws, described here
    tables: tuple[str, ...] = ()  # others that it draws, by their names in tables.TABLES
    caption: str = Field(description="what the report says below it; {lines} stands for a fragment")
    title: str = "{games} · {scale} scale · {runs} per line\nbands: {interval}"  # over the picture
    about: Literal["atari", "generalization"] = "atari"  # the target that makes it among others

    @model_validator(mode="after")
    def _check(self) -> "FigureCard":
        if not (self.means or self.tables):
            raise ValueError("draws no table: name some in 'tables', or describe some in 'means'")
        return self

    @field_validator("caption")
    @classmethod
    def _with_fragments(cls, caption: str) -> str:
        _check_words(caption, tuple(FRAGMENTS))
        return re.sub(r"{(\w+)}", lambda word: FRAGMENTS[word[1]], caption)

    @field_validator("title")
    @classmethod
    def _with_known_words(cls, title: str) -> str:
        _check_words(title, TITLE_WORDS)
        return title


class FigureEntry(NamedTuple):
    """One figure."""

    name: str
    module: str  # of td_interference.figures
    tables: tuple[str, ...]
    caption: str
    title: str
    about: str


@cache
def cards() -> dict[str, FigureCard]:
    """Return the card of every figure, by its module's name, sorted.

    Raises:
        UserError: If a card is wrong; names file and field.
    """
    return read("figures", "FIGURE", FigureCard, "plot")


def _entries() -> tuple[FigureEntry, ...]:
    found: dict[str, FigureEntry] = {}
    for module, card in cards().items():
        if card.name in found:
            other = found[card.name].module
            refuse("figures", module, f"FIGURE, field 'name': {other}.py has {card.name!r} already")
        drawn = (*card.means, *card.tables)
        found[card.name] = FigureEntry(
            card.name, module, drawn, card.caption, card.title, card.about
        )
    return tuple(found.values())


FIGURES = _entries()


def entry(name: str) -> FigureEntry:
    """Return the entry called `name`.

    Args:
        name: Of the registry; or "<name>-<experiment>", the figure of an experiment of a user's
            own in place of that which the registry's is of.

    Raises:
        KeyError: If the registry has no such name.
    """
    base, _, experiment = name.partition("-")
    found = {entry.name: entry for entry in FIGURES}[base]
    if not experiment:
        return found
    return found._replace(
        name=name,
        tables=tuple(f"{table}-{experiment}" for table in found.tables),
        caption=f"As {base}, of the experiment {experiment}: {found.caption}",
        title=found.title.replace("{scale} scale", f"{experiment} · {{scale}} scale"),
    )


def load(name: str) -> ModuleType:
    """Return the module of the figure called `name`, imported on demand.

    Raises:
        KeyError: If the registry has no such name.
    """
    return importlib.import_module(f"{__name__}.{entry(name).module}")
