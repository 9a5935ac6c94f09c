"""Snakemake and its jobs are killed and asked to end, one without the other, on a toy workflow."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from listening import SIGNALS, listen

TOY = Path(__file__).parent / "toy" / "Snakefile"
SNAKEMAKE = [str(Path(sys.executable).parent / "snakemake"), "--snakefile", str(TOY)]
CALL = ["--cores", "1", "--rerun-incomplete"]
DEADLINE = 120  # seconds; a call takes some ten on a busy machine


class Toy:
    """Calls of the toy workflow in one directory."""

    def __init__(self, directory: Path):
        self.directory, self.calls = directory, []
        self.counted = directory / "counted.txt"

    def start(self, *arguments: str) -> subprocess.Popen:
        """Call Snakemake, as the leader of a process group."""
        number = len(self.calls)
        call = subprocess.Popen(
            [*SNAKEMAKE, "--directory", str(self.directory), *CALL, *arguments],
            stdout=(self.directory / f"call-{number}.log").open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=listen,
        )
        self.calls.append(call)
        return call

    def end(self, call: subprocess.Popen) -> str:
        """Wait for a call; return what it and its jobs said."""
        call.wait(DEADLINE)
        return self.said(call)

    def said(self, call: subprocess.Popen) -> str:
        """What it and its jobs said by now."""
        return (self.directory / f"call-{self.calls.index(call)}.log").read_text()

    def begun(self) -> list[tuple[int, int]]:
        """Processes that began to count, and from where."""
        path = self.directory / "begun.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        return [tuple(map(int, line.split())) for line in lines]

    def until(self, condition):
        """Wait until a condition holds; return what it is."""
        end = time.monotonic() + DEADLINE
        while not (value := condition()):
            assert time.monotonic() < end
            time.sleep(0.02)
        return value

    def under_way(self) -> int:
        """Wait until a state is saved; return the process that counts."""
        self.until(lambda: list((self.directory / "state/count").glob("state-*.pt")))
        return self.begun()[-1][0]


@pytest.fixture
def toy(tmp_path):
    workflow = Toy(tmp_path)
    yield workflow
    for call in workflow.calls:
        if call.poll() is None:
            os.killpg(call.pid, signal.SIGKILL)
            call.wait()
    for process, _ in workflow.begun():
        if is_running(process):
            os.kill(process, signal.SIGKILL)


def is_running(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_a_job_that_outlives_its_snakemake_is_waited_for(toy):
    hold = toy.directory / "hold"
    hold.touch()
    call = toy.start()
    job = toy.under_way()
    call.kill()
    call.wait()
    assert is_running(job)
    again = toy.start()
    toy.until(lambda: "does this job already" in toy.said(again))
    hold.unlink()
    said = toy.end(again)
    assert again.returncode == 0, said
    assert [process for process, _ in toy.begun()] == [job], "begun a second time"
    assert re.search(rf"state/count: another process does this job already: process {job} on", said)
    assert f"kill {job}" in said and "its outputs are in place again" in said
    assert int(toy.counted.read_text()) >= 60
    assert not (toy.directory / "state/count").exists()


@pytest.mark.slow
def test_a_survivor_that_is_killed_later_is_taken_over(toy):
    call = toy.start("--config", "number=2000")
    job = toy.under_way()
    call.kill()
    call.wait()
    again = toy.start("--config", "number=2000")
    toy.until(lambda: "does this job already" in toy.said(again))
    os.kill(job, signal.SIGKILL)
    toy.until(lambda: len(toy.begun()) == 2)
    (_, nothing), (successor, number) = toy.begun()
    assert nothing == 0 and number > 0 and successor != job
    os.killpg(again.pid, signal.SIGTERM)
    toy.end(again)


@pytest.mark.slow
def test_a_kill_just_as_outputs_appear_loses_nothing(toy):
    """Snakemake removes outputs that it did not live to record."""
    (toy.directory / "linger").touch()
    call = toy.start("--config", "number=10")
    toy.until(lambda: (toy.directory / "state/count/outputs.json").exists())
    os.killpg(call.pid, signal.SIGKILL)
    call.wait()
    assert toy.counted.exists()
    (toy.directory / "linger").unlink()
    said = toy.end(toy.start("--config", "number=10"))
    assert toy.calls[-1].returncode == 0 and "are incomplete" not in said, said
    assert len(toy.begun()) == 1, "counted anew"
    assert toy.counted.read_text() == "10\n"
    assert not (toy.directory / "state/count").exists()


@pytest.mark.parametrize(
    "asked",
    [
        "Snakemake, by kill",
        pytest.param("again and again, by all", marks=pytest.mark.slow),
        pytest.param("the group, by Ctrl-C", marks=pytest.mark.slow),
        pytest.param("the terminal", marks=pytest.mark.slow),
    ],
)
def test_asked_to_end_it_saves_and_ends(toy, asked):
    call = toy.start("--config", "number=2000")
    job = toy.under_way()
    if asked == "Snakemake, by kill":
        call.terminate()
    elif asked == "again and again, by all":
        for number in 10 * SIGNALS:
            if call.poll() is None:
                os.killpg(call.pid, number)
            time.sleep(0.05)
    else:
        sent = signal.SIGINT if "Ctrl-C" in asked else signal.SIGHUP
        os.killpg(call.pid, sent)
    said = toy.end(call)
    assert call.returncode not in (0, None)
    assert not list((toy.directory / ".snakemake" / "locks").glob("*.lock"))
    toy.until(lambda: not is_running(job))
    assert "Traceback" not in said and "KeyboardInterrupt" not in said
    assert re.search(r"ended by SIG(INT|TERM|HUP): the resume state is state/count/state-", said)
    # The same call goes on from there.
    again = toy.start("--config", "number=2000")
    toy.until(lambda: len(toy.begun()) == 2)
    assert toy.begun()[1][1] > 0
    os.killpg(again.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_dry_run_and_a_job_of_a_cluster_leave_the_lock_alone(toy):
    locks = toy.directory / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.output.lock").write_text("counted.txt\n")
    for arguments in (["--dry-run"], ["--mode", "remote", "--nolock", "--no-hooks"]):
        toy.end(toy.start(*arguments, "--config", "number=1"))
        assert (locks / "0.output.lock").exists(), arguments
    said = toy.end(toy.start("--config", "number=1"))
    assert toy.calls[-1].returncode == 0, said


@pytest.mark.slow
def test_two_calls_at_once_count_once(toy):
    calls = [toy.start("--config", "number=30") for _ in range(2)]
    said = [toy.end(call) for call in calls]
    assert len(toy.begun()) == 1, said
    assert sorted(call.returncode for call in calls) in ([0, 0], [0, 1])
