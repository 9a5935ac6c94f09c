"""Snakemake's own lock on a directory outlives a killed Snakemake; this tells the two apart.

Snakemake refuses a directory in which another instance runs, and takes the files in
.snakemake/locks for a sign of one. They stay after `kill -9`, and a person then has to call
`snakemake --unlock`. A lock of the operating system ends with its process, whatever ends it.
"""

import contextlib
import fcntl
import shutil
from pathlib import Path
from typing import IO

_held: list[IO[str]] = []  # open, and so locked, until the process ends


def clear_stale_lock(directory: Path | str = Path()) -> bool:
    """Remove Snakemake's lock on a directory if no process that called this there is alive.

    Every Snakemake calls it as it reads the Snakefile: the one that schedules and, for each job,
    the one that runs it. Where the file system knows no such locks, nothing is removed.

    Args:
        directory: Snakemake's working directory.

    Returns:
        Whether there was a lock to remove.
    """
    own = Path(directory) / ".snakemake"
    try:
        own.mkdir(exist_ok=True)
        file = (own / "instances.lock").open("a")
    except OSError:  # a directory that can only be read
        return False
    _held.append(file)
    removed = False
    with contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        locks = own / "locks"
        removed = any(locks.glob("*.lock"))
        shutil.rmtree(locks, ignore_errors=True)
        locks.mkdir(exist_ok=True)
    with contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return removed
