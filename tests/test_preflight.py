"""Places that cannot be written to and files from the future are named before anything runs."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import forked
import pytest
from tree import copy_tree

from td_interference.errors import UserError
from td_interference.planning import preflight

NOBODY = 54321  # an id without a name
SNAKEMAKE = Path(sys.executable).parent / "snakemake"


@pytest.fixture
def project(tmp_path):
    """A directory with some results, which anybody may write to."""
    for name in ("results/smoke/replay/d.h5", "results/smoke/runs/r/windows/w.h5"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    for name in ("results/smoke/logs/train_run/r.log", "results/smoke/state/s/progress.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / ".snakemake" / "locks").mkdir(parents=True)
    for path in [tmp_path, *tmp_path.rglob("*")]:
        path.chmod(0o777)
    for parent in tmp_path.parents:
        if parent.stat().st_mode & 0o1 == 0:
            parent.chmod(0o755)
    return tmp_path


def fault(project, **options):
    """What the check says, in one line; nothing, if it is content."""
    try:
        preflight.check(project, project / "results" / "smoke", **options)
    except UserError as error:
        assert "\n" not in str(error)
        return str(error)
    return ""


def fault_for_nobody(project):
    """The same in a process of another user, without a name."""
    if os.getuid() != 0:
        pytest.skip("needs root, to be another user")
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            said = fault(project)
        except BaseException as error:
            said = repr(error)
        os.write(write, said.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as file:
        return file.read()


def test_nothing_is_wrong_with_a_usual_directory(project, tmp_path_factory):
    assert fault(project) == fault_for_nobody(project) == ""
    assert fault(tmp_path_factory.mktemp("empty")) == ""


@pytest.mark.parametrize(
    "place",
    [
        ".snakemake",
        ".snakemake/locks",
        "results",
        "results/smoke",
        "results/smoke/logs",
        "results/smoke/logs/train_run/r.log",
        "results/smoke/replay",
        "results/smoke/runs/r",
        "results/smoke/state/s",
    ],
)
@pytest.mark.parametrize("mode", [0o755, 0o555, 0o700])
def test_a_place_of_somebody_else_is_named(project, place, mode):
    (project / place).chmod(mode)
    said = fault_for_nobody(project)
    assert said.startswith(f"{project / place}: cannot be written to")
    assert f"you are user {NOBODY}" in said and "chown" in said


def test_a_directory_to_be_made_needs_a_place(tmp_path):
    tmp_path.parent.parent.chmod(0o755), tmp_path.parent.chmod(0o755), tmp_path.chmod(0o755)
    assert fault_for_nobody(tmp_path).startswith(f"{tmp_path}: cannot be written to")


@pytest.mark.parametrize("name", ["replay/d.h5", "runs/r/windows/w.h5"])
@pytest.mark.parametrize("ahead", [120.0, 86_400.0, 1e9])
def test_a_result_from_the_future_is_named(project, name, ahead):
    path = project / "results" / "smoke" / name
    os.utime(path, (time.time(), time.time() + ahead))
    said = fault(project)
    assert said.startswith(f"{path}: was modified in the future") and "cp -a" in said
    os.utime(path)
    assert fault(project) == ""


def test_a_result_behind_links_is_looked_at(project):
    """Such as a D* on another disk; a link that leads in a circle is followed once, or never."""
    (project / "results" / "smoke" / "replay").rename(project / "disk")
    (project / "results" / "smoke" / "replay").symlink_to(project / "disk")
    (project / "disk" / "up").symlink_to(project / "results" / "smoke")
    (project / "disk" / "loop").symlink_to("loop")
    (project / "disk" / "nowhere").symlink_to("absent")
    (project / "results" / "smoke" / "logs" / "nowhere").symlink_to("absent")
    assert fault(project) == ""
    looked_at = list(preflight._below(project / "results" / "smoke"))
    assert len(looked_at) == len({os.path.abspath(path) for path in looked_at}) < 20
    os.utime(project / "disk" / "d.h5", (0, time.time() + 3600))
    said = fault(project)
    assert said.startswith(
        f"{project}/results/smoke/replay/d.h5: was modified in the future (1.0 h"
    )


def test_what_is_gone_meanwhile_is_no_fault(project):
    """Another Snakemake may be at work beside this one."""
    preflight._require_writable(project / "gone")
    preflight._require_past(project / "gone", time.time())


@pytest.mark.parametrize("place", ["results", "results/smoke", ".snakemake"])
@pytest.mark.parametrize("kind", ["a file", "a link to nowhere"])
def test_what_is_no_directory_is_named(project, place, kind):
    path = project / place
    shutil.rmtree(path)
    path.touch() if kind == "a file" else path.symlink_to("absent")
    assert fault(project).startswith(f"{path}: is no directory")


def test_what_no_job_reads_may_be_from_anywhen(project):
    for name in ("logs/train_run/r.log", "state/s/progress.json"):
        os.utime(project / "results" / "smoke" / name, (0, time.time() + 1e6))
    assert fault(project) == ""


def test_so_is_a_file_of_the_user(project):
    own = project / "objective.py"
    own.write_text("")
    os.utime(own, (0, time.time() + 3600))
    assert fault(project, inputs=[own]).startswith(f"{own}: was modified in the future")
    assert fault(project, inputs=[project / "absent.npz"]) == ""


def test_a_small_difference_of_two_clocks_does_not_matter(project):
    assert fault(project, now=time.time() - 30) == ""


def test_snakemake_says_so_before_anything_runs(tmp_path):
    copy_tree(tmp_path)
    dataset = tmp_path / "results" / "smoke" / "datasets" / "digits.h5"
    dataset.parent.mkdir(parents=True)
    dataset.write_text("x")
    os.utime(dataset, (0, time.time() + 86_400))
    done = forked.snakemake(["-n", "--config", "scale=smoke", "--", "results/fig1.pdf"], tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" not in said
    assert "results/smoke/datasets/digits.h5: was modified in the future" in said
    assert dataset.read_text() == "x"


@pytest.mark.parametrize(
    ("user", "before", "after"),
    [
        (NOBODY, {}, {"USER": f"uid{NOBODY}"}),
        (NOBODY, {"USER": ""}, {"USER": f"uid{NOBODY}"}),
        (NOBODY, {"USER": "ada"}, {"USER": "ada"}),
        (0, {}, {}),
    ],
)
def test_a_user_without_a_name_is_given_one(user, before, after):
    preflight.name_user(user, before)
    assert before == after


@pytest.mark.parametrize("megabytes", [100, 1200, 3900])
def test_too_little_address_space_for_torch_is_said(megabytes):
    preflight.check_memory_limit()
    preflight.check_memory_limit(4100)
    with pytest.raises(UserError, match=f"{megabytes} MB of address space .*ulimit -v"):
        preflight.check_memory_limit(megabytes)


def test_snakemake_under_a_limit_says_so(tmp_path):
    copy_tree(tmp_path)
    command = f"ulimit -v 1200000; exec {SNAKEMAKE} -n --config scale=smoke -- results/fig1.pdf"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" not in said
    assert "1229 MB of address space" in said


@pytest.mark.parametrize(
    "allocate",
    [
        "import numpy; numpy.ones(10**13)",
        "import torch; torch.ones(10**13)",
        "b'x' * 10**14",
        "raise OSError(12, 'Cannot allocate memory')",
    ],
)
def test_memory_that_cannot_be_had_ends_a_job_in_one_line(allocate):
    program = (
        "from td_interference.errors import one_line_errors\n"
        f"with one_line_errors():\n    {allocate}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 1 and done.stderr.startswith("error: not enough memory (")
    assert done.stderr.count("\n") == 1
