"""A project as a user has it after a clone, and calls of Snakemake in it."""

import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import forked
import forked_scripts
import pytest
from tree import copy_tree

BIN = Path(sys.executable).parent
DEADLINE = 2400  # seconds; `make atari` at smoke scale takes 5 to 15 minutes on 2 cores


def environment_of(directory):
    """The environment of a call in a directory: its own package before the installed one."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(Path(directory) / "src")}


def snakemake(arguments, directory):
    """Call Snakemake to its end, or end it with all that it started. Its jobs are forks."""
    environment = forked_scripts.environment(environment_of(directory))
    return forked.snakemake(arguments, directory, environment=environment, timeout=DEADLINE)


def call(command, directory):
    """Run a command to its end, or end it with all that it started. Jobs it starts are forks."""
    process = subprocess.Popen(
        command,
        cwd=directory,
        env=forked_scripts.environment(environment_of(directory)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, errors = process.communicate(timeout=DEADLINE)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return subprocess.CompletedProcess(command, process.returncode, said, errors)


def cpu_seconds():
    """Processor time of the children that ended; what the clock says depends on what else runs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def make(target, directory, cores=1):
    """Make a target at smoke scale, on one core where other tests run beside it."""
    # The environment is the one the tests run in; it is there, whatever is newer by the clock.
    ready = Path(sys.prefix) / ".ready"
    if not ready.exists():
        pytest.skip("the tests run in an environment that `make` did not set up")
    command = ["make", target, "-o", ready, "SCALE=smoke", f"CORES={cores}", f"VENV={sys.prefix}"]
    return call(command, directory)


def pretend(targets, directory):
    """Pretend that targets were made at smoke scale in a copy of the tracked files: all are empty.

    Snakemake records of each job what it would after a run, so that it answers what is to be done
    again as it does on results.
    """
    copy_tree(directory)
    targets = [targets] if isinstance(targets, str) else targets
    arguments = [*targets, "--config", "scale=smoke"]
    listed = snakemake([*arguments, "--dry-run"], directory)
    assert listed.returncode == 0, listed.stderr
    said = listed.stdout + listed.stderr
    for line in re.findall(r"^ +output: (.*)$", said, flags=re.MULTILINE):
        for name in line.split(", "):
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch() if path.suffix else path.mkdir(exist_ok=True)
    touched = snakemake([*arguments, "--touch", "--forceall", "--cores", "16"], directory)
    assert touched.returncode == 0, touched.stderr
    return directory


def planned(project, *arguments, targets=("results/fig5.pdf",)):
    """What `snakemake -n` would do: jobs by rule."""
    done = snakemake(["-n", *targets, "--config", "scale=smoke", *arguments], project)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^(\w+)\s+(\d+)$", done.stdout + done.stderr, flags=re.MULTILINE)
    return {rule: int(count) for rule, count in rows if rule != "total"}


def edited(path, text="\nEDITED = True\n"):
    """Edit a file; return a function that undoes it, modification time and all."""
    before, status = path.read_bytes(), path.stat()

    def undo():
        path.write_bytes(before)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    path.write_text(path.read_text() + text)
    return undo
