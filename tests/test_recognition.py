"""What files look like, and that nobody is told to delete what this program did not make."""

import gzip
import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest
import torch
from checkpoint_files import checkpoint_steps
from safetensors.torch import save_file
from tree import ROOT

from td_interference.agents.expert.file import load_expert
from td_interference.commands.summaries import summarise
from td_interference.datasets.prepare import prepare_dataset
from td_interference.errors import UserError
from td_interference.jobs.resume import ResumeState
from td_interference.replay import Replay
from td_interference.storage import hdf5, kinds
from td_interference.storage.parquet import read_table, write_table
from td_interference.storage.recognition import look, refusal

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


# Of the newest format of HDF5, where nothing parts a name from the number that follows it.
NEWEST_MINARI = b"\x89HDF\r\n\x1a\n" + b"".join(
    bytes([len(name)]) + name + b"H\0" for name in (b"episode_0", b"observations", b"terminations")
)


def far_hdf5(path):
    with h5py.File(path, "w", userblock_size=8192) as file:
        file["x"] = np.zeros(3)


def tar_of_hdf5(path):
    d4rl(path.with_suffix(".hdf5"))
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.add(path.with_suffix(".hdf5"), "first.hdf5")


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


def odd_npz(path):
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("a\nb\x1b[31m", "x" * 60_000):
            archive.writestr(f"{name}.npy", b"")


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
    "gif.safetensors": (bytes_(b"GIF89a" + bytes(30)), "a GIF picture"),
    "odd.npz": (odd_npz, "an .npz file of numpy (a b\\x1b[31m, " + 40 * "x" + ")"),
    "cifar10.npz": (
        lambda path: np.savez(path, x_train=np.zeros(3), y_train=np.zeros(3)),
        "an .npz file of numpy (x_train, y_train)",
    ),
    "a.npy": (lambda path: np.save(path, np.zeros(3)), "an .npy file of numpy"),
    "hopper.hdf5": (d4rl, "a d4rl data set"),
    "main_data.hdf5": (minari, "a Minari data set"),
    "newest.hdf5": (bytes_(NEWEST_MINARI), "a Minari data set"),
    "far.h5": (far_hdf5, "HDF5 without a seal"),
    "hdf5.tar": (tar_of_hdf5, "a tar archive"),
    "PKU.txt": (bytes_(b"PKU is a university"), "plain text"),
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
    for content in (b"\0\1" * 4000, b"", b"td-interferencf file 1"):  # nobody knows whose it is
        path.write_bytes(content)
        line = line_of(Replay.load, path)
        assert "rm " not in line and f"mv results/smoke/replay/{path.name} " in line
    write_table(pl.DataFrame({"a": [1]}), path, tmp_path / "t.csv", {"table": "t"})
    line = line_of(Replay.load, path)  # ours, at the place of another
    assert "is a table (Parquet) of td-interference, not an HDF5 file; move it away" in line


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
    assert look(state.last_good).own == "resume"
    assert summarise(state.last_good)[1]["holds"] == "update_step, network"


def test_what_is_moved_away_never_replaces_what_was_moved_before(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "results" / "smoke" / "replay" / "ms_pacman-seed0.h5"
    place.parent.mkdir(parents=True)
    for number, name in enumerate(["foreign", "foreign1", "foreign2"]):
        place.write_text(f"theirs {number}")
        advice = str(refusal(place, "a D*")).partition("mv ")[2].partition(" && ")[0]
        assert (
            advice == f"results/smoke/replay/{place.name} results/smoke/replay/{place.name}.{name}"
        )
        subprocess.run(f"mv {advice}", shell=True, check=True)
    assert sorted(path.read_text() for path in place.parent.iterdir()) == [
        "theirs 0", "theirs 1", "theirs 2",
    ]  # fmt: skip


@pytest.mark.parametrize("suffix", [".csv", ".log", ".pdf", ".png", ".parquet", ".safetensors"])
@pytest.mark.parametrize("name", ["dqn.zip", "a.npy", "hopper.hdf5", "r18.safetensors", "a.pkl"])
def test_no_name_makes_a_foreign_file_ours(tmp_path, name, suffix):
    FOREIGN[name][0](tmp_path / name)
    (tmp_path / name).rename(tmp_path / f"x{suffix}")
    assert f"looks like {FOREIGN[name][1]}" in line_of(summarise, tmp_path / f"x{suffix}")


@pytest.mark.parametrize("reader", [Replay.load, summarise])
def test_a_file_of_holes_fills_no_memory(tmp_path, reader):
    """A seal before two terabytes of nothing, and a name that has its digest computed."""
    for name, head in (("x.h5", b"td-interference file 1"), ("state-1.pt", b"PK\5\6")):
        with (tmp_path / name).open("wb") as file:
            file.write(head)
            file.truncate(2 << 40)
        line = line_of(reader, tmp_path / name)
        assert "of memory, of which" in line or "zip archive" in line


class Evil:
    """What makes a folder when it is unpickled."""

    def __init__(self, trap):
        self.trap = trap

    def __reduce__(self):
        return os.mkdir, (str(self.trap),)


@pytest.mark.parametrize("state", ["evil", 3, [1]])
def test_a_resume_state_from_anywhere_runs_nothing(tmp_path, state):
    trap, content = tmp_path / "trap", io.BytesIO()
    held = Evil(trap) if state == "evil" else state
    torch.save({"version": 4, "identity": "", "parts": {}, "state": held}, content)
    path = tmp_path / "state-000001.pt"
    path.write_bytes(content.getvalue() + hashlib.sha256(content.getvalue()).digest())
    line = line_of(summarise, path)
    assert "not a resume state" in line and "weights_only" not in line and not trap.exists()


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
    assert "begins as a PNG and does not go on so" in line_of(summarise, tmp_path / "a.png")
    (tmp_path / "job.log").write_bytes(b"begun\n\0\xff\nerror: x\n\n")
    assert summarise(tmp_path / "job.log")[1]["the last"] == "error: x"
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "x").write_bytes(b"1234")
    assert summarise(tmp_path)[1]["below/"] == "1 file, 4 bytes"


@pytest.mark.parametrize(
    "weights", ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"]
)
def test_a_hugging_face_directory_is_recognised(tmp_path, weights):
    (tmp_path / "config.json").touch()
    (tmp_path / weights).touch()
    assert "looks like a model of Hugging Face" in line_of(summarise, tmp_path)


def test_an_expert_is_shown(tmp_path):
    from td_interference.agents.expert.file import new_network, save_expert
    from td_interference.planning.expert import ExpertSettings

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
        "import sys; from td_interference.storage import recognition as r; r.look(sys.argv[1]); "
        "assert not {'h5py', 'torch', 'polars', 'numpy'} & set(sys.modules)"
    )
    d4rl(tmp_path / "x.hdf5")
    subprocess.run([sys.executable, "-c", code, tmp_path / "x.hdf5"], check=True)


def test_a_seal_alone_does_not_make_a_file(tmp_path):
    (tmp_path / "x.h5").write_bytes(b"td-interference ")
    assert "format of another version" in line_of(
        lambda path: hdf5.read(path, kinds.REPLAY), tmp_path / "x.h5"
    )
