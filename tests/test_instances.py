"""Snakemake's lock: cleared after a kill, left alone while somebody is or may be at work."""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from td_interference.errors import UserError
from td_interference.jobs import snakemake_lock
from td_interference.jobs.ownership import Owner

# What Snakemake does with its lock, with time between looking and writing.
PROGRAM = """
import sys, time
from pathlib import Path
from td_interference.jobs import snakemake_lock
locks = Path(sys.argv[1]) / ".snakemake" / "locks"
sys.stdin.readline()
snakemake_lock.begin(sys.argv[1])
if any(locks.glob("*.lock")):
    print("refused", flush=True)
else:
    time.sleep(0.02)
    (locks / f"{time.time_ns()}.output.lock").touch()
    snakemake_lock.begun()
    print("works", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def start():
    started = []

    def instance(directory):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield instance
    for process in started:
        process.kill()
        process.communicate()


def go(process):
    process.stdin.write("\n")
    process.stdin.flush()


def answer(process):
    return process.stdout.readline().strip()


@pytest.fixture(autouse=True)
def release():
    yield
    for file in snakemake_lock._held.values():
        file.close()
    snakemake_lock._held.clear()


@pytest.fixture
def locked(tmp_path):
    """A directory with the lock of a Snakemake that was killed."""
    locks = tmp_path / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.output.lock").write_text("a file\n")
    return tmp_path


def is_locked(directory):
    return (directory / ".snakemake" / "locks" / "0.output.lock").exists()


def test_a_lock_goes_only_when_no_scheduler_is_alive(tmp_path, start):
    first = start(tmp_path)
    go(first)
    assert answer(first) == "works"
    second = start(tmp_path)
    go(second)
    assert answer(second) == "refused"
    first.kill()
    first.wait()
    third = start(tmp_path)
    go(third)
    assert answer(third) == "works"


@pytest.mark.parametrize("of", ["nobody", "a killed one"])
def test_of_two_at_the_same_moment_one_works(tmp_path, start, of):
    for number in range(5):
        directory = tmp_path / str(number)
        (directory / ".snakemake" / "locks").mkdir(parents=True)
        if of == "a killed one":
            (directory / ".snakemake" / "locks" / "0.output.lock").touch()
        both = [start(directory) for _ in range(2)]
        time.sleep(0.2)  # both wait for their line
        for process in both:
            go(process)
        assert sorted(map(answer, both)) == ["refused", "works"]
        for process in both:
            process.kill()


def scheduler(directory, **over):
    record = Owner.myself()._replace(**over)
    (directory / ".snakemake" / "scheduler.json").write_text(json.dumps(record._asdict()))


def test_a_lock_of_another_machine_stays(locked):
    """Its process may be alive: some file systems show locks on one machine only."""
    scheduler(locked, host="login-2", process=12)
    with pytest.raises(UserError, match=r"process 12 on login-2.*snakemake --unlock"):
        snakemake_lock.begin(locked)
    assert is_locked(locked)
    (locked / ".snakemake" / "locks" / "0.output.lock").unlink()  # by --unlock
    snakemake_lock.begin(locked)


def test_a_lock_of_this_machine_goes(locked):
    scheduler(locked, process=12)
    snakemake_lock.begin(locked)
    assert not is_locked(locked)


UUID = "5f0c1a52-6b77-4d5e-9a35-5a3b0f5d8f0a"


@pytest.fixture
def slurm(tmp_path_factory, monkeypatch):
    """Let `squeue` print lines; None: it fails."""
    folder = tmp_path_factory.mktemp("bin")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SQUEUE_STATES", "COMPLETED")

    def prints(*lines):
        command = "exit 1" if lines == (None,) else "printf '%s\\n' " + shlex.join(lines)
        # It shows nothing where it was asked for less than all.
        asked = 'case "$SQUEUE_STATES $*" in " --all "*) ;; *) exit 0; esac'
        (folder / "squeue").write_text(f"#!/bin/sh\n{asked}\n{command}\n")
        (folder / "squeue").chmod(0o755)

    return prints


def submitted(directory, number):
    path = directory / ".snakemake" / "incomplete" / "cmVzdWx0cw=="
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"external_jobid": number}))


@pytest.mark.parametrize("unlocked", [False, True])
@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "SUSPENDED"])
def test_jobs_left_in_a_queue_are_not_submitted_twice(locked, slurm, state, unlocked):
    submitted(locked, "41")
    slurm(f"41|{state}|{UUID}|/elsewhere", f"77|RUNNING|{UUID}|/elsewhere")
    if unlocked:  # by --unlock
        (locked / ".snakemake" / "locks" / "0.output.lock").unlink()
    with pytest.raises(UserError, match=r"still queued or running: 41; .*scancel 41\)") as error:
        snakemake_lock.begin(locked)
    assert is_locked(locked) is not unlocked and "\n" not in str(error.value)


def test_a_job_that_no_record_names_is_found_by_its_directory(locked, slurm):
    """Killed between submitting and writing down; a person's own jobs are none of ours."""
    slurm(f"8|PENDING|lab_{UUID}|{locked}", f"9|RUNNING|my own|{locked}")
    with pytest.raises(UserError, match="running: 8; "):
        snakemake_lock.begin(locked)


@pytest.mark.parametrize("name", ["a|b", "link"])
def test_a_directory_is_known_by_any_name(locked, slurm, name):
    """With the separator in its name; by a link, as where disks have several names."""
    directory = locked / "a|b"
    (locked / ".snakemake").rename(locked / "moved")
    directory.mkdir()
    (locked / "moved").rename(directory / ".snakemake")
    (locked / "link").symlink_to(directory)
    slurm(f"8|PENDING|{UUID}|{locked / name}", f"9|PENDING|{UUID}|{locked}")
    with pytest.raises(UserError, match="running: 8; "):
        snakemake_lock.begin(directory)


def test_a_task_of_an_array_is_known_by_its_number(locked, slurm):
    submitted(locked, "41_3")
    slurm(f"41_[1-5]|PENDING|{UUID}|/elsewhere")
    with pytest.raises(UserError, match=r"running: 41_\[1-5\]"):
        snakemake_lock.begin(locked)


@pytest.mark.parametrize("state", ["COMPLETING", "CANCELLED", None])
def test_once_they_ended_the_same_call_goes_on(locked, slurm, state):
    submitted(locked, "41")
    slurm(*([] if state is None else [f"41|{state}|{UUID}|{locked}"]))
    snakemake_lock.begin(locked)
    assert not is_locked(locked)


def test_a_queue_that_does_not_answer_is_no_empty_queue(locked, slurm):
    submitted(locked, "41")
    slurm(None)
    with pytest.raises(UserError, match=r"jobs 41 .*cannot ask \(squeue\)"):
        snakemake_lock.begin(locked)
    assert is_locked(locked)


def test_beside_a_living_scheduler_nobody_asks_the_queue(tmp_path, start, slurm):
    """Its jobs are its own business: Snakemake compares what both want to make."""
    first = start(tmp_path)
    go(first)
    assert answer(first) == "works"
    submitted(tmp_path, "41")
    slurm(f"41|RUNNING|{UUID}|{tmp_path}")
    snakemake_lock.begin(tmp_path)
    assert len(list((tmp_path / ".snakemake" / "locks").glob("*.lock"))) == 1


def test_reading_a_snakefile_twice_does_not_wait_for_itself(tmp_path):
    snakemake_lock.begin(tmp_path)
    snakemake_lock.begin(tmp_path)


def test_a_directory_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / ".snakemake").write_text("no directory")
    snakemake_lock.begin(tmp_path)
    assert Path(tmp_path / ".snakemake").is_file()
