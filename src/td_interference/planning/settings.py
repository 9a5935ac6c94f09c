"""Settings of a record: what each of its fields means and may be, said once.

A field made with `setting` carries its meaning, its source and its bounds, in the words of JSON
Schema. The block of the configuration's schema follows from the record, and from that what is said
of a wrong value. Standard library only: the Snakefile imports this.
"""

import dataclasses
import math
import operator
from collections.abc import Mapping
from typing import Any

from td_interference.errors import UserError

_TYPES: dict[Any, str] = {int: "integer", float: "number", bool: "boolean", str: "string"}
_NO_DEFAULT = (dataclasses.MISSING, None)
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
        default: Its value where the configuration has none; MISSING where it must have one,
            None where it may do without.
        meaning: What it is, in a few words that begin with its unit, such as "updates between two
            copies to the frozen network"; messages and pages of reference show it.
        source: Where the default comes from, or what others use.
        rules: Of JSON Schema: bounds such as `minimum=1`, or `enum=["capped", "squared"]`.
    """
    metadata = {"meaning": meaning, "source": source, "rules": rules}
    return dataclasses.field(default=default, metadata=metadata)


def same(record: Any, name: str, block: str) -> Any:
    """Return a field that is a setting of another record.

    Args:
        record: That one.
        name: Of the setting there.
        block: Of the configuration, where its key stands.
    """
    field = record.__dataclass_fields__[name]
    return dataclasses.field(default=field.default, metadata={**field.metadata, "block": block})


def own_settings(record: Any) -> list[dataclasses.Field[Any]]:
    """Return the fields of a record whose keys stand in its own block of the configuration."""
    fields = dataclasses.fields(record)
    return [field for field in fields if field.metadata and "block" not in field.metadata]


def properties(record: Any) -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each key in a record's own block of the configuration, by name.

    Args:
        record: A dataclass, some of whose fields are made with `setting`.
    """
    found = {}
    for field in own_settings(record):
        rules, described = field.metadata["rules"], field.metadata["meaning"]
        if field.default not in _NO_DEFAULT:
            described += f"; default {shown(field.default)}"
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
        value, block = getattr(record, field.name), field.metadata.get("block", key)
        rules = field.metadata.get("rules", {})
        for rule, bound in ((rule, rules[rule]) for rule in _RULES if rule in rules):
            holds, otherwise = _RULES[rule]
            if value is not None and (not holds(value, bound) or value == math.inf):
                bounds = ", ".join(map(str, bound)) if rule == "enum" else bound
                raise UserError(
                    f"config key '{block}.{field.name}': {value!r} {otherwise} {bounds}"
                )


def typed(record: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of a record's fields, where people write 1 for 1.0 as the record has them."""
    kinds = {field.name: field.type for field in dataclasses.fields(record)}
    return {name: float(v) if kinds[name] is float else v for name, v in values.items()}


def plain(record: Any) -> dict[str, Any]:
    """Return the fields of a record as JSON has them: tuples as lists, records as mappings.

    Thousands of jobs are described so at each call of Snakemake; `dataclasses.asdict` copies all
    values, which takes five times as long.
    """
    return {field.name: _plain(getattr(record, field.name)) for field in dataclasses.fields(record)}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return plain(value) if dataclasses.is_dataclass(value) else value


def shown(default: Any) -> str:
    """Return a default as a person writes it: 2000, 0.1, true, [1e-05, 0.1]; "" for none."""
    if default in _NO_DEFAULT:
        return ""
    if isinstance(default, tuple):
        return f"[{', '.join(map(shown, default))}]"
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)
