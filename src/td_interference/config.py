"""The configuration: one scale file, the user's own values over it, one closed schema.

Needs only what Snakemake itself needs (yaml, jsonschema), for it is imported at every dry run.
"""

import difflib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError, validators

from td_interference.errors import UserError

SCALES = ("smoke", "laptop", "paper")

Config = dict[str, Any]

# JSON Schema takes 2.0 for an integer, which counts and indices in Python do not.
_Validator = validators.extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)

_MOST_VALUES = 100_000


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Config:
    """Return `base` with the values of `over` in place of its own, key by key at every depth."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(below, value)
        else:
            merged[key] = value
    return merged


def read_yaml(path: Path | str) -> Config:
    """Return the mapping in a YAML file; tags that would build objects are refused.

    Args:
        path: The file.

    Raises:
        UserError: If the file is missing, is no YAML, or holds no mapping.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    # ValueError: a date that is none, a number of thousands of digits, bytes that are no UTF-8.
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not a YAML file ({reason})") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a mapping of keys to values at the top")
    return content


def complete(user: Mapping[str, Any], workflow_directory: Path | str) -> Config:
    """Return the whole, validated configuration.

    Args:
        user: What the user set: `scale`, and any values to put over the scale's own.
        workflow_directory: The directory that holds `scales/` and `schemas/`.

    Raises:
        UserError: Names the wrong key and what would be right.
    """
    _check_values(user)
    workflow_directory = Path(workflow_directory)
    scale = user.get("scale", "laptop")
    if scale not in SCALES:
        raise UserError(f"config key 'scale': {scale!r} is not one of {', '.join(SCALES)}")
    scale_values = read_yaml(workflow_directory / "scales" / f"{scale}.yaml")
    config = merge(scale_values, {key: _typed(value) for key, value in user.items()})
    config["scale"] = scale
    validate(config, read_yaml(workflow_directory / "schemas" / "config.schema.yaml"))
    return config


def _check_values(user: Mapping[str, Any]) -> None:
    """Look at every value, so that what follows comes to an end and reckons with numbers.

    Raises:
        UserError: If aliases make the configuration endless or huge, a number is not finite, or a
            key is no text.
    """
    waiting: list[Any] = [user]
    for _ in range(_MOST_VALUES):
        if not waiting:
            return
        value = waiting.pop()
        if isinstance(value, Mapping):
            for key in value:
                if not isinstance(key, str):
                    raise UserError(f"config key '{key}': keys are words; write it in quotes")
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"the configuration has the value {value}; give a finite number")
    raise UserError(
        f"the configuration has more than {_MOST_VALUES:,} values; does a YAML alias (*name) stand "
        "in what it refers to?"
    )


def _typed(value: Any) -> Any:
    """Return `value` with numbers written as text made numbers, at every depth.

    Snakemake hands over what stands inside a nested --config value as text, and YAML takes 1e-4
    for text. No key of this configuration means a number by text.
    """
    if isinstance(value, Mapping):
        return {key: _typed(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_typed(below) for below in value]
    if isinstance(value, str):
        for number in (int, float):
            try:
                converted = number(value)
                if math.isfinite(converted):
                    return converted
            except (ValueError, OverflowError):
                continue
        return {"true": True, "false": False, "null": None}.get(value.lower(), value)
    return value


def validate(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Check a whole configuration against the schema.

    Raises:
        UserError: For the first key at fault, in one line.
    """
    errors = sorted(
        _Validator(schema).iter_errors(config),
        key=lambda error: (error.validator != "additionalProperties", list(map(str, error.path))),
    )
    if errors:
        raise UserError(_explain(errors[0]))


def _explain(error: ValidationError) -> str:
    """Return one line on a schema error: the key, what is wrong, what would be right."""
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", ()))
        patterns = list(error.schema.get("patternProperties", ()))
        unknown = next(
            str(key)
            for key in error.instance
            if key not in known and not any(re.search(pattern, str(key)) for pattern in patterns)
        )
        if patterns:
            where = _dotted([*error.path, unknown])
            return f"config key '{where}': names here match {' or '.join(patterns)}"
        close = difflib.get_close_matches(unknown, known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(known)}"
        return f"config key '{_dotted([*error.path, unknown])}' is unknown; {hint}"
    description = error.schema.get("description", "") if isinstance(error.schema, Mapping) else ""
    meaning = f" ({description})" if description else ""
    return f"config key '{_dotted(error.path) or 'config'}': {error.message}{meaning}"


def _dotted(path: Any) -> str:
    return ".".join(map(str, path))
