"""What the runs of the generalization experiments learn from, as their networks take it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from numpy.typing import NDArray
from torch import Tensor

from td_interference.datasets.arrays import N_CLASSES, read_dataset
from td_interference.generalization import learner
from td_interference.generalization.tasks import Split, Task
from td_interference.generalization.training import NetworkFactory
from td_interference.networks.atari import initialise
from td_interference.networks.images import image_network, mlp
from td_interference.planning.cells import CellSpec
from td_interference.planning.learners import known
from td_interference.storage.identity import of_dataset

_BRIGHTEST = 255  # of a pixel


def read_task(cells: Sequence[CellSpec], path: Path | str, device: torch.device) -> Task:
    """Return the task of the cells, of one group whose learner is no agent.

    Images are divided by 255. Features are standardised by the mean and deviation of the whole
    train split, whatever n_T, as the reported errors are: one unit for all runs. A feature that is
    constant there stays 0.

    Args:
        cells: Of one group; they say what is learned, and from how much at most.
        path: The data set's HDF5 file.
        device: To learn on.

    Raises:
        UserError: If the file is not good or of another data set, or its data do not fit the
            experiment.
    """
    name, wanted = cells[0].task, of_dataset(cells[0].dataset)
    train, test = read_dataset(path, known()[name].data, wanted)
    if known()[name].of_images:
        # The rest of the images would only take memory.
        train = train.first(max(cell.n_train for cell in cells))
        inputs = [torch.from_numpy(split.inputs) / _BRIGHTEST for split in (train, test)]
    else:
        inputs = standardised(train.inputs, test.inputs)
    targets = [torch.from_numpy(split.targets) for split in (train, test)]
    splits = [Split(*pair).to(device) for pair in zip(inputs, targets, strict=True)]
    task: Task = learner(name)(*splits)
    return task


def standardised(train: NDArray, test: NDArray) -> list[Tensor]:
    """Return features of both splits, of mean 0 and variance 1 in train.

    Args:
        train: float32 [N, features].
        test: float32 [M, features].
    """
    mean = train.mean(0, dtype="float64")
    deviation = train.std(0, dtype="float64")
    deviation[deviation == 0] = 1
    return [
        torch.from_numpy(((split - mean) / deviation).astype("float32")) for split in (train, test)
    ]


def network_factory(cell: CellSpec, task: Task) -> NetworkFactory:
    """Return what makes the networks of a cell's group for a task."""
    if known()[cell.task].of_images:
        planes = task.train.inputs.shape[1]
        build = partial(image_network, planes, N_CLASSES, cell.hidden, cell.extra_layers)
    else:
        n_inputs, n_outputs = task.train.inputs.shape[1], task.train.targets.shape[1]
        build = partial(mlp, n_inputs, n_outputs, cell.hidden, 1 + cell.extra_layers)
    return lambda generator: initialise(build(), generator)
