"""The job of one group of cells: train all its runs, measure them on the way, go on when killed.

Everything else in the project trains first and measures checkpoints later. Here that would keep
some 170,000 checkpoints (2,300 runs, measured 20 to 200 times each) that are read once
each, and a measurement takes as long as a few updates: so it is done on the way. Parameters are
kept where asked for.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from td_interference.datasets.arrays import read_dataset
from td_interference.generalization.agent_runs import AgentsInTurn
from td_interference.generalization.data import network_factory, read_task
from td_interference.generalization.group_training import GroupTraining, Row
from td_interference.generalization.training import TrainingTogether
from td_interference.jobs.progress import Progress
from td_interference.jobs.resume import ResumeState
from td_interference.planning.cells import CellSpec
from td_interference.planning.learners import known
from td_interference.storage import hdf5, kinds
from td_interference.storage.checkpoints import Checkpoint, merge_checkpoints, write_checkpoint
from td_interference.storage.identity import made_from, of_dataset, of_group
from td_interference.storage.seal import sealed_digest

_STEPS_AT_ONCE = 20  # between two looks at the clock


def make_training(
    cells: Sequence[CellSpec], data_path: Path, device: torch.device
) -> GroupTraining:
    """Return the training of one group's runs, before its first step.

    Args:
        cells: Of one group.
        data_path: The data set's HDF5 file.
        device: To learn on.

    Raises:
        UserError: If the data are not good, or too few.
    """
    if known()[cells[0].task].acts:
        data = read_dataset(data_path, "images", of_dataset(cells[0].dataset))
        return AgentsInTurn(cells, data, device)
    task = read_task(cells, data_path, device)
    return TrainingTogether(cells, task, network_factory(cells[0], task))


def train_group(
    name: str,
    cells: Sequence[CellSpec],
    data_path: Path,
    state_directory: Path,
    measurement: Path,
    parameters: Path | None = None,
    *,
    device: torch.device,
    resume_interval: float,
) -> None:
    """Train and measure the runs of one group, and write their rows.

    A killed job goes on from its resume state with the same bits.

    Args:
        name: Of the group.
        cells: Of the group.
        data_path: The data set's HDF5 file.
        state_directory: For the resume state, and the parameters on the way.
        measurement: HDF5 to write, of `storage.GENERALIZATION`.
        parameters: HDF5 to write, of `storage.CHECKPOINTS`; None not to keep them.
        device: Where to train.
        resume_interval: Seconds between two resume states.

    Raises:
        UserError: If the data are not good, or too few.
    """
    training, shared = make_training(cells, data_path, device), cells[0]
    run_ids = [run_id for cell in cells for run_id in cell.run_ids]
    identity = made_from(
        of_group(name, [cell.to_dict() for cell in cells]), dataset=sealed_digest(data_path)
    )
    attributes = {
        "run_ids": run_ids,
        "n_parameters": sum(tensor.numel() for tensor in training.networks[0].parameters()),
    }
    resume = ResumeState(
        state_directory, {**identity, "keeps": parameters is not None}, resume_interval
    )
    files = [path for path in (measurement, parameters) if path is not None]
    if resume.finished(files):
        return
    rows: list[Row] = []
    if (state := resume.load()) is not None:
        training.load_state_dict(state["training"])
        rows = state["rows"]

    def part(step: int) -> str:
        return f"parameters-{step}.h5"

    job = f"train_group {name}"
    with Progress(job, shared.duration, "steps", state_directory, training.steps_done) as progress:
        while training.steps_done < shared.duration:
            to_measurement = shared.measure_every - training.steps_done % shared.measure_every
            steps = min(to_measurement, _STEPS_AT_ONCE)
            training.advance(steps)
            if steps == to_measurement:
                rows += training.measure()
                if parameters is not None:
                    checkpoint = _checkpoint(training.steps_done, training.networks)
                    with resume.parts.new(part(training.steps_done)) as path:
                        write_checkpoint(path, checkpoint, identity)
            if resume.due():
                resume.save({"training": training.state_dict(), "rows": rows})
            progress.advance(steps)
    if parameters is not None:
        measured = range(shared.measure_every, shared.duration + 1, shared.measure_every)
        parts = map(resume.parts.path, map(part, measured))
        merge_checkpoints(parameters, parts, identity, attributes)
    columns = {name: np.array([row[name] for row in rows]) for name in kinds.GENERALIZATION.fields}
    hdf5.write(measurement, kinds.GENERALIZATION, columns, identity, attributes)
    resume.finish(files)


def _checkpoint(step: int, networks: Sequence[nn.Module]) -> Checkpoint:
    """Return the parameters of all runs, stacked: [runs, ...] under the network's own names.

    It is called by the cells' steps: an agent has done no update at its first ones.
    """
    states = [network.state_dict() for network in networks]
    stacked = {name: torch.stack([state[name] for state in states]) for name in states[0]}
    return Checkpoint(step, stacked, {}, {})
