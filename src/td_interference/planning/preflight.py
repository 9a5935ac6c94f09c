"""What the file system would make a job fail of when its work is done, seen before it begins.

Snakemake compares times and permissions when a job has ended, and then deletes what it wrote.
"""

import math
import os
import pwd
import resource
import time
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from pathlib import Path

from td_interference.errors import UserError
from td_interference.planning.layout import BENCHMARKS, LOGS, STATE

FUTURE = 60.0  # seconds; what is less passes while a job runs

ADDRESS_SPACE = 4000.0  # MB; 3,630 with torch 2.15 for CUDA, before a job has read anything

# Of a scale's directory. Logs and benchmarks are written anew in place, the rest is renamed there.
_REWRITTEN = (LOGS, BENCHMARKS)
# Never inputs of a job.
_NO_INPUTS = (STATE, LOGS, BENCHMARKS, "figures")


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
    for place in (results.parent, results, records):  # figures are put beside the scales
        place = _nearest(place)
        if not os.path.isdir(place):
            raise UserError(
                f"{place.absolute()}: is no directory, and one is needed there; move it away"
            )
        _require_writable(place)
    for path in _below(records, depth=1):
        if os.path.isdir(path):
            _require_writable(path)
    for path in _below(results):
        stage = path.relative_to(results).parts[0]
        if os.path.isdir(path) or (stage in _REWRITTEN and path.exists()):
            _require_writable(path)
        if stage not in _NO_INPUTS and os.path.isfile(path):
            _require_past(path, now)
    for path in inputs:
        _require_past(path, now)


def name_user(user: int | None = None, environment: MutableMapping[str, str] = os.environ) -> None:
    """Give a name to a user that the system has none for, as containers run them.

    Snakemake and torch ask for it. The user is that of this process, if left out.
    """
    user = os.getuid() if user is None else user
    if _name(user) == f"user {user}" and not environment.get("USER"):
        environment["USER"] = f"uid{user}"


def check_memory_limit(megabytes: float | None = None) -> None:
    """See that a process under this limit (its own) may take what torch's libraries do.

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
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path


def _below(directory: Path, depth: int = -1, above: Sequence[str] = ()) -> Iterator[Path]:
    """Yield all that is below a directory, down to a depth; nothing, if it does not exist.

    Links are followed, but not to a directory that they lie in. Other processes may be at work:
    what is yielded may be gone.
    """
    here = os.path.realpath(directory)
    if not os.path.isdir(directory) or depth == 0 or here in above:
        return
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{directory}: cannot be read ({error.strerror})") from None
    for name in names:
        yield directory / name
        yield from _below(directory / name, depth - 1, (*above, here))


def _require_writable(path: Path) -> None:
    needed = os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)
    try:
        if os.access(path, needed):
            return
        owner = path.stat().st_uid
    except FileNotFoundError:  # gone meanwhile
        return
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


def _require_past(path: Path, now: float) -> None:
    try:
        ahead = path.stat().st_mtime - now
    except OSError:  # not there, or gone meanwhile
        return
    if ahead <= FUTURE:
        return
    raise UserError(
        f"{path}: was modified in the future ({ahead / 3600:,.1f} h from now), and results made "
        "from it would seem older than it and be deleted; was it copied from a machine of another "
        "clock, without its time (cp -a keeps it)? If the file is right, 'touch' it and then call "
        "snakemake once with --touch, which takes all results for up to date"
    )
