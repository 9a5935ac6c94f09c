"""Settings: what each key of the configuration means and may be, said once.

A `Setting` stands in the card of what it is of, or beside the field of a record (`setting`). The
block of the configuration's schema follows from it, and from that what is said of a wrong value;
so do the frozen record that code is given, and the page of reference.
"""

import dataclasses
import math
import operator
from collections.abc import Mapping
from functools import cached_property
from operator import attrgetter
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from td_interference.errors import UserError
from td_interference.planning.cards import Card

_TYPES: dict[Any, str] = {int: "integer", float: "number", bool: "boolean", str: "string"}
_NO_DEFAULT = (dataclasses.MISSING, None)
_INVERSE = "1/"
_RULES = {
    "minimum": (operator.ge, "must be at least"),
    "exclusiveMinimum": (operator.gt, "must be above"),
    "maximum": (operator.le, "must be at most"),
    "exclusiveMaximum": (operator.lt, "must be below"),
    "enum": (lambda value, known: value in known, "is not one of"),
}


class Setting(Card):
    """One key, with its bounds in the words of JSON Schema."""

    default: Any  # MISSING where the configuration must have the key, None where it need not
    description: str  # what it is, in a few words that messages and pages of reference show
    unit: str = ""  # where the description does not say it
    source: str = ""  # where the default comes from, or what others use
    type: Literal["integer", "number", "array"] | None = None  # where it is not the default's
    minimum: int | float | None = None
    exclusiveMinimum: int | float | None = None
    maximum: int | float | None = None
    exclusiveMaximum: int | float | None = None
    enum: tuple[Any, ...] | None = None
    minItems: int | None = None
    items: dict[str, Any] | None = None
    # Of what is looked at along an episode: the agent steps that it has beyond so many, at least.
    within_episode: int | None = None

    @cached_property
    def rules(self) -> dict[str, Any]:
        """Its bounds, as JSON Schema has them."""
        words = {*_RULES, "minItems", "items"}
        return self.model_dump(mode="json", include=words, exclude_none=True)

    @property
    def described(self) -> str:
        """What it is, with its unit."""
        return f"{self.description}, in {self.unit}" if self.unit else self.description

    def in_schema(self, of: Any = None) -> dict[str, Any]:
        """Return its JSON Schema; a field's type says what it is `of`, or else its default."""
        described = self.described
        if self.default not in _NO_DEFAULT:
            described += f"; default {shown(self.default)}"
        kind = self.type or _TYPES.get(of) or _TYPES.get(type(self.default))
        if self.enum and kind != "integer":  # that it is one of these says more
            return {"description": described, **self.rules}
        return {"description": described, "type": kind, **self.rules}


class Rule(Card):
    """What must hold of one key, beside its own bounds."""

    key: str  # with dots, of whatever the rule is applied to
    equals: bool | str | None = None
    above: int | None = None
    # A number, or keys whose sum is it; "1/key" is one divided by its value.
    at_least: int | tuple[str, ...] | None = None
    at_most: int | tuple[str, ...] | None = None
    multiple_of: tuple[str] | None = None  # another key
    otherwise: str  # said where it does not hold; `{of.…}` are values, `{near}` a multiple

    @model_validator(mode="after")
    def _one(self) -> "Rule":
        if sum(getattr(self, kind) is not None for kind in _COMPARED) != 1:
            raise ValueError(f"needs one of {', '.join(_COMPARED)}")
        return self

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key that it names."""
        bound = self._bound
        others = bound if isinstance(bound, tuple) else ()
        return (self.key, *(key.removeprefix(_INVERSE) for key in others))

    def broken(self, of: Any) -> str:
        """Return what is to be said of an object whose attributes the keys are, or "".

        What an object lacks (None), such as λ of what takes none, no rule is of.
        """
        value, bound = attrgetter(self.key)(of), self._bound
        if isinstance(bound, tuple):
            values = (attrgetter(key.removeprefix(_INVERSE))(of) for key in bound)
            inverse = [key.startswith(_INVERSE) for key in bound]
            bound = sum(1 / v if over else v for v, over in zip(values, inverse, strict=True))
        if value is None or _COMPARED[self._kind](value, bound):
            return ""
        near = max(1, round(value / bound)) * bound if self.multiple_of else None
        return self.otherwise.format(of=of, near=near)

    @property
    def _kind(self) -> str:
        return next(kind for kind in _COMPARED if getattr(self, kind) is not None)

    @property
    def _bound(self) -> Any:
        return getattr(self, self._kind)


_COMPARED = {
    "equals": operator.eq,
    "above": operator.gt,
    "at_least": operator.ge,
    "at_most": operator.le,
    "multiple_of": lambda value, of: value % of == 0,
}


def setting(default: Any, description: str, source: str = "", **rules: Any) -> Any:
    """Return a field of a frozen record that the configuration may set; see `Setting`."""
    return _field(Setting(default=default, description=description, source=source, **rules))


def _field(own: Setting) -> Any:
    return dataclasses.field(default=own.default, metadata={"setting": own})


def of_record(record: Any) -> dict[str, Setting]:
    """Return the settings whose keys stand in a record's own block of the configuration."""
    fields = dataclasses.fields(record)
    return {
        field.name: field.metadata["setting"]
        for field in fields
        if field.metadata and "block" not in field.metadata
    }


def make_record(
    name: str, settings: Mapping[str, Setting], *further: Any, key: str = ""
) -> type[Any]:
    """Return a frozen record of settings, whose constructor takes them by name.

    Args:
        name: Of the class.
        settings: By name; what is not given is as their defaults are.
        further: Fields as `dataclasses.make_dataclass` takes them.
        key: The block of the configuration whose bounds the constructor checks; "" not to.
    """
    fields: list[Any] = [(field, type(own.default), _field(own)) for field, own in settings.items()]
    checked = {"__post_init__": lambda record: check(record, key)} if key else {}
    return dataclasses.make_dataclass(
        name, [*fields, *further], frozen=True, kw_only=True, namespace=checked
    )


def same(record: Any, name: str, block: str) -> Any:
    """Return a field that is a setting of another record, whose key stands in that one's block."""
    field = record.__dataclass_fields__[name]
    return dataclasses.field(default=field.default, metadata={**field.metadata, "block": block})


def properties(record: Any) -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each key in a record's own block of the configuration, by name."""
    fields = {field.name: field for field in dataclasses.fields(record)}
    return {name: own.in_schema(fields[name].type) for name, own in of_record(record).items()}


def check(record: Any, key: str) -> None:
    """Check each setting of a record by its rules, as the schema does for the block of this key.

    Raises:
        UserError: Names the key at fault.
    """
    for field in dataclasses.fields(record):
        if "setting" not in field.metadata:
            continue
        value, block = getattr(record, field.name), field.metadata.get("block", key)
        rules = field.metadata["setting"].rules
        for rule, bound in ((rule, rules[rule]) for rule in _RULES if rule in rules):
            holds, otherwise = _RULES[rule]
            if value is not None and (not holds(value, bound) or value == math.inf):
                bounds = ", ".join(map(str, bound)) if rule == "enum" else bound
                raise _refusal(record, block, field.name, f"{otherwise} {bounds}")


def require(record: Any, block: str, holds: bool, name: str, otherwise: str) -> None:
    """Check what joins several settings of a record.

    Raises:
        UserError: If it does not hold; says `otherwise` of the value of the key `block.name`.
    """
    if not holds:
        raise _refusal(record, block, name, otherwise)


def _refusal(record: Any, block: str, name: str, otherwise: str) -> UserError:
    return UserError(f"config key '{block}.{name}': {attrgetter(name)(record)!r} {otherwise}")


class Record:
    """A dataclass that is written down, in Snakemake's params and in files' attributes."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return plain(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Return the record with these fields, with lists for tuples and 1 for 1.0 where they are.

        Raises:
            KeyError, TypeError: If they are not its fields.
            UserError: If a value makes no sense.
        """
        own = cls.__dataclass_fields__
        return cls(**{name: _typed(value, own[name].type) for name, value in {**fields}.items()})


def _typed(value: Any, kind: Any) -> Any:
    if kind == tuple[float, ...]:
        return tuple(map(float, value))
    if kind == tuple[int, ...]:
        return tuple(value)
    return float(value) if kind in (float, float | None) and value is not None else value


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
