"""One process at a time works in a directory: on this machine, on another, without file locks."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from td_interference.errors import UserError
from td_interference.jobs import ownership, preemption
from td_interference.jobs.ownership import FILE_NAME, Owner, disown, own
from td_interference.jobs.records import born

HOLDER = """
import sys, time
from td_interference.jobs.ownership import own
own(sys.argv[1])
print("owns", flush=True)
time.sleep(600)
"""


@pytest.fixture
def hold(tmp_path):
    """Start a process that owns a directory; return once it does."""
    started = []

    def start():
        command = [sys.executable, "-c", HOLDER, str(tmp_path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "owns\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(autouse=True)
def release(tmp_path):
    yield
    disown(tmp_path)


@pytest.fixture
def signals():
    """Put back what a process that was to end ignores."""
    before = {number: signal.getsignal(number) for number in preemption.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def no_locks(monkeypatch):
    """A file system without locks."""

    def flock(file, kind):
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(ownership.fcntl, "flock", flock)


@pytest.fixture
def own_later(tmp_path, monkeypatch):
    """Ask for a directory in a thread; its events tell whether it is owned.

    What a test changes by `monkeypatch` holds until the thread has ended.
    """
    owned = threading.Event()
    threads = []

    def start():
        def ask():
            own(tmp_path)
            owned.set()

        threads.append(threading.Thread(target=ask, daemon=True))
        threads[-1].start()
        return owned

    yield start
    for thread in threads:
        thread.join(10)


def test_the_second_waits_says_whom_for_and_follows_a_kill(tmp_path, hold, own_later, caplog):
    first = hold()
    owned = own_later()
    assert not owned.wait(1.0)
    lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(lines) == 1 and "\n" not in lines[0]
    assert str(tmp_path) in lines[0] and f"process {first.pid} on {os.uname().nodename}" in lines[0]
    assert f"kill {first.pid}" in lines[0]
    first.kill()
    assert owned.wait(10)
    assert Owner(**json.loads((tmp_path / FILE_NAME).read_text())).process == os.getpid()


def test_one_process_is_one_owner(tmp_path):
    mine = own(tmp_path)
    assert own(tmp_path) is mine and mine.holds
    disown(tmp_path)
    assert not mine.holds and not list(tmp_path.iterdir())


def test_a_directory_that_was_removed_is_owned_anew(tmp_path, hold):
    mine = own(tmp_path / "job")
    (tmp_path / "job" / FILE_NAME).unlink()
    assert not mine.holds
    assert own(tmp_path / "job").holds


@pytest.mark.usefixtures("signals")
def test_a_process_that_waits_can_be_ended(tmp_path, hold):
    hold()
    with pytest.raises(preemption.Preempted) as left, preemption.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        own(tmp_path)
    assert left.value.code == 128 + signal.SIGTERM


def elsewhere(path, **over):
    """Write down an owner on another machine, as where locks end with the machine."""
    owner = Owner("far-away", os.getpid(), "boot 1", "2026-01-01 00:00:00")._replace(**over)
    (path / FILE_NAME).write_text(json.dumps(owner._asdict()))
    return owner


def test_an_owner_elsewhere_that_gives_signs_of_life_is_waited_for(
    tmp_path, own_later, monkeypatch, caplog
):
    monkeypatch.setattr(ownership, "PATIENCE", 1.0)
    owner = elsewhere(tmp_path, slurm_job="77")
    owned = own_later()
    end = time.monotonic() + 2.5
    while time.monotonic() < end:  # longer than the patience
        os.utime(tmp_path / FILE_NAME)
        assert not owned.wait(0.2)
    assert f"{owner}; waiting for it to end (or end it: scancel 77" in caplog.text
    assert owned.wait(10), "it gives no sign any more"
    assert "gives no sign of life" in caplog.text


@pytest.mark.parametrize("clock", [-3600, 3600])
def test_clocks_are_not_compared(tmp_path, own_later, monkeypatch, clock):
    monkeypatch.setattr(ownership, "PATIENCE", 1.0)
    elsewhere(tmp_path)
    owned = own_later()
    for beat in range(10):
        moment = time.time() + clock + beat
        os.utime(tmp_path / FILE_NAME, (moment, moment))
        assert not owned.wait(0.2)


def test_a_requeued_job_takes_over_at_once(tmp_path, monkeypatch):
    """Its node was lost; Slurm starts it elsewhere under the same number."""
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    elsewhere(tmp_path, slurm_job="77")
    started = time.monotonic()
    own(tmp_path)
    assert time.monotonic() - started < 1


@pytest.mark.usefixtures("no_locks")
def test_without_file_locks_the_process_tells(tmp_path, own_later):
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    here, started = os.uname().nodename, born(other.pid)
    elsewhere(tmp_path, host=here, process=other.pid, started=started)
    owned = own_later()
    assert not owned.wait(1.0)
    other.communicate(b"\n")
    assert owned.wait(10)


@pytest.mark.usefixtures("no_locks")
def test_a_later_process_of_the_same_number_is_not_the_owner(tmp_path):
    elsewhere(tmp_path, host=os.uname().nodename, process=os.getppid(), started="boot 1")
    own(tmp_path)


@pytest.mark.parametrize("content", ["", "{", '{"host": 1}', "[]"])
def test_a_file_that_says_nothing_is_nobodys(tmp_path, content):
    (tmp_path / FILE_NAME).write_text(content)
    own(tmp_path)


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file.*cannot be written"):
        own(tmp_path / "file" / "job")


def test_the_owner_shows_that_it_is_alive(tmp_path, monkeypatch):
    monkeypatch.setattr(ownership, "BEAT", 0.05)
    own(tmp_path)
    before = (tmp_path / FILE_NAME).stat().st_mtime_ns
    time.sleep(0.5)
    assert (tmp_path / FILE_NAME).stat().st_mtime_ns > before
