"""What is wrong with a value of the configuration, in the words of the person who wrote it."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jsonschema import ValidationError

from td_interference.calls import escaped

Path = Sequence[str | int]

_TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a block of keys",
    "null": "null",
}
_NOTHING = ("none", "nil", "~", "false", "off")  # for null, in other languages
_LONGEST = 60  # characters of a value that is shown
_SUFFIXES = {"": 1, "%": 0.01, "k": 1e3, "K": 1e3, "M": 1e6}
_MOST_PLACES = 3  # of a key that stands elsewhere


# What keys were called before version 2, with their names of today.
_RENAMED = {
    "steps": ("updates", "agent_steps"),
    "training_steps": ("agent_steps",),
    "target_period": ("frozen_period",),
    "buffer_capacity": ("replay_capacity",),
    "random_fill": ("learning_starts",),
    "environments": ("n_environments",),
    "seeds": ("n_seeds",),
    "experiment": ("task",),
    "steps_per_update": ("updates_per_step",),
}


def dotted(path: Iterable[str | int]) -> str:
    """Return the name of a key in messages: the keys above it and itself, joined by '.'."""
    return ".".join(escaped(str(key)) for key in path)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the question after a misspelt word, "; did you mean 'updates'?", or "" for no idea."""
    by_letters = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower().replace("-", "_"), by_letters, n=1)
    meant = by_letters[close[0]] if close else word
    return f"; did you mean '{meant}'?" if meant != word else ""


def shown(value: Any) -> str:
    """Return a value as a person would write it in YAML, cut to what fits into a line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        text = repr(value)
    elif isinstance(value, list):
        text = f"[{', '.join(map(shown, value))}]"
    elif isinstance(value, Mapping):
        text = (
            f"{{{', '.join(f'{dotted([key])}: {shown(below)}' for key, below in value.items())}}}"
        )
    else:
        text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def explain(
    error: ValidationError,
    config: Mapping[str, Any],
    user: Mapping[str, Any],
    schema: Mapping[str, Any],
) -> str:
    """Return one line on a schema error: the key, what is wrong, what would be right.

    Args:
        error: Of the complete configuration.
        config: That configuration, for the names beside one that is wrong.
        user: What the user set, for the value as they wrote it.
        schema: The whole schema, for where else a key may stand.
    """
    path = list(error.path)
    if error.validator == "additionalProperties":
        return _unknown(error, path, schema)
    own = error.schema if isinstance(error.schema, Mapping) else {}
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in error.instance)
        description = own.get("properties", {}).get(missing, {}).get("description", "")
        # A block of a free name lacks keys where its name is a slip.
        beside = [name for name in _at(config, path[:-1]) if name != path[-1]] if path else []
        hint = did_you_mean(str(path[-1]), beside) if beside else ""
        return f"config key '{dotted([*path, missing])}' is missing{_meaning(description)}{hint}"
    said = _SENTENCES[str(error.validator)](error.instance, error.validator_value, own)
    if error.instance is None and path and isinstance(path[-1], int):
        said = "is nothing; give a value, or remove it from the list"
    value = shown(error.instance)
    if isinstance(written := _at(user, path), str) and not isinstance(error.instance, str):
        value = written  # YAML takes 1e5 for a text, and --config every number
    key = dotted(path) or "config"
    return f"config key '{key}': {value} {said}{_meaning(own.get('description', ''))}"


def _meaning(description: str) -> str:
    return f" ({description})" if description else ""


def _at(user: Any, path: Path) -> Any:
    for key in path:
        try:
            user = user[key]
        except (KeyError, IndexError, TypeError):
            return None
    return user


def _unknown(error: ValidationError, path: Path, schema: Mapping[str, Any]) -> str:
    """Return the line on a key that is not there."""
    own: Mapping[str, Any] = error.schema
    known, names = own.get("properties", {}), own.get("patternProperties", {})
    misfits = (str(key) for key in error.instance if key not in known)
    for key in error.instance:
        first, *below = str(key).split(".")
        if first in known and below:  # as messages and other programs write it
            nested = ": {".join([first, *below]) + ": …" + "}" * len(below)
            return f"config key '{dotted([*path, key])}' is unknown; write {nested}"
    if names:
        unknown = next(key for key in misfits if not any(re.search(name, key) for name in names))
        tidy = re.sub("[^a-z0-9]", "_", unknown.lower()).strip("_").lstrip("0123456789_")
        return (
            f"config key '{dotted([*path, unknown])}': a name here has small letters, digits and "
            f"'_', the first a letter{did_you_mean(unknown, [tidy])}"
        )
    unknown = next(misfits)
    if today := [name for name in _RENAMED.get(unknown, ()) if name in known]:
        reckoned = "; write 1 divided by it" if unknown == "steps_per_update" else ""
        return (
            f"config key '{dotted([*path, unknown])}' is called "
            f"{' or '.join(map(repr, today))} now{reckoned}"
        )
    hint = did_you_mean(unknown, known)
    if not hint:
        plain = unknown.lower().replace("-", "_")
        places = [dotted(place) for place in _places(schema, schema) if place[-1] == plain]
        hint = f"; known here: {', '.join(known)}"
        if places:
            more = " or another" if len(places) > _MOST_PLACES else ""
            hint = f"; did you mean {' or '.join(map(repr, places[:_MOST_PLACES]))}{more}?"
    return f"config key '{dotted([*path, unknown])}' is unknown{hint}"


def _places(
    node: Mapping[str, Any], schema: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Yield every place where a key may stand, but for blocks of free names."""
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    for name, below in node.get("properties", {}).items():
        yield (*path, name)
        yield from _places(below, schema, (*path, name))


def _type(value: Any, wanted: str | list[str], own: Mapping[str, Any]) -> str:
    kinds = [wanted] if isinstance(wanted, str) else wanted
    words = " or ".join(_TYPES[kind] for kind in kinds)
    if "null" in kinds and str(value).lower() in _NOTHING:
        return f"is not {words}; write null"
    return f"is not {words}{_other_way(value, kinds[0], own.get('items', {}))}"


def _other_way(value: Any, kind: str, items: Mapping[str, Any]) -> str:
    """Return how to write what was probably meant, "; write 5", or ""."""
    if kind in ("integer", "number"):
        if isinstance(value, list):
            return f"; write {shown(value[0])}" if len(value) == 1 else "; give one number"
        if isinstance(value, float):
            whole = value.is_integer()
            return f"; write {int(value)}" if whole else f"; round it to {round(value) or 1}"
        if isinstance(value, str):
            return _number_meant(value)
    if kind == "boolean":
        words = {"yes": "true", "on": "true", "1": "true", "no": "false", "off": "false"}
        word = {**words, "0": "false"}.get(str(value).lower())
        return f"; write {word}" if word else ""
    if kind == "array" and value is not None:
        wanted = items.get("type", "string")  # a list of words says which, not that they are texts
        known = {"string": str, "integer": int, "number": int | float, "object": Mapping}[wanted]
        text = value if isinstance(value, str) else shown(value)
        several = isinstance(value, str) and "," in value
        return f"; write [{text}]" if several or isinstance(value, known) else ""
    if value is None:
        return "; remove the line to keep the scale's own, or give a value"
    if kind == "string" and isinstance(value, int | float):
        return "; give a name with a letter in it"
    return ""


def _number_meant(text: str) -> str:
    """Return how to write a number that is none in YAML: "1,000", "5%", "1/4", "12k", "60 s"."""
    plain = re.sub(r"(?<=\d)[, '](?=\d{3}\b)", "", text.strip())
    if found := re.fullmatch(r"([-+]?\d{0,15}\.?\d{1,15}) ?([%kKM]|/ ?[1-9]\d{0,15})?", plain):
        number, suffix = found.groups("")
        factor = 1 / int(suffix[1:]) if suffix[:1] == "/" else _SUFFIXES[suffix]
        return f"; write {float(number) * factor:.12g}"
    return "; write a number alone, in the unit of this key" if re.match(r"[-+.]*\d", text) else ""


def _enum(value: Any, known: Sequence[Any], _: Mapping[str, Any]) -> str:
    words = [str(word).lower() if isinstance(word, bool) else str(word) for word in known]
    hint = did_you_mean(value, words) if isinstance(value, str) else ""
    return f"is not one of {', '.join(words)}{hint}"


def _unique(value: Sequence[Any], *_: Any) -> str:
    twice = next(item for place, item in enumerate(value) if item in value[:place])
    return f"has {shown(twice)} twice; leave one of the two out"


def _share(value: float, most: float) -> str:
    """Return what a number in percent is where at most 1 is asked for."""
    return f"; write {value / 100:g} for {value:g}%" if most == 1 and 1 < value < 100 else ""


# By the schema's own words; a test holds that it uses no others.
_SENTENCES = {
    "type": _type,
    "enum": _enum,
    "minimum": lambda _, least, __: f"is less than the minimum of {least}",
    "maximum": lambda value, most, __: (
        f"is greater than the maximum of {most}{_share(value, most)}"
    ),
    "exclusiveMinimum": lambda _, least, __: f"must be above {least}",
    "exclusiveMaximum": lambda value, most, __: f"must be below {most}{_share(value, most)}",
    "minItems": lambda *_: "is empty; name at least one",
    "minProperties": lambda *_: "is empty; name at least one",
    "minLength": lambda *_: "is empty; give a name, or remove the line",
    "uniqueItems": _unique,
}
STRUCTURE = ("additionalProperties", "required")  # explained in `explain` itself
