"""One metric of one run, at each of its checkpoints."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from td_interference import metrics, objectives, storage
from td_interference.agents.control_settings import window_name
from td_interference.divergence import ATTRIBUTES as DIVERGENCE
from td_interference.files import sha256
from td_interference.grid import RunSpec
from td_interference.metrics.subject import Subject
from td_interference.objectives.base import BaseObjective
from td_interference.progress import Progress
from td_interference.replay import Replay
from td_interference.resume import ResumeState
from td_interference.storage.checkpoints import check_parameters, open_checkpoints


def measure_run(
    metric: str,
    settings: Mapping[str, Any],
    run: RunSpec,
    play_path: Path | str,
    checkpoints_path: Path | str,
    measurement_path: Path | str,
    *,
    device: torch.device,
    code: str = "",
    state_directory: Path | None = None,
    resume_interval: float = 60.0,
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
        device: Where to measure.
        code: Digest of the code that measures: a job killed before an edit begins anew.
        state_directory: For the resume state and the heartbeat file; None to keep neither.
        resume_interval: Seconds between two resume states.

    Raises:
        UserError: If a file is bad, or the checkpoints are of another network.
    """
    measure, table = metrics.load(metric), storage.MEASUREMENTS[metrics.entry(metric).module]
    with open_checkpoints(checkpoints_path) as checkpoints:
        steps = checkpoints.steps
        if settings["checkpoints"] == "last":
            steps = steps[-1:]
        trained = checkpoints.attributes
        description = {
            "run": run.to_dict(),
            "run_id": run.run_id,
            "settings": dict(settings),
            "checkpoints": sha256(checkpoints_path),
        }
        identity = {**description, "metric": metric, "code": code}
        resume = None
        if state_directory is not None:
            resume = ResumeState(state_directory, identity, resume_interval)
        measured = _resumed(resume)
        job = f"measure_run {metric} {run.run_id}"
        with Progress(job, len(steps), "checkpoints", state_directory, len(measured)) as progress:
            left = steps[len(measured) :]
            for step, objective in _objectives(run, Path(play_path), left, device):
                checkpoint = checkpoints.read(step)
                check_parameters(checkpoints_path, objective.network, checkpoint.parameters)
                objective.restore(checkpoint.parameters, checkpoint.frozen_parameters)
                measured.append(measure(Subject(run, objective, checkpoint), settings))
                if resume is not None and resume.due():
                    resume.save(_state(measured))
                progress.advance()
    arrays = {"update_step": np.array(steps, dtype=np.int64)}
    for name, field in table.fields.items():
        if name != "update_step":
            arrays[name] = _over_checkpoints(field, [each[name] for each in measured])
    diverged = {name: trained[name] for name in DIVERGENCE if name in trained}
    storage.write(measurement_path, table, arrays, {**description, **diverged})
    if resume is not None:
        resume.remove()


def _resumed(resume: ResumeState | None) -> list[storage.Arrays]:
    """Return what a killed job measured at the checkpoints before."""
    state = None if resume is None else resume.load()
    measured = [] if state is None else state["measured"]
    return [{name: tensor.numpy() for name, tensor in arrays.items()} for arrays in measured]


def _state(measured: Sequence[storage.Arrays]) -> dict[str, Any]:
    """Return what `_resumed` gives back."""
    return {
        "measured": [{n: torch.from_numpy(a) for n, a in arrays.items()} for arrays in measured]
    }


def _over_checkpoints(field: storage.Field, values: Sequence[NDArray]) -> NDArray:
    """Return a field's values of all checkpoints as one array."""
    if not values:  # a run that diverged before its first checkpoint
        sizes = [size if isinstance(size, int) else 1 for size in field.dimensions]
        if field.dimensions[0] == "checkpoint":
            sizes[0] = 0
        return np.zeros(sizes, dtype=field.dtype)
    return np.stack(values) if field.dimensions[0] == "checkpoint" else values[0]


def _objectives(
    run: RunSpec, play_path: Path, steps: Sequence[int], device: torch.device
) -> Iterator[tuple[int, BaseObjective]]:
    """Yield each update step with the run's objective on the play it is measured on."""
    make = objectives.load(run.objective, run.objective_file)
    if play_path.is_dir():
        for step in steps:
            yield step, make(run, Replay.load(play_path / window_name(step), device))
        return
    objective = make(run, Replay.load(play_path, device))
    for step in steps:
        yield step, objective
