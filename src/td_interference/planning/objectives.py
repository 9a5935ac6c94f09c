"""What each objective of the package says of itself, in the card `OBJECTIVE` of its file."""

from functools import cache
from typing import Literal

from td_interference.planning import cards


class ObjectiveCard(cards.Card):
    """One objective, whose name is that of its file."""

    label: str  # what figures call it
    colour: str  # of its lines, "#rrggbb"
    about: str = ""  # what it is
    formula: str = ""  # of its squared loss, with the number of its equation
    departures: tuple[str, ...] = ()  # from the paper
    learns: Literal["Q", "V"] = "Q"  # the outputs: a value of each action, or one of a state
    takes_lambda: bool = False  # its targets weigh longer returns by λ: a run must have one
    target_moves: bool = False  # an update moves them at once, for no frozen network holds them


@cache
def known() -> dict[str, ObjectiveCard]:
    """Return the card of every objective of the package, by name, sorted.

    Raises:
        UserError: If a card is wrong; names file and field.
    """
    return cards.read("objectives", "OBJECTIVE", ObjectiveCard)


def takes_lambda(objective: str) -> bool:
    """Return whether runs of an objective have a λ; none of a user's own has."""
    return objective in known() and known()[objective].takes_lambda
