"""Checkpoints in HDF5: a group per update step with the tensors of network and optimizer.

Tensors are stored as plain arrays, never pickled, so a checkpoint from anywhere is safe to read.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import h5py
import numpy as np
import torch
from torch import Tensor, nn

from td_interference.errors import UserError, rebuild
from td_interference.storage.attributes import identity_of, parse_attributes
from td_interference.storage.hdf5 import Writer, create, numbers, opened
from td_interference.storage.identity import Identity
from td_interference.storage.kinds import CHECKPOINTS

Tensors = dict[str, Tensor]


class Checkpoint(NamedTuple):
    """The state of a training run after `update_step` updates."""

    update_step: int
    parameters: Tensors  # by the network's own names
    frozen_parameters: Tensors  # of the network that gives the bootstrap values, if there is one
    optimizer: dict[int, Tensors]  # by position of the parameter; empty for plain SGD

    @classmethod
    def of(
        cls,
        update_step: int,
        network: nn.Module,
        frozen_network: nn.Module,
        optimizer: torch.optim.Optimizer,
    ) -> Self:
        """Return the present state of a training; its tensors are those that go on to change."""
        moments = {
            # SGD keeps a None without momentum.
            position: {name: value for name, value in state.items() if isinstance(value, Tensor)}
            for position, state in optimizer.state_dict()["state"].items()
        }
        networks = dict(network.state_dict()), dict(frozen_network.state_dict())
        return cls(update_step, *networks, moments)


def _group_name(update_step: int) -> str:
    return f"step_{update_step:09d}"


def write_checkpoint(
    path: Path | str,
    checkpoint: Checkpoint,
    identity: Identity,
) -> None:
    """Write a file with one checkpoint of what `identity` says."""
    with create(path, CHECKPOINTS, identity) as writer:
        writer.append("update_step", np.array([checkpoint.update_step]))
        _write_tensors(writer, checkpoint)


def _write_tensors(writer: Writer, checkpoint: Checkpoint) -> None:
    group = _group_name(checkpoint.update_step)
    for part, tensors in (
        ("parameters", checkpoint.parameters),
        ("frozen_parameters", checkpoint.frozen_parameters),
    ):
        writer.group(f"{group}/{part}")  # there also where it is empty: a missing one is a fault
        for name, tensor in tensors.items():
            writer.tensor(f"{group}/{part}/{name}", _array(tensor))
    for position, state in checkpoint.optimizer.items():
        for name, tensor in state.items():
            writer.tensor(f"{group}/optimizer/{position}/{name}", _array(tensor))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().contiguous().numpy()


class CheckpointFile:
    """The checkpoints in one open file, which is read and compared with its digest once for all."""

    def __init__(self, path: Path, file: h5py.File):
        self.path, self._file = path, file

    @property
    def steps(self) -> list[int]:
        """Update steps at which there are checkpoints."""
        return [int(step) for step in self._file["update_step"][()]]

    @property
    def attributes(self) -> dict[str, Any]:
        """The file's attributes, JSON ones parsed."""
        return parse_attributes(self._file)

    @property
    def identity(self) -> Identity:
        """What the file says it is of."""
        return identity_of(self._file)

    def read(self, update_step: int) -> Checkpoint:
        """Return the checkpoint taken after `update_step` updates.

        Raises:
            UserError: If there is none, or it is not good.
        """
        name = _group_name(update_step)
        if name not in self._file:
            raise UserError(f"{self.path}: has no checkpoint of update step {update_step}")
        group = self._file[name]
        try:
            optimizer = {
                int(position): _tensors(self.path, state)
                for position, state in group.get("optimizer", {}).items()
            }
            return Checkpoint(
                update_step,
                _tensors(self.path, group["parameters"]),
                _tensors(self.path, group["frozen_parameters"]),
                optimizer,
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{self.path}: '{name}' is not a checkpoint ({error}); {rebuild(self.path)}"
            ) from None


@contextmanager
def open_checkpoints(path: Path | str, wanted: Identity | None = None) -> Iterator[CheckpointFile]:
    """Open a file of checkpoints, which is in memory until the block ends.

    Args:
        path: The file.
        wanted: What it must be of; None to take any.

    Raises:
        UserError: If the file is not good, or of something else.
    """
    with opened(path, CHECKPOINTS, wanted) as file:
        yield CheckpointFile(Path(path), file)


def merge_checkpoints(
    path: Path | str,
    parts: Iterable[Path | str],
    identity: Identity,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Write one file that holds the checkpoints of `parts`, in their order, all of one identity.

    Raises:
        UserError: If a part is not good, or of something else.
    """
    steps = []
    with create(path, CHECKPOINTS, identity, attributes) as writer:
        for part in parts:
            with open_checkpoints(part, identity) as checkpoints:
                for step in checkpoints.steps:
                    _write_tensors(writer, checkpoints.read(step))
                    steps.append(step)
        writer.append("update_step", np.array(steps, dtype=np.int64))


def read_checkpoint(path: Path | str, update_step: int) -> Checkpoint:
    """Return one checkpoint of a file; for several, `open_checkpoints` reads the file once.

    Raises:
        UserError: If the file is not good or has no such checkpoint.
    """
    with open_checkpoints(path) as checkpoints:
        return checkpoints.read(update_step)


def _tensors(path: Path | str, group: h5py.Group) -> Tensors:
    return {name: torch.from_numpy(numbers(path, item)) for name, item in group.items()}


def check_parameters(path: Path | str, network: nn.Module, parameters: Tensors) -> None:
    """Compare a checkpoint's parameters with a network's.

    Raises:
        UserError: Names the first parameter that differs.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in parameters.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise UserError(
                f"{path}: holds another network: parameter {name} is "
                f"{found.get(name, 'absent')} there, {expected.get(name, 'absent')} in this run's "
                "network; use the checkpoints of this run, or train it again"
            )
