"""HDF5 files: round trips, and one clear line on everything that is not right."""

import h5py
import numpy as np
import pytest
import torch
from problems import replay_arrays

from td_interference.errors import UserError
from td_interference.storage import hdf5, kinds
from td_interference.storage.checkpoints import (
    Checkpoint,
    check_parameters,
    merge_checkpoints,
    read_checkpoint,
    write_checkpoint,
)
from td_interference.storage.seal import BLOCK_BYTES, write_sealed


def test_round_trip(arrays, replay_path):
    read = hdf5.read(replay_path, kinds.REPLAY)
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert np.array_equal(read[name], array), name
    attributes = hdf5.read_attributes(replay_path)
    assert attributes["settings"] == {"epsilon": 0.05}
    assert "torch" in attributes["library_versions"]


def test_files_explain_themselves(replay_path):
    with h5py.File(replay_path) as file:
        for name in kinds.REPLAY.fields:
            assert file[name].attrs["description"] and "unit" in file[name].attrs
            assert file[name].fletcher32


def test_appended_rows_equal_rows_written_at_once(tmp_path, arrays):
    with hdf5.create(tmp_path / "parts.h5", kinds.REPLAY, {}) as writer:
        for name, array in arrays.items():
            writer.append(name, array[:2])
            writer.append(name, array[2:])
    read = hdf5.read(tmp_path / "parts.h5", kinds.REPLAY)
    assert all(np.array_equal(read[name], array) for name, array in arrays.items())


def test_same_arrays_same_bytes(tmp_path, arrays):
    for name in ("a.h5", "b.h5"):
        hdf5.write(tmp_path / name, kinds.REPLAY, arrays, {"seed": 1})
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_nothing_appears_when_writing_fails(tmp_path, arrays):
    path = tmp_path / "replay.h5"
    hdf5.write(path, kinds.REPLAY, arrays, {})
    before = path.read_bytes()
    with (
        pytest.raises(RuntimeError, match="power cut"),
        hdf5.create(path, kinds.REPLAY, {}) as writer,
    ):
        writer.append("action", arrays["action"])
        raise RuntimeError("power cut")
    with pytest.raises(ValueError, match="without"):
        hdf5.write(path, kinds.REPLAY, {"action": arrays["action"]}, {})
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["replay.h5"]


def broken(path, how):
    """Damage a file; what is no accident gets a seal that is right."""
    damage(path, how)
    if how in ("other version", "missing data set", "wrong dtype", "wrong length", "external link"):
        write_sealed(path, path.read_bytes()[BLOCK_BYTES:])


def damage(path, how):
    if how == "missing":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif how == "text":
        path.write_text("no HDF5")
    elif how == "foreign":
        with h5py.File(path, "w") as file:
            file["x"] = 1
    elif how == "flipped bit":
        with h5py.File(path) as file:
            offset = file["frames"].id.get_chunk_info(0).byte_offset
        content = bytearray(path.read_bytes())
        content[offset + 100] ^= 1
        path.write_bytes(content)
    elif how == "other version":
        with h5py.File(path, "a") as file:
            file.attrs["schema_version"] = 99
    elif how == "missing data set":
        with h5py.File(path, "a") as file:
            del file["reward"]
    elif how == "wrong dtype":
        with h5py.File(path, "a") as file:
            del file["reward"]
            file["reward"] = np.zeros(125, dtype=np.float64)
    elif how == "wrong length":
        with h5py.File(path, "a") as file:
            del file["reward"]
            file["reward"] = np.zeros(7, dtype=np.float32)
    elif how == "external link":
        with h5py.File(path, "a") as file:
            del file["reward"]
            file["reward"] = h5py.ExternalLink("/etc/hostname", "/reward")


@pytest.mark.parametrize(
    "how",
    [
        "missing",
        "empty",
        "truncated",
        "text",
        "foreign",
        "flipped bit",
        "other version",
        "missing data set",
        "wrong dtype",
        "wrong length",
        "external link",
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, arrays, how):
    path = tmp_path / "ms_pacman-seed0.h5"
    hdf5.write(path, kinds.REPLAY, arrays, {})
    broken(path, how)
    with pytest.raises(UserError) as error:
        hdf5.read(path, kinds.REPLAY)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_wrong_kind_is_named(replay_path):
    with pytest.raises(UserError, match="holds replay, but gain is needed"):
        hdf5.read(replay_path, kinds.MEASUREMENTS["gain"])


def test_writer_refuses_what_the_table_does_not_say(tmp_path):
    arrays = replay_arrays()
    with (
        pytest.raises(ValueError, match="no field"),
        hdf5.create(tmp_path / "x.h5", kinds.REPLAY, {}) as writer,
    ):
        writer.append("rewards", arrays["reward"])
    with (
        pytest.raises(ValueError, match="expected"),
        hdf5.create(tmp_path / "x.h5", kinds.REPLAY, {}) as writer,
    ):
        writer.append("frames", arrays["frames"][:, :80])


def checkpoint(step):
    generator = torch.Generator().manual_seed(step)
    weights = {"0.weight": torch.rand(3, 2, generator=generator), "0.bias": torch.rand(3)}
    momenta = {0: {"exp_avg": torch.rand(3, 2), "step": torch.tensor(float(step))}}
    return Checkpoint(step, weights, {name: t + 1 for name, t in weights.items()}, momenta)


def test_checkpoints_round_trip_and_merge(tmp_path):
    originals = [checkpoint(step) for step in (5, 1000)]
    for original in originals:
        write_checkpoint(tmp_path / f"{original.update_step}.h5", original, {})
    merge_checkpoints(tmp_path / "all.h5", [tmp_path / "5.h5", tmp_path / "1000.h5"], {})
    for original in originals:
        read = read_checkpoint(tmp_path / "all.h5", original.update_step)
        torch.testing.assert_close(tuple(read), tuple(original), rtol=0, atol=0)
    merge_checkpoints(tmp_path / "again.h5", [tmp_path / "all.h5"], {})  # a part with several
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "all.h5").read_bytes()
    with pytest.raises(UserError, match="no checkpoint of update step 7"):
        read_checkpoint(tmp_path / "all.h5", 7)


def test_checkpoint_of_another_network_is_refused():
    other = torch.nn.Sequential(torch.nn.Linear(2, 4))
    with pytest.raises(UserError, match=r"run\.h5: holds another network: parameter 0\.bias"):
        check_parameters("run.h5", other, checkpoint(5).parameters)
