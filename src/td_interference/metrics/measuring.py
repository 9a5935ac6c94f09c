"""One metric of one run, at each of its checkpoints."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from td_interference import metrics, objectives, storage
from td_interference.agents.control_settings import window_name
from td_interference.files import sha256
from td_interference.grid import RunSpec
from td_interference.metrics.subject import Subject
from td_interference.objectives.base import BaseObjective
from td_interference.progress import Progress
from td_interference.replay import Replay
from td_interference.storage.checkpoints import (
    check_parameters,
    checkpoint_steps,
    read_checkpoint,
)


def measure_run(
    metric: str,
    settings: Mapping[str, Any],
    run: RunSpec,
    play_path: Path | str,
    checkpoints_path: Path | str,
    measurement_path: Path | str,
    *,
    device: torch.device,
    progress_directory: Path | None = None,
) -> None:
    """Measure one metric at checkpoints of a run and write one HDF5 file.

    Args:
        metric: A name of `metrics.METRICS`.
        settings: The metric's own settings, with "checkpoints": "all" or "last".
        run: The run that wrote the checkpoints.
        play_path: The D* file that the run was trained on; for control, the directory of the
            windows of its own play, one for each checkpoint.
        checkpoints_path: Its checkpoints.
        measurement_path: HDF5 to write, of the table `storage.MEASUREMENTS` has for the metric.
        device: Where to measure.
        progress_directory: For the heartbeat file.

    Raises:
        UserError: If a file is bad, or the checkpoints are of another network.
    """
    measure, table = metrics.load(metric), storage.MEASUREMENTS[metrics.entry(metric).module]
    steps = checkpoint_steps(checkpoints_path)
    if settings["checkpoints"] == "last":
        steps = steps[-1:]
    measured: list[storage.Arrays] = []
    with Progress(
        f"measure_run {metric} {run.run_id}", len(steps), "checkpoints", progress_directory
    ) as progress:
        for step, objective in _objectives(run, Path(play_path), steps, device):
            checkpoint = read_checkpoint(checkpoints_path, step)
            check_parameters(checkpoints_path, objective.network, checkpoint.parameters)
            objective.restore(checkpoint.parameters, checkpoint.frozen_parameters)
            measured.append(measure(Subject(run, objective, checkpoint), settings))
            progress.advance()
    arrays = {"update_step": np.array(steps, dtype=np.int64)}
    for name, field in table.fields.items():
        if name == "update_step":
            continue
        values = [arrays_of_step[name] for arrays_of_step in measured]
        arrays[name] = np.stack(values) if field.dimensions[0] == "checkpoint" else values[0]
    storage.write(
        measurement_path,
        table,
        arrays,
        {
            "run": run.to_dict(),
            "run_id": run.run_id,
            "settings": dict(settings),
            "checkpoints": sha256(checkpoints_path),
        },
    )


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
