"""HDF5 with a right seal but evil contents: refused in one line, and nothing else is touched."""

import warnings
import zlib

import h5py
import numpy as np
import pytest
import torch
from problems import replay_arrays

from td_interference.commands.inspection import summarise
from td_interference.errors import UserError
from td_interference.replay import Replay
from td_interference.storage import guard, hdf5, kinds
from td_interference.storage.checkpoints import (
    Checkpoint,
    merge_checkpoints,
    read_checkpoint,
    write_checkpoint,
)
from td_interference.storage.seal import BLOCK_BYTES, write_sealed

SECRET = np.arange(125, dtype=np.float32)


def change(path, how):
    """Let `how` change the open file, and seal it again as its author could."""
    with h5py.File(path, "a") as file:
        how(file, path.parent)
    write_sealed(path, path.read_bytes()[BLOCK_BYTES:])


def external_link(file, folder):
    del file["reward"]
    file["reward"] = h5py.ExternalLink(str(folder / "secret.h5"), "/secret")


def soft_link(file, folder):
    file["alias"] = h5py.SoftLink("/reward")


def soft_link_in_place(file, folder):
    file.move("reward", "hidden")
    file["reward"] = h5py.SoftLink("/hidden")


def second_name(file, folder):
    file["loop"] = file["/"]


def external_storage(file, folder):
    del file["reward"]
    place = [(str(folder / "secret.raw"), 0, SECRET.nbytes)]
    file.create_dataset("reward", (125,), np.float32, external=place)


def virtual(file, folder):
    del file["reward"]
    layout = h5py.VirtualLayout((125,), np.float32)
    layout[:] = h5py.VirtualSource(str(folder / "secret.h5"), "secret", (125,))
    file.create_virtual_dataset("reward", layout)


def unknown_filter(file, folder):
    del file["reward"]
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((125,))
    properties.set_filter(h5py.h5z.FILTER_SZIP + 32_000, h5py.h5z.FLAG_OPTIONAL, (1, 2))
    space = h5py.h5s.create_simple((125,))
    h5py.h5d.create(file.id, b"reward", h5py.h5t.NATIVE_FLOAT, space, properties)


def lzf_filter(file, folder):
    del file["reward"]
    file.create_dataset("reward", data=SECRET, chunks=(125,), compression="lzf")


def terabytes(file, folder):
    del file["frames"]
    shape = (10**12 // 84**2, 84, 84)
    file.create_dataset("frames", shape, np.uint8, chunks=(1, 84, 84), compression="gzip")


def terabytes_outside_of_the_table(file, folder):
    file.create_dataset("more", (10**13,), np.uint8, chunks=(1000,))


def huge_chunk(file, folder):
    del file["reward"]
    chunk = file.create_dataset(
        "reward", (125,), np.float32, maxshape=(None,), chunks=(2**29,), compression="gzip"
    )
    chunk.id.write_direct_chunk((0,), b"tiny")


def objects(file, folder):
    del file["reward"]
    file.create_dataset("reward", data=["text"] * 125, dtype=h5py.string_dtype())


def references(file, folder):
    file.create_dataset("reference", data=file.ref, dtype=h5py.ref_dtype)


def null_space(file, folder):
    file["nothing"] = h5py.Empty("f")


def named_type(file, folder):
    file["type"] = np.dtype("f8")


def array_attribute(file, folder):
    file.attrs["settings"] = np.zeros(1000)


def reference_attribute(file, folder):
    file["reward"].attrs["unit"] = file.ref


def typed_attribute(kind, space=None):
    """Return a change that adds an attribute of a type that h5py itself would not write."""

    def change_(file, folder):
        shape = h5py.h5s.create(h5py.h5s.SCALAR) if space is None else space
        h5py.h5a.create(file["reward"].id, b"unit2", kind, shape)

    return change_


def bomb(file, folder):
    del file["frames"]
    frames = file.create_dataset(
        "frames", (400_000, 84, 84), np.uint8, chunks=(600, 84, 84), compression="gzip"
    )
    black = zlib.compress(bytes(600 * 84 * 84), 9)
    for first in range(0, 400_000, 600):
        frames.id.write_direct_chunk((first, 0, 0), black)


HOSTILE = [
    typed_attribute(h5py.h5t.STD_REF_OBJ),
    typed_attribute(h5py.h5t.vlen_create(h5py.h5t.NATIVE_INT32)),
    typed_attribute(h5py.h5t.vlen_create(h5py.h5t.vlen_create(h5py.h5t.NATIVE_INT32))),
    typed_attribute(h5py.h5t.array_create(h5py.h5t.NATIVE_INT32, (3,))),
    typed_attribute(h5py.h5t.create(h5py.h5t.OPAQUE, 9)),
    typed_attribute(h5py.h5t.py_create(np.dtype([("a", "i4"), ("b", "f8")]))),
    typed_attribute(h5py.h5t.UNIX_D32LE),
    typed_attribute(h5py.h5t.NATIVE_INT32, h5py.h5s.create(h5py.h5s.NULL)),
    typed_attribute(h5py.h5t.NATIVE_INT32, h5py.h5s.create_simple((2,))),
    typed_attribute(h5py.h5t.NATIVE_B8),
]

EVIL = [
    *HOSTILE,
    bomb,
    external_link,
    soft_link,
    soft_link_in_place,
    second_name,
    external_storage,
    virtual,
    unknown_filter,
    lzf_filter,
    terabytes,
    terabytes_outside_of_the_table,
    huge_chunk,
    objects,
    references,
    null_space,
    named_type,
    array_attribute,
    reference_attribute,
]


@pytest.fixture
def secrets(tmp_path):
    """Files of the reader's that an evil file points at."""
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["secret"] = SECRET
    SECRET.tofile(tmp_path / "secret.raw")
    return tmp_path


@pytest.mark.parametrize("how", EVIL)
@pytest.mark.parametrize("reader", [Replay.load, summarise])
def test_evil_files_are_refused(secrets, how, reader):
    path = secrets / "replay.h5"
    hdf5.write(path, kinds.REPLAY, replay_arrays(), {})
    reader(path)
    change(path, how)
    before = {entry: entry.read_bytes() for entry in secrets.iterdir()}
    with pytest.raises(UserError) as error:
        reader(path)
    line = str(error.value)
    assert line.startswith(f"{path}: refused, not as this program writes it (") and "\n" not in line
    assert {entry: entry.read_bytes() for entry in secrets.iterdir()} == before


def test_what_is_empty_or_very_regular_is_not_refused(tmp_path):
    """Zeros compress by the most that there is; that must not look like a lie."""
    arrays = {"change": np.zeros((3000, 900)), "step_size": np.zeros(1)}
    arrays["relative_error"] = np.zeros((0, 1))
    hdf5.write(tmp_path / "x.h5", kinds.RANDOM_NETWORKS, arrays, {})
    assert (tmp_path / "x.h5").stat().st_size < 50_000
    assert hdf5.read(tmp_path / "x.h5", kinds.RANDOM_NETWORKS)["change"].shape == (3000, 900)


def renamed(old, new):
    return lambda file, folder: file.move(old, new)


def removed(name):
    return lambda file, folder: file.__delitem__(name)


def data_set_for_group(file, folder):
    del file["step_000000007/parameters"]
    file["step_000000007/parameters"] = 1.0


def group_for_tensor(file, folder):
    file.create_group("step_000000007/parameters/../../../../outside")


def step_without_group(file, folder):
    file["update_step"][0] = 8


def negative_step(file, folder):
    file["update_step"][0] = -(2**63)


def deep(file, folder):
    file.create_group("/".join(["g"] * 3000))


@pytest.mark.parametrize(
    "how",
    [
        lambda file, folder: file["step_000000007"].__setitem__(
            "frozen_parameters/evil", h5py.ExternalLink(str(folder / "secret.h5"), "/secret")
        ),
        renamed("step_000000007/optimizer/0", "step_000000007/optimizer/.."),
        renamed("step_000000007/optimizer/0", "step_000000007/optimizer/zero"),
        renamed("step_000000007/parameters", "step_000000007/../parameters"),
        removed("step_000000007/frozen_parameters"),
        removed("step_000000007"),
        data_set_for_group,
        group_for_tensor,
        step_without_group,
        negative_step,
    ],
)
def test_evil_checkpoints_are_refused(secrets, how):
    path = secrets / "folder" / "checkpoints.h5"
    weights = {"0.weight": torch.rand(3, 2)}
    write_checkpoint(path, Checkpoint(7, weights, weights, {0: weights}), {})
    (secrets / "folder" / "secret.h5").write_bytes((secrets / "secret.h5").read_bytes())
    change(path, how)
    before = set(secrets.rglob("*"))
    with pytest.raises(UserError) as error:
        merge_checkpoints(secrets / "merged.h5", [path], {})
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    if how not in (step_without_group, negative_step):
        with pytest.raises(UserError):
            read_checkpoint(path, 7)
    assert set(secrets.rglob("*")) == before


def data_set_for_parameters(file, folder):
    del file["step_000000007/parameters"]
    file["step_000000007/parameters"] = np.zeros(3)


@pytest.mark.parametrize(
    "how", [data_set_for_parameters, data_set_for_group, removed("update_step")]
)
def test_evil_checkpoints_are_not_shown(tmp_path, how):
    path = tmp_path / "checkpoints.h5"
    weights = {"0.weight": torch.rand(3, 2)}
    write_checkpoint(path, Checkpoint(7, weights, weights, {}), {})
    change(path, how)
    with pytest.raises(UserError):
        summarise(path)


def test_an_episode_of_no_step_is_refused(tmp_path):
    arrays = replay_arrays()
    of_episodes = ("episode_start", "episode_length", "episode_score")
    arrays = {key: array[: key in of_episodes] for key, array in arrays.items()}
    hdf5.write(tmp_path / "x.h5", kinds.REPLAY, arrays, {})
    for reader in (Replay.load, summarise):
        with pytest.raises(UserError):
            reader(tmp_path / "x.h5")


def test_numbers_that_overflow_are_shown_without_a_word(tmp_path):
    arrays = replay_arrays()
    arrays["monte_carlo_return"] = np.full(125, 3e38, np.float32)
    hdf5.write(tmp_path / "x.h5", kinds.REPLAY, arrays, {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "mean 3e+38" in summarise(tmp_path / "x.h5")[1]["Monte-Carlo return"]


def test_deep_groups_end(tmp_path):
    path = tmp_path / "checkpoints.h5"
    weights = {"0.weight": torch.rand(3, 2)}
    write_checkpoint(path, Checkpoint(7, weights, weights, {}), {})
    change(path, deep)
    assert read_checkpoint(path, 7).update_step == 7


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("episode_length", lambda x: x - x, "not as long"),
        ("episode_length", lambda x: -x, "not as long"),
        ("episode_length", lambda x: x + 2**40, "not as long"),
        ("episode_length", lambda x: x + np.array([1, 0, 0]), "differ in number"),
        ("episode_length", lambda x: x[[1, 0, 2]] + 0, "do not begin where"),
        ("episode_start", lambda x: x + 1, "do not begin where"),
        ("frames", lambda x: x[:-1], "differ in number"),
        ("action", lambda x: x + 200, "an action beyond"),
    ],
)
def test_contradictions_in_a_replay_are_named(tmp_path, name, value, message):
    arrays = replay_arrays()
    arrays[name] = value(arrays[name])
    hdf5.write(tmp_path / "x.h5", kinds.REPLAY, arrays, {})
    with pytest.raises(UserError, match=message):
        Replay.load(tmp_path / "x.h5")


def test_a_replay_of_nothing_is_refused(tmp_path):
    arrays = {name: array[:0] for name, array in replay_arrays().items()}
    hdf5.write(tmp_path / "x.h5", kinds.REPLAY, arrays, {})
    for reader in (Replay.load, summarise):
        with pytest.raises(UserError, match="episodes"):
            reader(tmp_path / "x.h5")


@pytest.mark.parametrize("length", [2**64 - 16, 2**64 - 1, 2**63, 5000])
def test_heaps_without_an_end_are_refused(tmp_path, length):
    """The HDF5 library walks them for ever, where no signal of Python's reaches it."""
    path = tmp_path / "replay.h5"
    hdf5.write(path, kinds.REPLAY, replay_arrays(), {"text": "of a length that varies"})
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    content[heap + 24 : heap + 32] = length.to_bytes(8, "little")
    write_sealed(path, content[BLOCK_BYTES:])
    with pytest.raises(UserError, match=r"refused.*heap of texts has no end"):
        summarise(path)


def test_heaps_with_an_empty_rest_that_has_no_size_are_refused(tmp_path):
    path = tmp_path / "replay.h5"
    hdf5.write(path, kinds.REPLAY, replay_arrays(), {})
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    content[heap + 16 : heap + 18], content[heap + 24 : heap + 32] = b"\0\0", bytes(8)
    write_sealed(path, content[BLOCK_BYTES:])
    with pytest.raises(UserError, match="heap of texts has no end"):
        summarise(path)


def test_what_is_large_for_good_reason_is_read(tmp_path):
    """Black frames, a megabyte of them, are nothing to refuse."""
    with h5py.File(tmp_path / "x", "w") as file:
        file.create_dataset("x", data=np.zeros(30_000_000, np.uint8), chunks=True, compression=4)
        guard.check_objects(file, (tmp_path / "x").stat().st_size)


@pytest.mark.parametrize("changes", [30, pytest.param(300, marks=pytest.mark.slow)])
def test_changed_bytes_under_a_right_seal_end_in_a_line(tmp_path, changes):
    """The parts that hold the structure, byte by byte; a longer search found the cases above."""
    path = tmp_path / "replay.h5"
    hdf5.write(path, kinds.REPLAY, replay_arrays(), {"run": {"a": 1}, "x": 1.5, "b": True})
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(changes):
        changed = bytearray(content)
        changed[int(generator.integers(BLOCK_BYTES, 20_000))] ^= 1 << int(generator.integers(8))
        write_sealed(path, changed[BLOCK_BYTES:])
        for reader in (summarise, Replay.load):
            try:
                reader(path)
            except UserError as error:
                assert "\n" not in str(error)
