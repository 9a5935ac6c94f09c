"""What each learner of the generalization experiments says of itself, in its file's `LEARNER`."""

from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from td_interference.datasets import Kind
from td_interference.errors import UserError
from td_interference.planning import cards
from td_interference.planning.settings import Rule, Setting, make_record, properties, require

if TYPE_CHECKING:
    from td_interference.planning.cells import CellSpec


class LearnerCard(cards.Card):
    """One learner, whose name is that of its file.

    The file of an agent has a class `Learner` derived from `MaskedImageAgent`, any other one of
    `tasks.Task`.
    """

    title: str  # of its panel where each learner has one
    family: str  # of its panel where learners of a family share one
    data: Kind  # that it learns from
    acts: bool = False  # an agent: its training is counted in agent steps, else in updates
    together: bool = False  # one job trains the runs of several n_T
    function: str  # what f is, whose interference is measured
    performance: str  # what it is in, and the gap with it
    higher_is_better: bool = True  # of performance
    decades: bool = False  # gaps of few samples are many times those of many
    learns_once: bool = False  # an agent learns from each of its steps once, not from minibatches
    # Of an agent, "n_environments" at least; of no other learner.
    settings: dict[str, Setting] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()  # for its cells' keys, "agent." before those of `settings`

    @model_validator(mode="after")
    def _check(self) -> "LearnerCard":
        if self.acts != ("n_environments" in self.settings) or (not self.acts and self.settings):
            raise ValueError("an agent has settings, 'n_environments' among them; others have none")
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
    return make_record(f"SettingsOf_{learner}", settings, key="generalization.agent")


def check_rules(cell: "CellSpec") -> None:
    """Check what its learner's card says of a cell.

    Raises:
        UserError: Names the key at fault; or the card, if that names what cells have not.
    """
    for rule in known()[cell.task].rules:
        try:
            said = rule.broken(cell)
        except AttributeError as error:
            raise UserError(
                f"generalization/{cell.task}.py: LEARNER, field 'rules': {error}"
            ) from None
        require(cell, "generalization", not said, rule.key, said)


def samples_learned(cell: "CellSpec") -> float:
    """Return how many samples the updates of a run go through; what a job takes follows from it."""
    if known()[cell.task].learns_once:
        return cell.duration
    return cell.duration * getattr(cell.agent, "updates_per_step", 1) * cell.minibatch


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
