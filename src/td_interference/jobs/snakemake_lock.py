"""Snakemake's own lock on a directory: a dead Snakemake's is cleared, a living one's never.

Snakemake refuses a directory in which another instance runs, and takes the files in
.snakemake/locks for a sign of one. They stay after `kill -9`, and a person then has to call
`snakemake --unlock`. A lock of the operating system ends with its process, whatever ends it.

Only the process that schedules comes here, never the ones that run its jobs on other machines and
never a dry run. From reading the Snakefile until its own lock is written it is alone (`begin`,
`begun`), for Snakemake looks for locks first and writes its own later. A lock stays where the
process that wrote it may be alive: on another machine, whose locks may not be seen here, or in the
jobs that it left in the queue of a cluster.
"""

import fcntl
import json
import logging
import os
import re
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from td_interference.errors import UserError
from td_interference.jobs.ownership import Owner, lock
from td_interference.jobs.records import read_as

logger = logging.getLogger(__name__)

_ENDED = {"COMPLETED", "COMPLETING", "CANCELLED", "FAILED", "TIMEOUT", "PREEMPTED", "NODE_FAIL"}
# Snakemake names the jobs of one run by a UUID, behind a prefix if one is asked for.
_RUN = re.compile(r"(.+_)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_POLL = 0.05  # seconds between two looks whether the other one has begun
_HOLD = 2.0  # seconds of waiting after which a line says so

_held: dict[str, IO[str]] = {}  # open, and so locked, until the process ends


def begin(directory: Path | str = Path()) -> None:
    """Wait until no other Snakemake is about to begin in a directory, and clear a dead one's lock.

    Args:
        directory: Snakemake's working directory.

    Raises:
        UserError: If the lock, or jobs in a cluster's queue, may be somebody's who is alive.
    """
    for file in _held.values():  # a process that reads a Snakefile twice does not wait for itself
        file.close()
    _held.clear()
    own = Path(directory) / ".snakemake"
    try:
        own.mkdir(exist_ok=True)
        beginning, scheduling = ((own / name).open("a") for name in ("beginning", "scheduling"))
    except OSError:  # a directory that can only be read
        return
    if not _wait(beginning, own / "scheduler.json"):
        return  # the file system knows no such locks: Snakemake's own rules hold
    _held["beginning"] = beginning
    if lock(scheduling):  # no other Snakemake is at work
        _refuse_where_alive(own)
        locks = own / "locks"
        shutil.rmtree(locks, ignore_errors=True)
        locks.mkdir(exist_ok=True)
        with suppress(OSError):
            record = json.dumps(Owner.myself()._asdict())
            (own / "scheduler.json").write_text(record, encoding="utf-8")
    lock(scheduling, fcntl.LOCK_SH)
    _held["scheduling"] = scheduling


def begun() -> None:
    """Let others begin: this Snakemake has written its lock. It counts as at work until it ends."""
    if (beginning := _held.pop("beginning", None)) is not None:
        beginning.close()


def _wait(beginning: IO[str], record: Path) -> bool:
    """Lock; whether the file system knows such locks."""
    started, said = time.monotonic(), False
    while (locked := lock(beginning)) is False:
        if not said and time.monotonic() - started > _HOLD:
            who = read_as(Owner, record) or "one"
            logger.warning("waiting: %s is beginning in this directory", who)
            said = True
        time.sleep(_POLL)
    return locked is True


def _refuse_where_alive(own: Path) -> None:
    locked = any((own / "locks").glob("*.lock"))
    submitted = _submitted(own)
    if locked or submitted:
        jobs = _in_queue(own.absolute().parent, submitted)
        if jobs is None and locked and submitted:
            raise UserError(
                f"{own.parent.absolute()}: jobs {', '.join(sorted(submitted))} of a Snakemake that "
                "was killed may be queued or running, and this machine cannot ask (squeue); if "
                "they ended, call snakemake --unlock and then this again"
            )
        if jobs:
            raise UserError(
                f"{own.parent.absolute()}: jobs of a Snakemake that was killed are still queued or "
                f"running: {', '.join(jobs)}; wait for them or end them (scancel "
                f"{' '.join(jobs)}), then call this again, which goes on where they are"
            )
    last = read_as(Owner, own / "scheduler.json")
    if locked and last is not None and last.elsewhere:
        raise UserError(
            f"{own.parent.absolute()}: locked by a Snakemake, {last}; if it runs no more, call "
            "snakemake --unlock and then this again"
        )


def _is_at(place: str, directory: Path) -> bool:
    """Whether a path is of a directory, by whatever name (links, mounts) it is reached."""
    try:
        return place == str(directory) or os.path.samefile(place, directory)
    except (OSError, ValueError):
        return False


def _submitted(own: Path) -> set[str]:
    """Return the cluster's numbers of jobs whose end no Snakemake has seen."""
    numbers = set()
    for path in (own / "incomplete").rglob("*"):
        with suppress(OSError, ValueError, AttributeError):
            number = json.loads(path.read_text(encoding="utf-8")).get("external_jobid")
            if number is not None:
                numbers.add(str(number))
    return numbers


def _in_queue(directory: Path, submitted: set[str]) -> list[str] | None:
    """Return the jobs of Slurm that belong to a Snakemake of this directory and have not ended.

    A job that was submitted just before the kill is in nobody's record; its name and working
    directory tell.

    Returns:
        Their numbers; None if there is no Slurm, or it does not answer.
    """
    if shutil.which("squeue") is None:
        return None
    # All jobs, in hidden partitions too, whatever the environment would leave out (SQUEUE_STATES).
    command = ["squeue", "--all", "--noheader", "--format=%i|%T|%j|%Z"]
    environment = {n: value for n, value in os.environ.items() if not n.startswith("SQUEUE_")}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=60, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    alive = []
    for line in done.stdout.splitlines():
        number, state, name, place = (line + "|||").split("|", 3)
        # Of an array, all tasks have the number before the underscore.
        of_record = number.partition("_")[0] in {one.partition("_")[0] for one in submitted}
        of_here = _RUN.fullmatch(name) is not None and _is_at(place.removesuffix("|||"), directory)
        if state not in _ENDED and (of_record or of_here):
            alive.append(number)
    return sorted(alive)
