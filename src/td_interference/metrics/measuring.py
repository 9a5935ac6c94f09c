"""One metric of one run, at each of its checkpoints."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from td_interference import metrics, objectives
from td_interference.errors import UserError, rebuild
from td_interference.jobs.divergence import ATTRIBUTES as DIVERGENCE
from td_interference.jobs.progress import Progress
from td_interference.jobs.resume import ResumeState
from td_interference.metrics.subject import Subject
from td_interference.objectives.base import BaseObjective
from td_interference.planning.constraints import unmeasurable
from td_interference.planning.control import window_name
from td_interference.planning.grid import RunSpec
from td_interference.planning.runs import Trained
from td_interference.replay import Replay
from td_interference.storage import hdf5, kinds
from td_interference.storage.checkpoints import CheckpointFile, check_parameters, open_checkpoints
from td_interference.storage.identity import (
    Identity,
    made_from,
    of_measurement,
    of_replay,
    of_window,
)
from td_interference.storage.seal import sealed_digest


def measure_run(
    metric: str,
    settings: Mapping[str, Any],
    run: Trained,
    play_path: Path | str,
    checkpoints_path: Path | str,
    measurement_path: Path | str,
    *,
    wanted: Identity | None,
    device: torch.device,
    code: str = "",
    state_directory: Path | str | None = None,
    resume_interval: float = 60.0,
    shared_replay: bool = False,
) -> None:
    """Measure one metric at checkpoints of a run and write one HDF5 file.

    A killed job keeps what it measured at the checkpoints before.

    What is measured of a run that diverged is marked so ("diverged_at"); it may lack the last
    checkpoints, or all.

    Args:
        metric: A name of `metrics.METRICS`.
        settings: The metric's own settings, with "checkpoints": "all" or "last".
        run: The run that wrote the checkpoints.
        play_path: The D* file that the run was trained on; for control, the directory of the
            windows of its own play, one for each checkpoint.
        checkpoints_path: Its checkpoints.
        measurement_path: HDF5 to write, of the table `storage.MEASUREMENTS` has for the metric.
        wanted: What the checkpoints must be of, see `identity.of_run` and `identity.of_control`;
            None to take what they say.
        device: Where to measure.
        code: Digest of the code that measures: a job killed before an edit begins anew.
        state_directory: For the resume state and the heartbeat file; None to keep neither.
        resume_interval: Seconds between two resume states.
        shared_replay: Whether D* may be held together with other jobs of this machine.

    Raises:
        UserError: If the metric is none of such a run, a file is bad, the checkpoints are of
            another run or network, or the play or the user's own objective is not what they were
            trained with.
    """
    measure, table = metrics.load(metric), kinds.MEASUREMENTS[metrics.entry(metric).module]
    described = run.measured_as
    if why := unmeasurable(metric, described):
        raise UserError(f"{checkpoints_path}: {why}")
    with open_checkpoints(checkpoints_path, wanted) as checkpoints:
        objectives.check_unchanged(described.objective_file, checkpoints.identity)
        steps = checkpoints.steps
        if settings["checkpoints"] == "last":
            steps = steps[-1:]
        trained = checkpoints.attributes
        plays = _plays(Path(play_path), checkpoints, steps)
        identity = made_from(
            of_measurement(metric, settings, code, checkpoints.identity),
            checkpoints=sealed_digest(checkpoints_path),
            **_digests(plays),
        )
        resume = None
        if state_directory is not None:
            resume = ResumeState(Path(state_directory), identity, resume_interval)
            if resume.finished([Path(measurement_path)]):
                return
        measured = _resumed(resume)
        job = f"measure_run {metric} {run.run_id}"
        with Progress(job, len(steps), "checkpoints", state_directory, len(measured)) as progress:
            left = plays[len(measured) :]
            for step, objective in _objectives(described, left, device, shared_replay):
                checkpoint = checkpoints.read(step)
                check_parameters(checkpoints_path, objective.network, checkpoint.parameters)
                objective.restore(checkpoint.parameters, checkpoint.frozen_parameters)
                measured.append(measure(Subject(described, objective, checkpoint), settings))
                if resume is not None and resume.due():
                    resume.save(_state(measured))
                progress.advance()
    arrays = {"update_step": np.array(steps, dtype=np.int64)}
    for name, field in table.fields.items():
        if name != "update_step":
            arrays[name] = _over_checkpoints(field, [each[name] for each in measured])
    diverged = {name: trained[name] for name in DIVERGENCE if name in trained}
    hdf5.write(measurement_path, table, arrays, identity, diverged)
    if resume is not None:
        resume.finish([Path(measurement_path)])


def _resumed(resume: ResumeState | None) -> list[hdf5.Arrays]:
    """Return what a killed job measured at the checkpoints before."""
    state = None if resume is None else resume.load()
    measured = [] if state is None else state["measured"]
    return [{name: tensor.numpy() for name, tensor in arrays.items()} for arrays in measured]


def _state(measured: Sequence[hdf5.Arrays]) -> dict[str, Any]:
    """Return what `_resumed` gives back."""
    return {
        "measured": [{n: torch.from_numpy(a) for n, a in arrays.items()} for arrays in measured]
    }


def _over_checkpoints(field: kinds.Field, values: Sequence[NDArray]) -> NDArray:
    """Return a field's values of all checkpoints as one array."""
    if not values:  # a run that diverged before its first checkpoint
        sizes = [size if isinstance(size, int) else 1 for size in field.dimensions]
        if field.dimensions[0] == "checkpoint":
            sizes[0] = 0
        return np.zeros(sizes, dtype=field.dtype)
    return np.stack(values) if field.dimensions[0] == "checkpoint" else values[0]


class _Play(NamedTuple):
    """The play that a checkpoint is measured on."""

    update_step: int  # of the checkpoint
    path: Path
    wanted: Identity  # what the file must be of, its digest included


def _plays(path: Path, checkpoints: CheckpointFile, steps: Sequence[int]) -> list[_Play]:
    """Return the play of each checkpoint: that which the run learned from, as it was then.

    Raises:
        UserError: If the checkpoints do not say which that is.
    """
    trained = checkpoints.identity
    try:
        if "control" in trained:
            windows = checkpoints.attributes["windows"]
            return [
                _Play(
                    step,
                    path / window_name(step),
                    {**of_window(trained, step), "sha256": windows[str(step)]},
                )
                for step in steps
            ]
        replay = of_replay(trained["replay"], trained["expert"])
        wanted = {**replay, "sha256": trained["made_from"]["replay"]}
    except (KeyError, TypeError):
        raise UserError(
            f"{checkpoints.path}: does not say which play it was trained on (attributes 'identity' "
            f"and 'windows'); {rebuild(checkpoints.path)}"
        ) from None
    return [_Play(step, path, wanted) for step in steps]


def _digests(plays: Sequence[_Play]) -> dict[str, Any]:
    """Return the digests of the play that was measured on, by what it is."""
    windows = {str(play.update_step): play.wanted["sha256"] for play in plays}
    if any("control" in play.wanted for play in plays):
        return {"windows": windows}
    return {"replay": plays[0].wanted["sha256"]} if plays else {}


def _objectives(
    run: RunSpec, plays: Sequence[_Play], device: torch.device, shared_replay: bool
) -> Iterator[tuple[int, BaseObjective]]:
    """Yield each update step with the run's objective on the play it is measured on."""
    loaded: tuple[Path, BaseObjective] | None = None
    for step, path, wanted in plays:
        if loaded is None or loaded[0] != path:
            # A window of control's own play is for this job alone.
            shared = shared_replay and "control" not in wanted
            replay = Replay.load(path, device, wanted, shared=shared)
            loaded = path, objectives.make(run, replay)
        yield step, loaded[1]
