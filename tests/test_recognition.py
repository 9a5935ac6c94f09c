"""What files look like, and that nobody is told to delete what this program did not make."""

import gzip
import io
import json
import os
import pickle
import sys
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import save_file
from tree import ROOT

from td_interference import storage
from td_interference.agents.expert_file import load_expert
from td_interference.datasets.prepare import prepare_dataset
from td_interference.errors import UserError
from td_interference.recognition import look
from td_interference.replay import Replay
from td_interference.resume import ResumeState
from td_interference.storage.checkpoints import checkpoint_steps
from td_interference.summaries import summarise
from td_interference.table_files import read_table, write_table

AGENTS = ROOT.parent / "shared" / "agents"
WEIGHTS = {"q.weight": torch.rand(3, 2), "q.bias": torch.rand(3)}


def d4rl(path):
    with h5py.File(path, "w") as file:
        for name in ("observations", "actions", "rewards", "terminals", "timeouts"):
            file[name] = np.zeros((4, 2))


def minari(path):
    with h5py.File(path, "w") as file:
        for episode in ("episode_0", "episode_1"):
            for name in ("observations", "actions", "rewards", "terminations", "truncations"):
                file[f"{episode}/{name}"] = np.zeros((4, 2))


def keras(path):
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "2.0"
        file["model_weights/dense"] = np.zeros(3)


def plain_hdf5(path):
    with h5py.File(path, "w", userblock_size=1024) as file:
        file["x"] = np.zeros(3)


def sb3(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", "{}")
        archive.writestr("_stable_baselines3_version", "2.0")
        weights = io.BytesIO()
        torch.save(WEIGHTS, weights)
        archive.writestr("policy.pth", weights.getvalue())


def tar(path):
    with tarfile.open(path, "w") as archive:
        archive.add(__file__)


def torchscript(path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 1)), path)


def keras_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", b"")


def bytes_(content):
    return lambda path: Path(path).write_bytes(content)


FOREIGN = {
    "dqn.zip": (sb3, "a model of stable-baselines3"),
    "dqn.cleanrl_model": (lambda path: torch.save(WEIGHTS, path), "a model of CleanRL"),
    "model.pt": (lambda path: torch.save(WEIGHTS, path), "a checkpoint of PyTorch"),
    "old.pt": (
        lambda path: torch.save(WEIGHTS, path, _use_new_zipfile_serialization=False),
        "a checkpoint of PyTorch in its older format",
    ),
    "script.pt": (torchscript, "a network in TorchScript"),
    "r18.safetensors": (lambda path: save_file(WEIGHTS, path), "safetensors weights (2 tensors)"),
    "cifar10.npz": (
        lambda path: np.savez(path, x_train=np.zeros(3), y_train=np.zeros(3)),
        "an .npz file of numpy (x_train, y_train)",
    ),
    "a.npy": (lambda path: np.save(path, np.zeros(3)), "an .npy file of numpy"),
    "hopper.hdf5": (d4rl, "a d4rl data set"),
    "main_data.hdf5": (minari, "a Minari data set"),
    "keras.h5": (keras, "a Keras model"),
    "a.keras": (keras_zip, "a Keras model"),
    "other.h5": (plain_hdf5, "HDF5 without a seal"),
    "t.parquet": (lambda path: pl.DataFrame({"a": [1]}).write_parquet(path), "Parquet without a"),
    "a.pkl": (bytes_(pickle.dumps({"a": 1})), "a Python pickle"),
    "a.gz": (bytes_(gzip.compress(b"abc")), "compressed by gzip"),
    "a.tar": (tar, "a tar archive"),
    "cut.zip": (bytes_(b"PK\3\4" + b"\0" * 40), "a damaged zip archive"),
    "weights.onnx": (bytes_(b"\x08\x07\x12\x00\xff"), "a network in ONNX"),
    "a.json": (bytes_(json.dumps({"a": [1]}).encode()), "JSON"),
    "README.md": (bytes_("# λ\n".encode() * 3000), "plain text"),
    "model.h5": (bytes_(b"<!DOCTYPE html><p>404"), "a page of HTML"),
    "lfs.pt": (bytes_(b"version https://git-lfs.github.com/spec/v1\n"), "a pointer of Git LFS"),
}
READERS = [Replay.load, checkpoint_steps, load_expert, read_table, summarise]


@pytest.fixture(params=FOREIGN)
def foreign(request, tmp_path):
    make, what = FOREIGN[request.param]
    make(tmp_path / request.param)
    return tmp_path / request.param, what


def line_of(reader, path):
    with pytest.raises(UserError) as error:
        reader(path)
    line = str(error.value)
    assert line.startswith(f"{path}: ") and "\n" not in line
    return line


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_says_what_a_foreign_file_looks_like(foreign, reader):
    path, what = foreign
    before = path.read_bytes()
    line = line_of(reader, path)
    assert f"looks like {what}" in line and "of td-interference; " in line
    assert "delete" not in line and "rm " not in line and path.read_bytes() == before


@pytest.mark.parametrize("name", ["dqn.zip", "dqn.cleanrl_model", "r18.safetensors", "hopper.hdf5"])
def test_the_way_to_measure_it_is_named(tmp_path, name):
    FOREIGN[name][0](tmp_path / name)
    assert "td_interference.gradients" in line_of(summarise, tmp_path / name)


def test_at_the_place_of_a_result_it_is_moved_and_not_removed(tmp_path):
    path = tmp_path / "results" / "smoke" / "replay" / "ms_pacman-seed0.h5"
    path.parent.mkdir(parents=True)
    d4rl(path)
    line = line_of(Replay.load, path)
    assert "rm " not in line and f"mv results/smoke/replay/{path.name} " in line
    path.write_bytes(b"\0\1" * 4000)  # what nobody recognises may be rebuilt
    assert "rebuild it" in line_of(Replay.load, path) and "rm -r" in line_of(Replay.load, path)


@pytest.mark.skipif(not AGENTS.exists(), reason="the agents are not beside the repository")
@pytest.mark.parametrize("reader", READERS)
def test_real_agents_are_recognised(reader):
    for path in sorted(AGENTS.glob("*.zip")):
        assert "a model of stable-baselines3" in line_of(reader, path)


@pytest.mark.parametrize("reader", [Replay.load, load_expert, read_table])
def test_what_is_no_file_is_named_and_nothing_waits(tmp_path, reader):
    os.mkfifo(tmp_path / "pipe")
    assert line_of(reader, tmp_path / "pipe").endswith("is a named pipe, not a file")
    assert line_of(reader, tmp_path).endswith("is a directory, not a file")
    assert line_of(reader, Path("/dev/zero")).endswith("is a device, not a file")
    assert line_of(reader, tmp_path / "absent").endswith("no such file")
    assert "cannot be read (File name too long)" in line_of(reader, tmp_path / ("x" * 5000))
    (tmp_path / "empty").touch()
    assert "an empty file" in line_of(reader, tmp_path / "empty")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "cannot be read" in line_of(reader, tmp_path / "loop")


@pytest.mark.parametrize("name", ["dqn.zip", "a.npy", "README.md", "t.parquet"])
def test_a_data_set_that_is_no_npz_is_told_by_its_looks(tmp_path, name):
    FOREIGN[name][0](tmp_path / name)
    (tmp_path / name).rename(tmp_path / "own.npz")
    with pytest.raises(UserError, match=f"looks like {FOREIGN[name][1]}"):
        prepare_dataset("own", {"path": tmp_path / "own.npz", "kind": "images"}, tmp_path / "o.h5")


def test_the_projects_own_files_are_told_from_each_other(tmp_path, replay_path):
    table = tmp_path / "t.parquet"
    rows = pl.DataFrame({"mean": [1.0, 2.0], "game": ["a", "b"]})
    write_table(rows, table, tmp_path / "t.csv", {"table": "t"})
    assert "is a table (Parquet) of td-interference, not an HDF5 file" in line_of(
        Replay.load, table
    )
    assert "is an HDF5 file of td-interference, not a table" in line_of(read_table, replay_path)
    facts = summarise(table)[1]
    assert facts["rows"] == "2" and "mean 1.5" in facts["mean"] and facts["game"] == "a, b"
    assert summarise(tmp_path / "t.csv")[1]["mean"] == facts["mean"]
    state = ResumeState(tmp_path / "state", {"a": 1})
    state.save({"update_step": 3, "network": WEIGHTS})
    assert look(state.path).own == "resume"
    assert summarise(state.path)[1]["holds"] == "update_step, network"


def test_pictures_logs_and_directories_have_facts(tmp_path):
    import matplotlib

    matplotlib.use("agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([1, 2])
    figure.savefig(tmp_path / "a.pdf", metadata={"Subject": "What (is) shown"})
    figure.savefig(tmp_path / "a.png", dpi=100, metadata={"Description": "What is shown"})
    pdf, png = summarise(tmp_path / "a.pdf")[1], summarise(tmp_path / "a.png")[1]
    assert pdf["pages"] == "1" and pdf["caption"] == "What (is) shown"
    assert png["pixels"] == "200 x 100" and png["caption"] == "What is shown"
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:200])
    assert "damaged or no PNG" in line_of(summarise, tmp_path / "a.png")
    (tmp_path / "job.log").write_text("begun\nerror: x\n\n")
    assert summarise(tmp_path / "job.log")[1]["the last"] == "error: x"
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "x").write_bytes(b"1234")
    assert summarise(tmp_path)[1]["below/"] == "1 file, 4 bytes"


def test_a_hugging_face_directory_is_recognised(tmp_path):
    (tmp_path / "config.json").touch()
    (tmp_path / "model.safetensors").touch()
    assert "looks like a model of Hugging Face" in line_of(summarise, tmp_path)


def test_an_expert_is_shown(tmp_path):
    from td_interference.agents.expert_file import new_network, save_expert
    from td_interference.agents.settings import ExpertSettings

    own = ExpertSettings("seaquest", hidden=8, n_atoms=5)
    path = tmp_path / "expert.safetensors"
    save_expert(path, new_network(own, torch.Generator().manual_seed(0)), own)
    facts = summarise(path)[1]
    assert facts["game"] == "seaquest" and "n_atoms 5" in facts["settings"]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    line = line_of(summarise, path)
    assert "damaged" in line and "delete" not in line


def test_the_look_needs_no_library(tmp_path):
    """A look at a file from anywhere hands it to nobody."""
    import subprocess

    code = (
        "import sys; from td_interference import recognition as r; r.look(sys.argv[1]); "
        "assert not {'h5py', 'torch', 'polars', 'numpy'} & set(sys.modules)"
    )
    d4rl(tmp_path / "x.hdf5")
    subprocess.run([sys.executable, "-c", code, tmp_path / "x.hdf5"], check=True)


def test_a_seal_alone_does_not_make_a_file(tmp_path):
    (tmp_path / "x.h5").write_bytes(b"td-interference ")
    assert "format of another version" in line_of(
        lambda path: storage.read(path, storage.REPLAY), tmp_path / "x.h5"
    )
