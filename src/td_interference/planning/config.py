"""The configuration: the paper's values, below a scale's, below the user's; a closed schema."""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, validators

from td_interference import metrics
from td_interference.errors import UserError
from td_interference.planning import learners, objectives
from td_interference.planning.cells import AXES as AXES_OF_CELLS
from td_interference.planning.cells import CellSpec
from td_interference.planning.control import ControlSettings
from td_interference.planning.expert import ExpertSettings
from td_interference.planning.grid import RunSpec
from td_interference.planning.messages import did_you_mean, dotted, explain, shown
from td_interference.planning.replay import Environment, ReplaySpec
from td_interference.planning.settings import properties
from td_interference.planning.studies import Study
from td_interference.planning.yaml_files import read_yaml as read_yaml

SCALES = ("smoke", "laptop", "paper")

# The blocks whose keys, but for those of grids, are fields of a record.
RECORDS = {
    "environment": Environment,
    "replay": ReplaySpec,
    "training": RunSpec,
    "expert": ExpertSettings,
    "control": ControlSettings,
    "random_networks": Study,
}

Config = dict[str, Any]

# JSON Schema takes 2.0 for an integer, which counts and indices in Python do not.
_Validator = validators.extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)

_MOST_LEVELS = 100  # of blocks in blocks; ours have four
_MOST_VALUES = 100_000  # a user's; all of the paper's are some hundreds
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
    _check_extent(user)
    given = {"device": "auto"} | _meant(user)
    workflow_directory = Path(workflow_directory)
    scale = user.get("scale", "laptop")
    if scale not in SCALES:
        hint = did_you_mean(scale, SCALES) if isinstance(scale, str) else ""
        raise UserError(
            f"config key 'scale': {shown(scale)} is not one of {', '.join(SCALES)}{hint}"
        )
    config = merge(_of_scale(scale, workflow_directory / "scales"), given)
    config["scale"] = scale
    validate(config, read_schema(workflow_directory), user)
    return config


def read_schema(workflow_directory: Path | str) -> dict[str, Any]:
    """Return the configuration's whole schema: the file's, with what records and cards say.

    Raises:
        UserError: If a card is wrong.
    """
    schema = read_yaml(Path(workflow_directory) / "schemas" / "config.schema.yaml")
    blocks, shapes = schema["properties"], schema["$defs"]
    for block, record in RECORDS.items():
        blocks[block]["properties"] |= properties(record)
    blocks["random_networks"]["properties"]["studies"]["items"]["properties"] = properties(Study)
    blocks["metrics"] = metrics.schema()
    grid = shapes["experiment"]["properties"]
    grid |= properties(RunSpec)
    grid["objectives"]["items"]["enum"] = list(objectives.known())
    cells, own = shapes["generalization_experiment"]["properties"], properties(CellSpec)
    for axis in AXES_OF_CELLS:
        cells[axis]["items"] = own.pop(axis)
    cells |= own
    cells["agent"]["properties"] = learners.settings_schema()
    cells["task"]["enum"] = list(learners.known())
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


def _check_extent(user: Mapping[str, Any]) -> None:
    """Look at how deep and how much it is before anything follows all of it.

    Raises:
        UserError: If it nests without end, or has values without end: one that stands in many
            places by YAML's aliases is one in memory, and many as soon as it is written out.
    """
    for count, path in enumerate(_paths(user, ())):
        if len(path) > _MOST_LEVELS:
            raise UserError(
                f"config key '{dotted(path[:3])}' nests more than {_MOST_LEVELS} levels; does a "
                "YAML alias (*name) stand in what it refers to?"
            )
        if count > _MOST_VALUES:
            raise UserError(
                f"config key '{dotted(path[:3])}': up to here there are {_MOST_VALUES:,} values, "
                "more than can be meant; do YAML aliases (*name) repeat what repeats others?"
            )


def _paths(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Yield the place of a value and of all below it, in order, one at a time."""
    yield path
    below: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        below = value.items()
    elif isinstance(value, list):
        below = enumerate(value)
    for key, part in below:
        yield from _paths(part, (*path, key))


def _meant(value: Any, path: tuple[str | int, ...] = ()) -> Any:
    """Return a value of the user's as it is meant, at every depth.

    Snakemake hands over what stands inside a nested --config value as text, and YAML takes 1e-4
    for text. No key of this configuration means a number by text.

    Raises:
        UserError: If a number is not finite or beyond counting, or a key is no text.
    """
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                place = dotted([*path, str(key)])
                raise UserError(f"config key '{place}': keys are words; write it in quotes")
        return {key: _meant(below, (*path, key)) for key, below in value.items()}
    if isinstance(value, list):
        return [_meant(below, (*path, place)) for place, below in enumerate(value)]
    value = _of_text(value) if isinstance(value, str) else value
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"config key '{dotted(path)}': {value} is no finite number")
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise UserError(
            f"config key '{dotted(path)}': a number this large cannot be counted with; give one up "
            f"to {_LARGEST:,}"
        )
    return value


def _of_text(text: str) -> Any:
    for number in (int, float):
        with suppress(ValueError, OverflowError):
            if math.isfinite(value := number(text)):
                return value
    return {"true": True, "false": False, "null": None}.get(text.lower(), text)


def validate(
    config: Mapping[str, Any], schema: Mapping[str, Any], user: Mapping[str, Any] | None = None
) -> None:
    """Check a complete configuration against the schema; messages quote what the user set.

    Raises:
        UserError: For the first key at fault, in one line.
    """
    errors = sorted(
        _Validator(schema).iter_errors(config),
        key=lambda error: (error.validator != "additionalProperties", list(map(str, error.path))),
    )
    if errors:
        raise UserError(explain(errors[0], config, user or {}, schema))
