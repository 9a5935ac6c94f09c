"""The configuration: the paper's values, under those of a scale, under the user's; a closed schema.

Needs only what Snakemake itself needs (yaml, jsonschema), for it is imported at every dry run.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, validators

from td_interference import metrics
from td_interference.errors import UserError
from td_interference.planning import learners, objectives
from td_interference.planning.cells import CellSpec
from td_interference.planning.control import ControlSettings
from td_interference.planning.expert import ExpertSettings
from td_interference.planning.grid import RunSpec
from td_interference.planning.messages import did_you_mean, dotted, explain, shown
from td_interference.planning.replay import Environment, ReplaySpec
from td_interference.planning.settings import properties
from td_interference.planning.studies import Study
from td_interference.planning.yaml_files import MOST_LEVELS, MOST_VALUES
from td_interference.planning.yaml_files import read_yaml as read_yaml

SCALES = ("smoke", "laptop", "paper")

Config = dict[str, Any]

# JSON Schema takes 2.0 for an integer, which counts and indices in Python do not.
_Validator = validators.extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)

_LARGEST = 2**53  # of whole numbers: what a float can count to


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
        hint = did_you_mean(scale, SCALES) if isinstance(scale, str) else ""
        raise UserError(
            f"config key 'scale': {shown(scale)} is not one of {', '.join(SCALES)}{hint}"
        )
    given = {"device": "auto"} | {key: _typed(value) for key, value in user.items()}
    config = merge(_of_scale(scale, workflow_directory / "scales"), given)
    config["scale"] = scale
    validate(config, read_schema(workflow_directory), user)
    return config


def read_schema(workflow_directory: Path | str) -> dict[str, Any]:
    """Return the configuration's whole schema: the file's, with what records and cards say.

    Args:
        workflow_directory: The directory that holds `schemas/`.

    Raises:
        UserError: If a card is wrong.
    """
    schema = read_yaml(Path(workflow_directory) / "schemas" / "config.schema.yaml")
    schema["properties"]["expert"]["properties"] = properties(ExpertSettings)
    control, networks = (
        schema["properties"][key]["properties"] for key in ("control", "random_networks")
    )
    control |= properties(ControlSettings)
    networks |= (study := properties(Study))
    networks["studies"]["items"]["properties"] = study
    schema["properties"]["environment"]["properties"] = properties(Environment)
    schema["properties"]["replay"]["properties"] = properties(ReplaySpec)
    schema["properties"]["training"]["properties"] |= properties(RunSpec)
    schema["properties"]["metrics"] = metrics.schema()
    cells = schema["$defs"]["generalization_experiment"]["properties"]
    own = properties(CellSpec)
    for axis in ("hidden", "extra_layers", "n_train"):
        cells[axis]["items"] = own.pop(axis)
    cells |= own
    cells["agent"]["properties"] = learners.settings_schema()
    cells["task"]["enum"] = list(learners.known())
    grid = schema["$defs"]["experiment"]["properties"]
    grid |= properties(RunSpec)
    grid["objectives"]["items"]["enum"] = list(objectives.known())
    return schema


def _of_scale(scale: str, folder: Path) -> Config:
    """Return the paper's values with those of a scale in their place; its null drops a key."""
    paper = merge({"metrics": metrics.defaults()}, read_yaml(folder / f"{SCALES[-1]}.yaml"))
    if scale == SCALES[-1]:
        return paper
    return _without_null(merge(paper, read_yaml(folder / f"{scale}.yaml")))


def _without_null(values: Mapping[str, Any]) -> Config:
    return {
        key: _without_null(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value is not None
    }


def _check_values(user: Mapping[str, Any]) -> None:
    """Look at every value, so that what follows comes to an end and reckons with numbers.

    Raises:
        UserError: If aliases make the configuration endless or huge, a number is not finite or
            beyond counting, or a key is no text.
    """
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), user)]
    for _ in range(MOST_VALUES):
        if not waiting:
            return
        path, value = waiting.pop()
        if len(path) > MOST_LEVELS:
            raise UserError(
                f"config key '{dotted(path[:3])}' nests more than {MOST_LEVELS} levels; does a "
                "YAML alias (*name) stand in what it refers to?"
            )
        if isinstance(value, Mapping):
            for key in value:
                if not isinstance(key, str):
                    raise UserError(
                        f"config key '{dotted([*path, str(key)])}': keys are words; write it in "
                        "quotes"
                    )
            waiting += [((*path, key), below) for key, below in value.items()]
        elif isinstance(value, list):
            waiting += [((*path, place), below) for place, below in enumerate(value)]
        elif isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"config key '{dotted(path)}': {value} is no finite number")
        elif isinstance(value, int) and abs(value) > _LARGEST:
            raise UserError(
                f"config key '{dotted(path)}': a number this large cannot be counted with; give "
                f"one up to {_LARGEST:,}"
            )
    raise UserError(
        f"the configuration has more than {MOST_VALUES:,} values; does a YAML alias (*name) stand "
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


def validate(
    config: Mapping[str, Any], schema: Mapping[str, Any], user: Mapping[str, Any] | None = None
) -> None:
    """Check a whole configuration against the schema.

    Args:
        config: The complete configuration.
        schema: The whole schema.
        user: What the user set, for messages that quote it.

    Raises:
        UserError: For the first key at fault, in one line.
    """
    errors = sorted(
        _Validator(schema).iter_errors(config),
        key=lambda error: (error.validator != "additionalProperties", list(map(str, error.path))),
    )
    if errors:
        raise UserError(explain(errors[0], config, user or {}, schema))
