"""Cards: what a metric, figure, table, data set, learner or objective says of itself.

A card is one literal at the top level of the file that it is of, `METRIC = {…}` in
`metrics/gain.py`, say. It is read without importing the file, so that planning needs neither torch
nor h5py, and the folder is the registry: whatever file has the card is an entry.
"""

import ast
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from td_interference.errors import UserError
from td_interference.planning import sources
from td_interference.planning.messages import did_you_mean

PACKAGE = Path(__file__).parents[1]


class Card(BaseModel):
    """A card, or a part of one: closed and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=BaseModel)


def read(
    folder: str,
    word: str,
    model: type[Model],
    function: str = "",
    variant: type[BaseModel] | None = None,
    package: Path = PACKAGE,
) -> dict[str, Model]:
    """Return the card of each module of a folder of the package, by the module's name, sorted.

    Args:
        folder: Such as "metrics".
        word: Such as "METRIC".
        model: Of the card.
        function: Which goes with the card, such as "measure": a module with neither is no entry.
        variant: Model of a card with "variant_of", which needs no function.
        package: Its directory.

    Raises:
        UserError: If a card is missing, no literal, or does not fit the model; names file and
            field and what would be right.
    """
    found = {}
    for path in sorted((package / folder).glob("[a-z]*.py")):
        values = literal(path, word)
        has_function = function in names(path)
        if values is not None:
            is_variant = variant is not None and isinstance(values, dict) and "variant_of" in values
            found[path.stem] = _fitted(path, word, values, variant if is_variant else model)
            if function and not has_function and not is_variant:
                raise UserError(f"{path}: {word} needs a function '{function}' beside it")
        elif has_function:
            fields = model.model_fields.items()
            required = (f"'{name}'" for name, field in fields if field.is_required())
            raise UserError(
                f"{path}: {word} is missing: a file with a function '{function}' says what it is "
                f"in a literal, {word} = {{…}}, with {', '.join(required)}"
            )
    return found


def literal(path: Path, word: str) -> Any:
    """Return the literal that a module assigns to `word`, such as "METRIC", or None.

    Raises:
        UserError: If the file is no Python, or what it assigns is no literal.
    """
    node = _parsed(path).assigned.get(word)
    if node is None:
        return None
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        raise UserError(
            f"{path}, line {node.lineno}: {word} is read without running the file; write its "
            "values out, without names, calls or f-strings"
        ) from None


def names(path: Path) -> set[str]:
    """Return what a module defines or assigns at its top level.

    Raises:
        UserError: If the file is no Python.
    """
    return {*_parsed(path).functions, *_parsed(path).assigned}


def refuse(folder: str, name: str, said: str) -> NoReturn:
    """Refuse the card of one module for what no model can know.

    Raises:
        UserError: Always; `said` is as "METRIC, field 'variant_of': is no metric".
    """
    raise UserError(f"{PACKAGE / folder / name}.py: {said}")


def _parsed(path: Path) -> sources.Parsed:
    try:
        return sources.parse(path.read_bytes())
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: is no Python ({error.msg})") from None


def _fitted(path: Path, word: str, values: Any, model: Any) -> Any:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        # A misspelt field is missing as well, and is better named as it was written.
        found = error.errors(include_url=False)
        first = min(found, key=lambda one: one["type"] != "extra_forbidden")
    *above, field = first["loc"] or ("",)
    said = first["msg"]
    if first["type"] == "missing":
        meaning = _model_at(model, above).model_fields[str(field)].description
        said = f"is missing{f' ({meaning})' if meaning else ''}"
    elif first["type"] == "extra_forbidden":
        known = _model_at(model, above).model_fields
        hint = did_you_mean(str(field), known) or f"; known: {', '.join(known)}"
        said = f"is unknown{hint}"
    elif first["type"] == "value_error":
        said = str(first["ctx"]["error"])
    place = f"{word}, field '{'.'.join(map(str, first['loc']))}'" if first["loc"] else word
    raise UserError(f"{path}: {place}: {said[:1].lower()}{said[1:]}")


def _model_at(model: Any, place: list[Any]) -> Any:
    """Return the model of the part of a card that stands at a place, through lists and mappings."""
    for step in place:
        if "root" in getattr(model, "model_fields", {}):
            model = model.model_fields["root"].annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            model = model.model_fields[str(step)].annotation
        else:
            model = [kind for kind in get_args(model) if kind is not ...][-1]
    return model
