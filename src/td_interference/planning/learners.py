"""What each learner of the generalization experiments says of itself, in its file's `LEARNER`.

Standard library and pydantic only: the Snakefile imports this at every dry run.
"""

import dataclasses
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from td_interference.datasets import Kind
from td_interference.errors import UserError
from td_interference.planning import cards
from td_interference.planning.settings import check, properties, setting

if TYPE_CHECKING:
    from td_interference.planning.cells import CellSpec


class Setting(cards.Card):
    """One key of the config block `agent`.

    Attributes:
        default: Where the configuration has none; a whole number where only such make sense.
        minimum: Least value; None for no bound.
        exclusive_minimum: What it must be above ("exclusiveMinimum"); None for no bound.
        maximum: Largest value; None for no bound.
        description: What it is, with its unit.
        source: Where the default comes from: the paper's section, or its authors' code ("code").
    """

    default: int | float
    minimum: int | float | None = None
    exclusive_minimum: int | float | None = Field(None, alias="exclusiveMinimum")
    maximum: int | float | None = None
    description: str
    source: str = ""


class Rule(cards.Card):
    """What must hold between keys of a cell.

    Attributes:
        key: At fault where it does not: of the cell, or "agent." and a setting.
        holds: A Python expression of `cell` (a `CellSpec`), `agent` (its settings), min and max.
        otherwise: What the message says of the key's value; `{cell.…}` and `{agent.…}` are values.
    """

    key: str
    holds: str
    otherwise: str


class LearnerCard(cards.Card):
    """One learner, whose name is that of its file.

    Attributes:
        title: Of its panel where each learner has one.
        family: Of its panel where learners of a family share one.
        data: What kind of data it learns from.
        acts: Whether it is an agent: its training is counted in agent steps then, else in
            updates. An agent's file
            has a class `Learner` derived from `MaskedImageAgent`, any other one of `tasks.Task`.
        together: Whether one job trains the runs of several n_T.
        function: What f is, whose interference is measured.
        performance: What it is in, and the gap with it.
        higher_is_better: Whether more performance is better.
        decades: Whether gaps of few samples are many times those of many.
        samples_learned: How many samples the updates of a run go through, an expression as in
            `Rule`; what a job takes follows from it.
        settings: Of an agent, "n_environments" at least; of no other learner.
        rules: For its cells.
    """

    title: str
    family: str
    data: Kind
    acts: bool = False
    together: bool = False
    function: str
    performance: str
    higher_is_better: bool = True
    decades: bool = False
    samples_learned: str = "cell.updates * cell.minibatch"
    settings: dict[str, Setting] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> "LearnerCard":
        if self.acts != ("n_environments" in self.settings) or (not self.acts and self.settings):
            raise ValueError("an agent has settings, 'n_environments' among them; others have none")
        for expression in (self.samples_learned, *(rule.holds for rule in self.rules)):
            try:
                compile(expression, "", "eval")
            except SyntaxError:
                raise ValueError(f"{expression!r} is no Python expression") from None
        return self

    @property
    def of_images(self) -> bool:
        """Whether its network takes images and is convolutional; else features, and an MLP."""
        return self.data == "images"


@cache
def known() -> dict[str, LearnerCard]:
    """Return the card of every learner, by name, sorted.

    Raises:
        UserError: If a card is wrong; names file and field.
    """
    return cards.read("generalization", "LEARNER", LearnerCard)


@cache
def settings_record(learner: str) -> type[Any]:
    """Return the frozen record of an agent's settings; NoneType for what is no agent.

    Its constructor takes the card's settings by name, and raises UserError for one out of bounds.
    """
    settings = known()[learner].settings
    if not settings:
        return type(None)
    fields = []
    for name, one in settings.items():
        rules = {"minimum", "exclusive_minimum", "maximum"}
        bounds = one.model_dump(include=rules, exclude_none=True, by_alias=True)
        field = setting(one.default, one.description, one.source, **bounds)
        fields.append((name, type(one.default), field))
    return dataclasses.make_dataclass(
        f"SettingsOf_{learner}",
        fields,
        frozen=True,
        namespace={"__post_init__": lambda record: check(record, "generalization.agent")},
    )


def evaluate(expression: str, cell: "CellSpec") -> Any:
    """Return the value of a card's expression for a cell; see `Rule`.

    Raises:
        UserError: If it names what there is not.
    """
    names = {"__builtins__": {}, "min": min, "max": max, "cell": cell, "agent": cell.agent}
    try:
        return eval(expression, names)
    except (AttributeError, NameError) as error:
        raise UserError(
            f"generalization/{cell.task}.py: LEARNER: {expression!r}: {error}"
        ) from None


def settings_schema() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each setting of any agent; one that not all have says of whom.

    Bounds on which agents differ are left to their records.
    """
    agents = {
        name: properties(settings_record(name)) for name, card in known().items() if card.acts
    }
    found: dict[str, dict[str, Any]] = {}
    for key in dict.fromkeys(key for own in agents.values() for key in own):
        owners = {name: own[key] for name, own in agents.items() if key in own}
        first = next(iter(owners.values()))
        agreed = {
            rule: value
            for rule, value in first.items()
            if all(other.get(rule) == value for other in owners.values())
        }
        only = "" if len(owners) == len(agents) else f"{', '.join(owners)}: "
        found[key] = {**agreed, "description": only + first["description"]}
    return found
