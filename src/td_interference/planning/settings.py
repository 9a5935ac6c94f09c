"""Settings of a record: what each of its fields means and may be, said once.

A field made with `setting` carries its meaning, its source and its bounds, in the words of JSON
Schema. The block of the configuration's schema follows from the record, and from that what is said
of a wrong value. Standard library only: the Snakefile imports this.
"""

import dataclasses
import math
import operator
from typing import Any

from td_interference.errors import UserError

_TYPES: dict[Any, str] = {int: "integer", float: "number", bool: "boolean", str: "string"}
_RULES = {
    "minimum": (operator.ge, "must be at least"),
    "exclusiveMinimum": (operator.gt, "must be above"),
    "maximum": (operator.le, "must be at most"),
    "exclusiveMaximum": (operator.lt, "must be below"),
    "enum": (lambda value, known: value in known, "is not one of"),
}


def setting(default: Any, meaning: str, source: str = "", **rules: Any) -> Any:
    """Return a field of a frozen record that the configuration may set.

    Args:
        default: Its value where the configuration has none.
        meaning: What it is, in a few words that begin with its unit, such as "updates between two
            copies to the frozen network"; messages and pages of reference show it.
        source: Where the default comes from, or what others use.
        rules: Of JSON Schema: bounds such as `minimum=1`, or `enum=["capped", "squared"]`.
    """
    metadata = {"meaning": meaning, "source": source, "rules": rules}
    return dataclasses.field(default=default, metadata=metadata)


def properties(record: Any) -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each field of a record that the configuration may set, by name.

    Args:
        record: A dataclass, some of whose fields are made with `setting`.
    """
    found = {}
    for field in dataclasses.fields(record):
        if field.metadata:
            rules = field.metadata["rules"]
            described = f"{field.metadata['meaning']}; default {shown(field.default)}"
            kind = {} if {"enum", "type"} & {*rules} else {"type": _TYPES[field.type]}
            found[field.name] = {"description": described, **kind, **rules}
    return found


def check(record: Any, key: str) -> None:
    """Check each setting of a record by its rules, as the schema does for those of a configuration.

    Args:
        record: Such a dataclass.
        key: The block of the configuration that it is of.

    Raises:
        UserError: Names the key at fault.
    """
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        rules = field.metadata.get("rules", {})
        for rule, bound in ((rule, rules[rule]) for rule in _RULES if rule in rules):
            holds, otherwise = _RULES[rule]
            if not holds(value, bound) or value == math.inf:
                bounds = ", ".join(map(str, bound)) if rule == "enum" else bound
                raise UserError(f"config key '{key}.{field.name}': {value!r} {otherwise} {bounds}")


def shown(default: Any) -> str:
    """Return a default as a person writes it: 2000, 0.1, true, [1e-05, 0.1]."""
    if isinstance(default, tuple):
        return f"[{', '.join(map(shown, default))}]"
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)
