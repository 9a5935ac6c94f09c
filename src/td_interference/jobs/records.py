"""What is known of each job from outside: that it runs, or how it ended without finishing.

A record lies in the job's state directory from its first moment on, and goes when the job is done.
One that stays tells of a job that failed, was stopped, or was killed before it could say so.
"""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from td_interference.planning import layout

FILE_NAME = "job.json"

Record = TypeVar("Record", bound=tuple[Any, ...])


class JobRecord(NamedTuple):
    """One job's word on itself."""

    process: int
    born: int  # when that process began, in the system's own ticks: numbers are used again
    machine: str
    log: str  # its log file, from the directory it was called in
    ended: str = ""  # "failed" or "stopped"
    reason: str = ""  # why, in one line
    written_at: float = 0.0  # seconds since the epoch


def state_directory(log_path: Path | str) -> Path | None:
    """Return the state directory of the job with this log.

    Args:
        log_path: `results/<scale>/logs/<rule>/<job>.log`.

    Returns:
        `results/<scale>/state/<rule>/<job>`; None for a log that lies elsewhere.
    """
    parts = Path(log_path).with_suffix("").parts
    if layout.RESULTS not in parts:
        return None
    logs = len(parts) - 1 - parts[::-1].index(layout.RESULTS) + 2
    if parts[logs : logs + 1] != (layout.LOGS,) or len(parts) == logs + 1:
        return None
    return Path(*parts[:logs], layout.STATE, *parts[logs + 1 :])


def write_record(log_path: Path | str, ended: str = "", reason: str = "") -> None:
    """Write the record of this process's job; a disk that is full is no reason to end a job.

    Args:
        log_path: The job's log.
        ended: "" while it runs; "failed" or "stopped".
        reason: Of its end.
    """
    if (directory := state_directory(log_path)) is None:
        return
    own = os.getpid()
    record = JobRecord(
        own, born(own) or 0, os.uname().nodename, str(log_path), ended, reason, time.time()
    )
    with suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
        whole = directory / f".{FILE_NAME}-{own}"
        whole.write_text(json.dumps(record._asdict()), encoding="utf-8")
        whole.replace(directory / FILE_NAME)


def remove_record(log_path: Path | str) -> None:
    """Take away the record of a job that is done, and its directory if nothing else is in it."""
    if (directory := state_directory(log_path)) is not None:
        with suppress(OSError):
            (directory / FILE_NAME).unlink(missing_ok=True)
            directory.rmdir()


def read_record(directory: Path) -> JobRecord | None:
    """Return the record in a state directory; None where there is none that can be read."""
    return read_as(JobRecord, directory / FILE_NAME)


def read_as(kind: type[Record], file: Path) -> Record | None:
    """Return what a file of JSON holds as a named tuple of this kind.

    Args:
        kind: Whose fields are the file's.
        file: The file.

    Returns:
        None where it is gone in the meantime, or another version wrote it.
    """
    with suppress(OSError, ValueError, TypeError, RecursionError):
        record = kind(**json.loads(file.read_text(encoding="utf-8")))
        if all(map(_fits, record, kind.__annotations__.values())):
            return record
    return None


def _fits(value: object, wanted: Any) -> bool:
    """Whether a value of JSON is of the type wanted; whole numbers are numbers."""
    return isinstance(value, wanted) or (type(value) is int and isinstance(0.0, wanted))


def is_alive(process: int, when_born: int, machine: str) -> bool | None:
    """Whether a process still runs; None where this machine cannot know.

    Args:
        process: Its number.
        when_born: As `born` said of it; 0 where that was not known.
        machine: On which it runs.
    """
    if machine != os.uname().nodename:
        return None
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        pass
    now = born(process)
    return not when_born or now is None or now == when_born


def born(process: int) -> int | None:
    """Return when a process began, in ticks since the machine did; None where nothing says so."""
    with suppress(OSError, ValueError, IndexError):
        said = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        return int(said.rpartition(")")[2].split()[19])
    return None
