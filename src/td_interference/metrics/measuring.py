"""One metric of one run, at each of its checkpoints."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from td_interference import metrics, objectives, storage
from td_interference.files import sha256
from td_interference.grid import RunSpec
from td_interference.metrics.subject import Subject
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
    replay_path: Path | str,
    checkpoints_path: Path | str,
    measurement_path: Path | str,
    *,
    device: torch.device,
    progress_directory: Path | None = None,
) -> None:
    """Measure one metric at each checkpoint of a run and write one HDF5 file.

    Args:
        metric: A name of `metrics.METRICS`.
        settings: The metric's own settings.
        run: The run that wrote the checkpoints.
        replay_path: The D* file it was trained on.
        checkpoints_path: Its checkpoints.
        measurement_path: HDF5 to write, of the table `storage.MEASUREMENTS[metric]`.
        device: Where to measure.
        progress_directory: For the heartbeat file.

    Raises:
        UserError: If a file is bad, or the checkpoints are of another network.
    """
    measure = metrics.load(metric)
    table = storage.MEASUREMENTS[metric]
    steps = checkpoint_steps(checkpoints_path)
    objective = objectives.load(run.objective)(run, Replay.load(replay_path, device))
    measured: list[storage.Arrays] = []
    with Progress(
        f"measure_run {metric} {run.run_id}", len(steps), "checkpoints", progress_directory
    ) as progress:
        for step in steps:
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
