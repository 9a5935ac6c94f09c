"""What each objective of the package says of itself, in the card `OBJECTIVE` of its file.

Standard library and pydantic only: the Snakefile imports this at every dry run.
"""

from functools import cache
from typing import Literal

from td_interference.planning import cards


class ObjectiveCard(cards.Card):
    """One objective, whose name is that of its file.

    Attributes:
        label: What figures call it.
        colour: Of its lines, "#rrggbb".
        about: What it is.
        formula: Of its squared loss, with the number of its equation.
        departures: From the paper.
        learns: What the network's outputs are: V, one value of a state, or Q, one of each action.
        takes_lambda: Whether its targets weigh longer returns by λ, so that a run must have one.
        target_moves: Whether an update moves them at once, for no frozen network holds them.
    """

    label: str
    colour: str
    about: str = ""
    formula: str = ""
    departures: tuple[str, ...] = ()
    learns: Literal["Q", "V"] = "Q"
    takes_lambda: bool = False
    target_moves: bool = False


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
