"""Cards: what a metric, figure, data set, learner or objective says of itself.

A card is one literal at the top level of the file that it is of, `METRIC = {…}` in
`metrics/gain.py`, say. It is read without importing the file, so that planning needs neither torch
nor h5py, and the folder is the registry: whatever file has the card is an entry. Standard library
and pydantic only: the Snakefile imports this.
"""

import ast
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from td_interference.errors import UserError

PACKAGE = Path(__file__).parents[1]

Model = TypeVar("Model", bound=BaseModel)


def literal(path: Path, word: str) -> Any:
    """Return the literal that a module assigns to `word` at its top level; None without one.

    Args:
        path: Of the module.
        word: Such as "METRIC".

    Raises:
        UserError: If the file is no Python, or what it assigns is no literal.
    """
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: is no Python ({error.msg})") from None
    for node in tree.body:
        if not isinstance(node, ast.Assign):
            continue
        if any(isinstance(target, ast.Name) and target.id == word for target in node.targets):
            try:
                return ast.literal_eval(node.value)
            except ValueError:
                raise UserError(
                    f"{path}, line {node.lineno}: {word} is read without running the file; write "
                    "its values out, without names, calls or f-strings"
                ) from None
    return None


@cache
def read(folder: str, word: str, model: type[Model]) -> dict[str, Model]:
    """Return the card of each module of a folder of the package, by the module's name, sorted.

    Modules without the card are no entries.

    Args:
        folder: Such as "metrics".
        word: Such as "METRIC".
        model: Of the card.

    Raises:
        UserError: If a card is no literal or does not fit the model; names file and field.
    """
    found = {}
    for path in sorted((PACKAGE / folder).glob("[a-z]*.py")):
        values = literal(path, word)
        if values is not None:
            found[path.stem] = _fitted(path, word, values, model)
    return found


def _fitted(path: Path, word: str, values: Any, model: type[Model]) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        place = f"{word}, field {field!r}" if field else word
        raise UserError(f"{path}: {place}: {first['msg']}") from None
