"""Snakemake's lock: cleared after a kill, left alone while somebody is at work."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from td_interference.instances import clear_stale_lock
print(clear_stale_lock(sys.argv[1]), flush=True)
sys.stdin.read()
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
        return process, process.stdout.readline().strip()

    yield instance
    for process in started:
        process.kill()
        process.communicate()


def test_a_lock_goes_only_when_nobody_is_alive(tmp_path, start):
    first, removed = start(tmp_path)
    assert removed == "False"
    lock = tmp_path / ".snakemake" / "locks" / "0.input.lock"
    lock.write_text("a file\n")
    _job, removed = start(tmp_path)  # as a job's own Snakemake, or another person's
    assert removed == "False" and lock.exists()
    first.kill()
    first.wait()
    # The job is alive still: whoever comes now must not begin it a second time.
    third, removed = start(tmp_path)
    assert removed == "False" and lock.exists()
    for process in (_job, third):
        process.kill()
        process.wait()
    assert start(tmp_path)[1] == "True" and not lock.exists()


def test_a_directory_that_cannot_be_written_is_no_error(tmp_path, start):
    (tmp_path / ".snakemake").write_text("no directory")
    assert start(tmp_path)[1] == "False"
