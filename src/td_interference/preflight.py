"""What the file system would make a job fail of when its work is done, seen before it begins.

Snakemake compares times and permissions when a job has ended, and then deletes what it wrote.
Standard library only: the Snakefile reads this module.
"""

import math
import os
import pwd
import resource
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from td_interference.errors import UserError

FUTURE = 60.0  # seconds; what is less passes while a job runs

ADDRESS_SPACE = 4000.0  # MB; 3,630 with torch 2.15 for CUDA, before a job has read anything

# Of a scale's directory. Logs and benchmarks are written anew in place, the rest is renamed there.
_REWRITTEN = ("logs", "benchmarks")
# Never inputs of a job.
_NO_INPUTS = ("state", "logs", "benchmarks", "figures")


def check(
    working_directory: Path,
    results: Path,
    inputs: Iterable[Path] = (),
    now: float | None = None,
) -> None:
    """Look at the directories that jobs write to and at the times of the files that they read.

    Args:
        working_directory: Where Snakemake keeps its records.
        results: The directory of a scale, which need not exist.
        inputs: Other files that jobs read.
        now: The time, seconds since the epoch; the clock's, if left out.

    Raises:
        UserError: If a place cannot be written to, or a file is from the future.
    """
    now = time.time() if now is None else now
    records = working_directory / ".snakemake"
    _require_writable(_nearest(results))
    _require_writable(_nearest(records))
    for entry in _entries(records, depth=1):
        if entry.is_dir():
            _require_writable(Path(entry.path))
    for entry in _entries(results):
        path = Path(entry.path)
        stage = path.relative_to(results).parts[0]
        if entry.is_dir() or stage in _REWRITTEN:
            _require_writable(path)
        if stage not in _NO_INPUTS and entry.is_file():
            _require_past(path, entry.stat().st_mtime, now)
    for path in inputs:
        if path.exists():
            _require_past(path, path.stat().st_mtime, now)


def check_memory_limit(megabytes: float | None = None) -> None:
    """See that a process may take as much address space as torch's libraries do.

    Args:
        megabytes: The limit of this process; its own, if left out.

    Raises:
        UserError: If it may not: loading torch would fail in the middle.
    """
    if megabytes is None:
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        megabytes = math.inf if limit == resource.RLIM_INFINITY else limit / 1e6
    if megabytes < ADDRESS_SPACE:
        raise UserError(
            f"processes may take {megabytes:.0f} MB of address space here, and torch alone takes "
            f"{ADDRESS_SPACE:.0f}, most of which is never in memory: lift the limit (ulimit -v "
            "unlimited), and limit memory by mem_mb instead"
        )


def _nearest(path: Path) -> Path:
    """Return the path, or the nearest directory above it that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _entries(directory: Path, depth: int = -1) -> Iterator[os.DirEntry[str]]:
    """Yield all that is below a directory, down to a depth; nothing, if it does not exist."""
    if not directory.is_dir() or depth == 0:
        return
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{directory}: cannot be read ({error.strerror})") from None
    for entry in entries:
        yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(Path(entry.path), depth - 1)


def _require_writable(path: Path) -> None:
    needed = os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)
    if os.access(path, needed):
        return
    owner = path.stat().st_uid
    me = os.getuid()
    whose = "of yours" if owner == me else f"of {_name(owner)}, and you are {_name(me)}"
    raise UserError(
        f"{path.absolute()}: cannot be written to (it is {whose}); have its permissions changed "
        "(chmod, chown) or call snakemake in a directory of your own"
    )


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def _require_past(path: Path, modified: float, now: float) -> None:
    if modified <= now + FUTURE:
        return
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(modified))
    raise UserError(
        f"{path}: was modified in the future ({when}), and results made from it would seem older "
        "than it and be deleted; was it copied from a machine with another clock, without its time "
        "(cp -a keeps it)? If the file is right, 'touch' it and then call snakemake once with "
        "--touch, which takes all results for up to date"
    )
