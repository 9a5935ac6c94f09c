"""Files appear whole or not at all: full disks, killed writers, what they leave behind."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import forked_scripts
import numpy as np
import polars
import pytest
import torch
from matplotlib.figure import Figure
from safetensors.torch import save_file

from td_interference import pictures
from td_interference.errors import UserError
from td_interference.storage import hdf5, kinds
from td_interference.storage.files import _ABANDONED, atomic_path, write_text

KINDS = ("hdf5", "parquet", "csv", "safetensors", "png", "pdf", "json")
MACHINE = os.uname().nodename


def write(kind, path, number):
    """Write a file of some 600 KB as the program writes its kind; its content is of the number."""
    generator = np.random.default_rng(number)
    if kind == "hdf5":
        arrays = {
            "change": generator.random((8, 10_000)),
            "step_size": np.array([0.1]),
            "relative_error": np.array([[0.5]]),
        }
        hdf5.write(path, kinds.RANDOM_NETWORKS, arrays, {"number": number})
        return
    with atomic_path(path) as temporary:
        if kind == "parquet":
            polars.DataFrame({"x": generator.random(80_000)}).write_parquet(temporary)
        elif kind == "csv":
            polars.DataFrame({"x": generator.random(35_000)}).write_csv(temporary)
        elif kind == "safetensors":
            save_file({"x": torch.from_numpy(generator.random(80_000))}, temporary)
        elif kind in ("png", "pdf"):
            figure = Figure(figsize=(5, 5))
            figure.figimage(generator.random((500, 500)))
            dates = {"CreationDate": None} if kind == "pdf" else {}
            figure.savefig(temporary, format=kind, metadata=dates, dpi=100)
        else:
            temporary.write_text(repr(generator.random(30_000).tolist()))


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    """The bytes of what `write` writes, by kind and number."""
    folder = tmp_path_factory.mktemp("wanted")
    content = {}
    for kind in KINDS:
        for number in (0, 1):
            write(kind, folder / f"x.{kind}", number)
            content[kind, number] = (folder / f"x.{kind}").read_bytes()
        assert content[kind, 0] != content[kind, 1] and len(content[kind, 0]) > 220_000
    return content


def check_refused(kind, path, content, reason):
    with pytest.raises(UserError) as error:
        write(kind, path, 1)
    line = str(error.value)
    assert str(path) in line and reason in line and "\n" not in line
    assert "nothing that was there is lost" in line
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("kind", KINDS)
def test_a_quota_leaves_the_old_file(tmp_path, wanted, kind):
    path = tmp_path / f"x.{kind}"
    path.write_bytes(wanted[kind, 0])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        check_refused(kind, path, wanted[kind, 0], "File too large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    write(kind, path, 1)
    assert path.read_bytes() == wanted[kind, 1]


@pytest.mark.parametrize("limit", [100, 2000, 6000])
def test_a_quota_in_the_middle_of_a_drawing_is_said(tmp_path, limit):
    """The library fails once more as it closes what it could not write."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pictures.style():
        figure = Figure()
        figure.subplots().plot(np.random.default_rng(0).random(500))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
        try:
            with pytest.raises(UserError, match=r"x\.pdf: cannot be written, File too large"):
                pictures.write(figure, tmp_path / "x.pdf")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """A file system of 2 MB, where this process may mount one."""
    folder = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode:
        pytest.skip(f"no file system may be mounted here ({mounted.stderr.strip()})")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_leaves_the_old_file(small_disk, wanted, kind):
    path = small_disk / kind / f"x.{kind}"
    path.parent.mkdir()
    path.write_bytes(wanted[kind, 0])
    filler = small_disk / "filler"
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize
    filler.write_bytes(bytes(free - 150_000))
    check_refused(kind, path, wanted[kind, 0], "No space left on device")
    filler.unlink()
    write(kind, path, 1)
    assert path.read_bytes() == wanted[kind, 1]
    path.unlink()


ENDLESS_WRITER = """
import itertools, os, sys
sys.path.insert(0, "{tests}")
from test_files import KINDS, write
for number in itertools.count({first}):
    for kind in KINDS:
        write(kind, f"{folder}/x.{{kind}}", number % 2)
    print(os.getpid(), flush=True)
"""


@pytest.mark.slow
def test_killed_writers_leave_the_old_files_or_the_new_ones(tmp_path, tmp_path_factory, wanted):
    script = tmp_path_factory.mktemp("writer") / "writer.py"
    environment = forked_scripts.environment(dict(os.environ))
    moments = random.Random(0)
    paths = {kind: tmp_path / f"x.{kind}" for kind in KINDS}
    interrupted = 0
    for first in range(8):
        tests = Path(__file__).parent
        script.write_text(ENDLESS_WRITER.format(tests=tests, folder=tmp_path, first=first))
        command = [sys.executable, script]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as writer:
            number = int(writer.stdout.readline())
            time.sleep(moments.uniform(0, 0.5))
            os.kill(number, signal.SIGKILL)
            writer.wait()
        for kind, path in paths.items():
            assert path.read_bytes() in (wanted[kind, 0], wanted[kind, 1]), kind
        # What it left has a name that no pattern finds but one for hidden files.
        left = set(tmp_path.iterdir()) - set(paths.values())
        assert all(path.name.startswith(".") for path in left)
        interrupted += bool(left)
    assert interrupted  # some were killed in the middle of a file
    write("json", paths["json"], 1)
    assert set(tmp_path.iterdir()) == set(paths.values())  # nothing of the killed ones is left


def test_only_dead_writers_are_cleared(tmp_path):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=1)
    dead = int(dead.stdout)
    day_ago = time.time() - _ABANDONED - 60
    files = {  # whether it stays
        f".table-{MACHINE}-{dead}-abc_1.partial.csv": False,
        f".other-{MACHINE}-{dead}-abc_1.partial": False,
        f".table-{MACHINE}-{os.getppid()}-abc_1.partial.csv": True,
        f".table-another-{MACHINE}x-{dead}-abc_1.partial.csv": True,
        f".old-elsewhere-{os.getppid()}-abc_1.partial.csv": False,
        f"table-{MACHINE}-{dead}-abc_1.partial.csv": True,  # a person's
        ".partial.csv": True,
    }
    for name in files:
        (tmp_path / name).touch()
        if "old" in name:
            os.utime(tmp_path / name, (day_ago, day_ago))
    with atomic_path(tmp_path / "table.csv") as first:
        write_text(tmp_path / "table.csv", "second")  # as another job would
        first.write_text("first")
    assert (tmp_path / "table.csv").read_text() == "first"
    left = {entry.name for entry in tmp_path.iterdir()} - {"table.csv"}
    assert left == {name for name, stays in files.items() if stays}


def test_names_of_writers_tell_process_and_machine(tmp_path):
    with atomic_path(tmp_path / "run-1.h5") as temporary:
        name = temporary.name
    assert name.startswith(f".run-1-{MACHINE}-{os.getpid()}-") and name.endswith(".partial.h5")


@pytest.mark.parametrize("place", ["below a file", "a directory", "null"])
def test_places_that_cannot_be_written_to_are_named(tmp_path, place):
    (tmp_path / "file").touch()
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    paths = {"below a file": "file/x.csv", "a directory": "folder", "null": "a\0b"}
    with pytest.raises(UserError, match="cannot be written"):
        write_text(tmp_path / paths[place], "text")
    assert {entry.name for entry in tmp_path.iterdir()} == {"file", "folder"}
