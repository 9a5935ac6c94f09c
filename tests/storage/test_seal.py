"""Damage of every kind of file is found, whoever reads it; many may read at once, without locks."""

import fcntl
import itertools
import os
import random
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import h5py
import numpy as np
import pytest
import torch
from problems import replay_arrays

from td_interference.commands.inspection import summarise
from td_interference.datasets import entry
from td_interference.datasets.arrays import DatasetArrays, Split, read_dataset, write_dataset
from td_interference.errors import UserError
from td_interference.replay import Replay
from td_interference.storage import hdf5, kinds
from td_interference.storage.checkpoints import (
    Checkpoint,
    merge_checkpoints,
    read_checkpoint,
    write_checkpoint,
)
from td_interference.storage.seal import BLOCK_BYTES, write_sealed

GAIN = kinds.MEASUREMENTS["gain"]


def write_file(kind, path):
    generator = np.random.default_rng(0)
    if kind == "replay":
        hdf5.write(path, kinds.REPLAY, replay_arrays(), {"seed": 0})
    elif kind == "checkpoints":
        weights = {"weight": torch.rand(30, 20), "bias": torch.rand(())}
        write_checkpoint(path, Checkpoint(7, weights, weights, {0: weights}), {"run": {"seed": 0}})
    elif kind == "dataset":
        split = Split(generator.random((9, 3)), generator.random((9, 1)))
        write_dataset(path, entry("diabetes"), DatasetArrays(split, split), {})
    else:
        sizes = dict(zip(["checkpoint", "minibatch", "offset"], (2, 3, 5), strict=True))
        arrays = {
            name: generator.random([sizes.get(size, 4) for size in field.dimensions])
            for name, field in GAIN.fields.items()
        }
        hdf5.write(path, GAIN, arrays, {})


READERS = {
    "replay": [Replay.load, lambda path: hdf5.read(path, kinds.REPLAY), summarise],
    "checkpoints": [
        lambda path: read_checkpoint(path, 7),
        lambda path: merge_checkpoints(path.with_name("merged.h5"), [path], {}),
        lambda path: hdf5.read_attributes(path, kinds.CHECKPOINTS),
        summarise,
    ],
    "dataset": [lambda path: read_dataset(path, "regression"), summarise],
    "measurement": [lambda path: hdf5.read(path, GAIN), summarise],
}
CASES = [(kind, reader) for kind, readers in READERS.items() for reader in readers]


def refusal(reader, path):
    with pytest.raises(UserError) as error:
        reader(path)
    line = str(error.value)
    assert str(path) in line and "\n" not in line
    assert "rm " not in line and "delete" not in line  # for it lies nowhere below results/
    assert not path.with_name("merged.h5").exists()
    return line


@pytest.mark.parametrize(("kind", "reader"), CASES)
def test_every_flipped_bit_is_found(tmp_path, kind, reader):
    path = tmp_path / "file.h5"
    write_file(kind, path)
    reader(path)
    path.with_name("merged.h5").unlink(missing_ok=True)
    content = path.read_bytes()
    choice = random.Random(0)
    offsets = [*range(0, BLOCK_BYTES, 16)]  # the seal itself
    offsets += [choice.randrange(len(content)) for _ in range(300)]
    for offset in offsets:
        flipped = bytearray(content)
        flipped[offset] ^= 1 << choice.randrange(8)
        path.write_bytes(flipped)
        refusal(reader, path)


@pytest.mark.parametrize(("kind", "reader"), CASES)
def test_truncated_longer_and_empty_files_are_found(tmp_path, kind, reader):
    path = tmp_path / "file.h5"
    write_file(kind, path)
    content = path.read_bytes()
    for length in (0, 1, 100, BLOCK_BYTES, BLOCK_BYTES + 1, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        line = refusal(reader, path)
        assert ("an empty file" in line) == (length == 0)
    path.write_bytes(content + b"\0")
    assert "damaged" in refusal(reader, path)


@pytest.mark.parametrize(("kind", "reader"), CASES)
def test_files_of_others_are_told_from_damaged_ones(tmp_path, kind, reader):
    path = tmp_path / "file.h5"
    write_file(kind, path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"file 1, SHA", b"file 2, SHA", 1))
    assert "format of another version" in refusal(reader, path)
    path.write_bytes(content[BLOCK_BYTES:])
    assert "HDF5 without a seal" in refusal(reader, path)
    path.write_bytes(b"no HDF5" * 100)
    assert "looks like plain text, not an HDF5 file" in refusal(reader, path)


def test_other_tools_read_the_file(tmp_path):
    write_file("replay", tmp_path / "file.h5")
    with h5py.File(tmp_path / "file.h5") as file:
        assert file.userblock_size == BLOCK_BYTES
        assert np.array_equal(file["frames"][()], replay_arrays()["frames"])


def test_the_digest_is_that_of_common_tools(tmp_path):
    path = tmp_path / "file.h5"
    write_file("replay", path)
    command = f"tail -c +{BLOCK_BYTES + 1} {path} | sha256sum"
    digest = subprocess.run(command, shell=True, capture_output=True, check=True).stdout.split()[0]
    assert path.read_bytes().split(b"\n")[0].endswith(b": " + digest)


def digest_of_frames(path):
    return int(hdf5.read(path, kinds.REPLAY)["frames"].sum())


def test_many_processes_read_one_file(tmp_path):
    path = tmp_path / "file.h5"
    write_file("replay", path)
    with ProcessPoolExecutor(4, mp_context=get_context("fork")) as pool:
        sums = set(pool.map(digest_of_frames, itertools.repeat(path, 40)))
    assert sums == {int(replay_arrays()["frames"].sum())}


READER = "from td_interference.storage import hdf5, kinds; hdf5.read({!r}, kinds.REPLAY)"


@pytest.mark.parametrize("locking", ["TRUE", "FALSE", "BEST_EFFORT", None])
def test_no_lock_is_asked_for(tmp_path, locking):
    """Another process's exclusive lock stops no reader and no writer, whatever HDF5 is told."""
    path = tmp_path / "file.h5"
    write_file("replay", path)
    environment = {k: v for k, v in os.environ.items() if k != "HDF5_USE_FILE_LOCKING"}
    if locking:
        environment["HDF5_USE_FILE_LOCKING"] = locking
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        code = READER.format(str(path))
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        write_file("replay", path)
    digest_of_frames(path)


def test_a_file_replaced_while_it_is_read_stays_what_it_was(tmp_path):
    path = tmp_path / "file.h5"
    write_file("replay", path)
    with hdf5.opened(path, kinds.REPLAY) as file:
        write_sealed(path, b"something else")
        path.unlink()
        assert np.array_equal(file["frames"][()], replay_arrays()["frames"])
