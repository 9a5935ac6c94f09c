"""What a result is of: the settings of all that made it, and digests of what it was made from.

Every file that the workflow reads again carries its identity, and every reader says which one it
wants: moved, exchanged or renamed files are refused, never taken for what their name says. An
identity holds plain values as JSON has them, and nothing of a machine: no paths, no times.

It is a mapping of "name", words for people, which are not compared; the settings of the result and
of what it came from ("run", "replay" and "expert" for a training from D*); and "made_from", the
SHA-256 of the content of each input. Standard library only: the Snakefile imports this.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from td_interference.errors import UserError, rebuild
from td_interference.storage.files import sha256

Identity = Mapping[str, Any]

_NAME, _MADE_FROM = "name", "made_from"
_SHOWN = 3  # differences in a message
_ABSENT = object()


class Described(Protocol):
    """What runs of all kinds have."""

    @property
    def run_id(self) -> str:
        """Name in paths."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        ...


def of_expert(settings: Mapping[str, Any]) -> Identity:
    """Return the identity of an expert with these fields of `ExpertSettings`."""
    name = f"the expert of {settings['game']}, seed {settings['seed']}"
    return {_NAME: name, "expert": settings}


def of_replay(spec: Mapping[str, Any], expert: Mapping[str, Any]) -> Identity:
    """Return the identity of a D*, by the fields of its `ReplaySpec` and its expert's settings."""
    name = f"D* of {spec['game']}, seed {spec['seed']}"
    return {_NAME: name, "replay": spec, "expert": expert}


def of_run(run: Described, replay: Mapping[str, Any], expert: Mapping[str, Any]) -> Identity:
    """Return the identity of a training from D*.

    Args:
        run: A `RunSpec`. Of a user's own objective the content counts, not where its file lies.
        replay: Fields of the `ReplaySpec` of its D*.
        expert: Settings of the expert who played it.

    Raises:
        OSError: If the objective's file cannot be read.
    """
    fields = run.to_dict()
    file = fields.pop("objective_file", None)
    own = {} if file is None else {"objective_sha256": sha256(file)}
    name = f"the run {run.run_id}"
    return {_NAME: name, "run": fields, **own, "replay": replay, "expert": expert}


def of_control(settings: Described) -> Identity:
    """Return the identity of a control run's checkpoints, by its `ControlSettings`."""
    return {_NAME: f"the run {settings.run_id}", "control": settings.to_dict()}


def of_window(run: Identity, update_step: int) -> Identity:
    """Return the identity of the play of a control run before its checkpoint of `update_step`."""
    name = f"the play before update step {update_step} of {run[_NAME]}"
    return {**settings_alone(run), _NAME: name, "update_step": update_step}


def of_measurement(
    metric: str, settings: Mapping[str, Any], code: str, measured: Identity
) -> Identity:
    """Return the identity of one metric of a run.

    Args:
        metric: Its name.
        settings: Its own settings.
        code: Digest of the code that measures.
        measured: The run's.
    """
    return {
        **settings_alone(measured),
        _NAME: f"{metric} of {measured[_NAME]}",
        "metric": metric,
        "settings": _plain(settings),
        "code": code,
    }


def of_measured(measurement: Identity) -> Identity:
    """Return the identity of the run that a measurement is of."""
    own = ("metric", "settings", "code")
    name = measurement[_NAME].removeprefix(f"{measurement['metric']} of ")
    run = {key: value for key, value in settings_alone(measurement).items() if key not in own}
    return {_NAME: name, **run}


def of_study(study: Described, code: str) -> Identity:
    """Return the identity of a study of random networks that `code` (a digest) measures."""
    name = f"the random networks {study.run_id}"
    return {_NAME: name, "study": study.to_dict(), "code": code}


def of_dataset(name: str) -> Identity:
    """Return the identity of a data set."""
    return {_NAME: f"the data set {name}", "dataset": name}


def of_group(name: str, cells: Sequence[Mapping[str, Any]]) -> Identity:
    """Return the identity of a group's runs, by the fields of its `CellSpec`s."""
    return {_NAME: f"the runs {name}", "cells": cells}


def of_table(
    name: str, statistics: Mapping[str, Any], code: str, measurements: Sequence[str]
) -> Identity:
    """Return the identity of a table.

    Args:
        name: Its name.
        statistics: Of its intervals.
        code: Digest of the code that computes it.
        measurements: The `digest` of each that it reduces, in its order; one of all is kept.
    """
    return _plain(
        {
            _NAME: f"the table {name}",
            "table": name,
            "statistics": statistics,
            "code": code,
            "measurements": _sha256(measurements),
        }
    )


def made_from(identity: Identity, **inputs: str | Mapping[str, str]) -> Identity:
    """Return an identity with the digests of what a file is made from, by what each of them is."""
    return {**identity, _MADE_FROM: _plain(inputs)}


def settings_alone(identity: Identity) -> dict[str, Any]:
    """Return an identity without name and digests."""
    return {key: value for key, value in identity.items() if key not in (_NAME, _MADE_FROM)}


def digest(identity: Identity) -> str:
    """Return the SHA-256 of an identity's settings, whatever the order of their keys."""
    return _sha256(settings_alone(identity))


def _sha256(plain: object) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def check(path: Path | str, found: Identity, wanted: Identity) -> None:
    """See that a file is of what is wanted.

    Args:
        path: The file.
        found: Its identity; more in it than is wanted does no harm.
        wanted: The identity that it must have.

    Raises:
        UserError: Names what the file is of, what is wanted, and how they differ.
    """
    found = found if isinstance(found, Mapping) else {}  # a file may hold anything
    compared = {key: value for key, value in wanted.items() if key != _NAME}
    differing = list(_differences(found, compared))
    if not differing:
        return
    shown = differing[:_SHOWN]
    more = f", and {len(differing) - len(shown)} more" if len(differing) > len(shown) else ""
    has = ", ".join(f"{key} {_said(value)}" for key, value, _ in shown)
    needs = ", ".join(f"{key} {_said(value)}" for key, _, value in shown)
    raise UserError(
        f"{path}: is of {found.get(_NAME, 'something that it does not tell')} ({has}{more}), but "
        f"{wanted[_NAME]} ({needs}{more}) is needed here; {rebuild(path)}"
    )


def _differences(found: Any, wanted: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the key and both values of each thing that is not as wanted."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for name in wanted:
            below = f"{key}.{name}" if key else name
            yield from _differences(found.get(name, _ABSENT), wanted[name], below)
        if key and not key.startswith(_MADE_FROM):  # below the first level all of it counts
            for name in found.keys() - wanted.keys():
                yield f"{key}.{name}", found[name], _ABSENT
    elif _is_list_of_mappings(wanted) and _is_list_of_mappings(found) and len(wanted) == len(found):
        for place, pair in enumerate(zip(found, wanted, strict=True)):
            yield from _differences(*pair, f"{key}.{place}")
    elif found != wanted:
        yield key, found, wanted


def _is_list_of_mappings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)


def _said(value: Any) -> str:
    if value is _ABSENT:
        return "not told"
    if isinstance(value, Mapping):
        return "told"
    text = json.dumps(value)
    return text if len(text) <= 20 else f"{text[:16]}…"


def _plain(value: Any) -> Any:
    """Return a value as it comes back from JSON: tuples are lists."""
    return json.loads(json.dumps(value))
