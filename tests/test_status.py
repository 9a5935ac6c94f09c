"""What `status` says of jobs that run, failed, were stopped or killed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from td_interference.calls import call_file
from td_interference.cli import app
from td_interference.commands.status import jobs_in
from td_interference.jobs.records import JobRecord, is_alive, read_record, state_directory

SCRIPT = """
import sys, time
from pathlib import Path
from td_interference.errors import UserError
from td_interference.jobs.job import job
from td_interference.jobs.progress import Progress
log, what = sys.argv[1:]
with job(log):
    state = Path("results/smoke/state/train_run/a")
    with Progress("train_run a", 10, "updates", state) as progress:
        progress.advance(4)
        if what == "user": raise UserError("x.h5: is damaged")
        if what == "defect": raise KeyError("absent")
        if what == "wait":
            print("ready", flush=True)
            time.sleep(60)
"""
LOG = "results/smoke/logs/train_run/a.log"


def run(tmp_path, what):
    command = [sys.executable, "-c", SCRIPT, LOG, what]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)


def status(tmp_path, *arguments):
    result = CliRunner().invoke(app, ["status", str(tmp_path / "results"), *arguments])
    return result.output if result.exception is None else str(result.exception)


@pytest.mark.parametrize(
    ("what", "reason"), [("user", "x.h5: is damaged"), ("defect", "KeyError: 'absent'")]
)
def test_a_failed_job_is_called_failed_with_its_last_line(tmp_path, what, reason):
    run(tmp_path, what)
    said = status(tmp_path)
    assert "\tfailed\t4/10 updates (40%)\t" in said and said.count("train_run a") == 1
    assert f"{LOG}: {reason}" in said and "no job is running" in said
    assert read_record(tmp_path / "results/smoke/state/train_run/a").ended == "failed"


def test_a_job_that_is_done_leaves_no_trace(tmp_path):
    assert run(tmp_path, "user").returncode == 1
    assert run(tmp_path, "").returncode == 0
    assert status(tmp_path) == f"no job is running in {tmp_path / 'results'}\n"
    assert not (tmp_path / "results/smoke/state/train_run/a").exists()


def test_a_killed_job_is_found(tmp_path):
    command = [sys.executable, "-c", SCRIPT, LOG, "wait"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        assert "\trunning\t" in status(tmp_path)
        process.send_signal(signal.SIGKILL)
    said = status(tmp_path)
    assert "\tfailed\t" in said and "ended without a word, as when it is killed" in said


def test_a_job_without_progress_is_shown_as_well(tmp_path):
    script = "import sys\nfrom td_interference.jobs.job import job\nwith job(sys.argv[1]): 1 / 0"
    log = "results/smoke/logs/make_figure/fig5.log"
    subprocess.run([sys.executable, "-c", script, log], cwd=tmp_path, capture_output=True)
    assert "make_figure fig5\tfailed\t?\t?\t?\t" in status(tmp_path)


def test_what_failed_before_the_newest_call_is_left_out(tmp_path):
    run(tmp_path, "user")
    call_file(tmp_path / "results", "smoke").write_text("{}")
    later = time.time() + 10
    os.utime(call_file(tmp_path / "results", "smoke"), (later, later))
    assert jobs_in(tmp_path / "results" / "smoke") == []


def test_a_scale_may_be_chosen(tmp_path):
    run(tmp_path, "user")
    (tmp_path / "results" / "laptop" / "runs").mkdir(parents=True)
    assert "failed" in status(tmp_path, "--scale", "smoke")
    assert "failed" not in status(tmp_path, "--scale", "laptop")
    assert "no results of the scale 'paper'; there are laptop, smoke" in status(
        tmp_path, "--scale", "paper"
    )


def test_what_holds_no_results_is_named(tmp_path):
    assert "results: no such directory" in status(tmp_path)
    (tmp_path / "results").mkdir()
    assert "holds no results" in status(tmp_path)
    above = CliRunner().invoke(app, ["status", str(tmp_path)]).exception
    assert "did you mean" in str(above)
    (tmp_path / "file").touch()
    error = CliRunner().invoke(app, ["status", str(tmp_path / "file")]).exception
    assert "is no directory" in str(error)


@pytest.mark.parametrize("folders", [["a/agents", "a/datasets"], ["a/paper", "a/figures"], ["a"]])
def test_folders_that_only_share_a_name_are_no_results(tmp_path, folders):
    for folder in folders:
        (tmp_path / "results" / folder).mkdir(parents=True)
    assert "holds no results" in status(tmp_path)


def test_a_folder_of_the_users_own_beside_results_is_none_of_our_business(tmp_path):
    run(tmp_path, "user")
    (tmp_path / "results" / "smoke" / "my notes").mkdir()
    assert "holds no results" in status(tmp_path)  # nobody knows whose this is
    call_file(tmp_path / "results", "smoke").write_text("{}")
    assert "no job is running" in status(tmp_path)


@pytest.mark.parametrize("file", ["job.json", "progress.json"])
@pytest.mark.parametrize("value", ["text", None, [], {"a": 1}, True])
def test_what_another_version_said_of_a_job_stops_nothing(tmp_path, file, value):
    run(tmp_path, "user")
    path = tmp_path / "results/smoke/state/train_run/a" / file
    whole = json.loads(path.read_text())
    for key in whole:
        path.write_text(json.dumps({**whole, key: value}))
        assert "no job is running" in status(tmp_path) or "train_run a" in status(tmp_path)
    path.write_text("[" * 100_000)
    assert "train_run a" in status(tmp_path)


def test_jobs_of_other_machines_are_not_judged(tmp_path):
    directory = tmp_path / "results" / "smoke" / "state" / "train_run" / "a"
    directory.mkdir(parents=True)
    record = JobRecord(1, "", "elsewhere", LOG, written_at=time.time() - 3600)
    (directory / "job.json").write_text(json.dumps(record._asdict()))
    said = status(tmp_path)
    assert "\trunning\t" in said and "silent for 01:00:00, on elsewhere" in said


def test_numbers_of_processes_are_used_again():
    here = os.uname().nodename
    assert is_alive(os.getpid(), "", here) is True
    assert is_alive(os.getpid(), "boot 1", here) is False  # another process that had this number
    assert is_alive(2**22 + 1, "", here) is False
    assert is_alive(os.getpid(), "", "elsewhere") is None


@pytest.mark.parametrize(
    ("log", "state"),
    [
        ("results/smoke/logs/a/b.log", "results/smoke/state/a/b"),
        ("/x/results/smoke/logs/a/m/b-lr0.1.log", "/x/results/smoke/state/a/m/b-lr0.1"),
        ("job.log", None),
        ("results/fig.log", None),
        ("logs/a/b.log", None),
    ],
)
def test_the_state_lies_where_the_log_says(log, state):
    found = state_directory(log)
    assert (None if found is None else str(found)) == state
