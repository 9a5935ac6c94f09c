"""What is known of each job from outside: that it runs, or how it ended without finishing.

A record lies in the job's state directory from its first moment on, and goes when the job is done.
One that stays tells of a job that failed, was stopped, or was killed before it could say so.
"""

import json
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from td_interference.errors import UserError
from td_interference.planning import layout
from td_interference.storage.files import write_text

FILE_NAME = "job.json"

Record = TypeVar("Record", bound=tuple[Any, ...])


class JobRecord(NamedTuple):
    """One job's word on itself."""

    process: int
    born: str  # when that process began, as `born` says: numbers are used again
    machine: str
    log: str  # its log file, from the directory it was called in
    ended: str = ""  # "failed" or "stopped"
    reason: str = ""  # why, in one line
    written_at: float = 0.0  # seconds since the epoch


def state_directory(log_path: Path | str) -> Path | None:
    """Return the state directory of the job with a log `results/<scale>/logs/<rule>/<job>.log`.

    It is `results/<scale>/state/<rule>/<job>`; None for a log that lies elsewhere.
    """
    form = rf"((?:.*/)?{layout.RESULTS}/[^/]+)/{layout.LOGS}/(.+)\.log"
    found = re.fullmatch(form, str(log_path))
    return Path(found[1], layout.STATE, found[2]) if found else None


def write_record(log_path: Path | str, ended: str = "", reason: str = "") -> None:
    """Write the record of this process's job; a disk that is full is no reason to end a job.

    Args:
        log_path: The job's log.
        ended: "" while it runs; "failed" or "stopped".
        reason: Of its end, in one line.
    """
    if (directory := state_directory(log_path)) is None:
        return
    own = os.getpid()
    record = JobRecord(
        own, born(own), os.uname().nodename, str(log_path), ended, reason, time.time()
    )
    with suppress(OSError, UserError):
        write_text(directory / FILE_NAME, json.dumps(record._asdict()))


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

    It is None where the file is gone in the meantime, damaged, or of another version.
    """
    with suppress(OSError, ValueError, TypeError, RecursionError):
        record = kind(**json.loads(file.read_text(encoding="utf-8")))
        if all(map(_fits, record, kind.__annotations__.values())):
            return record
    return None


def _fits(value: object, wanted: Any) -> bool:
    """Whether a value of JSON is of the type wanted; whole numbers are numbers."""
    return isinstance(value, wanted) or (type(value) is int and isinstance(0.0, wanted))


def is_alive(process: int, when_born: str, machine: str) -> bool | None:
    """Whether a process, of which `born` said this on that machine, still runs; None: who knows."""
    if machine != os.uname().nodename:
        return None
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        pass
    return not when_born or born(process) in ("", when_born)


def born(process: int) -> str:
    """Return when a process began, by the kernel's words for this boot; "" where nothing says."""
    with suppress(OSError, IndexError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        said = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        return f"{boot} {said.rpartition(')')[2].split()[19]}"  # behind the name, which ends in ")"
    return ""
