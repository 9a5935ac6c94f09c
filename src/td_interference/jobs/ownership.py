"""One process at a time works in a directory, whichever machines see it.

The owner holds a lock of the operating system on a file in the directory, which ends with its
process, whatever ends it. Some file systems know such locks on one machine only, some not at all:
so the file also says who the owner is, and the owner touches it every few seconds. Whoever finds
an owner on another machine watches the file for a while; clocks are not compared.
"""

import atexit
import fcntl
import json
import logging
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple, Self

from td_interference.errors import UserError
from td_interference.jobs import preemption
from td_interference.jobs.records import born, is_alive, read_as

logger = logging.getLogger(__name__)

FILE_NAME = ".owner"
BEAT = 10.0  # seconds between two touches by the owner
PATIENCE = 3 * BEAT  # seconds without a touch after which an owner elsewhere is taken for dead
_POLL = 0.2  # seconds between two looks at what somebody else owns


class Owner(NamedTuple):
    """A process that owns a directory, as its file says."""

    host: str
    process: int
    started: str  # when the machine started it: tells it from a later process of that number
    since: str  # when it became the owner, for a person to read
    slurm_job: str = ""

    @classmethod
    def myself(cls) -> Self:
        """Return this process."""
        return cls(
            os.uname().nodename,
            os.getpid(),
            born(os.getpid()),
            time.strftime("%Y-%m-%d %H:%M:%S"),
            os.environ.get("SLURM_JOB_ID", ""),
        )

    def __str__(self) -> str:
        """Name it for a person."""
        job = f" (Slurm job {self.slurm_job})" if self.slurm_job else ""
        return f"process {self.process} on {self.host}{job}, since {self.since}"

    @property
    def end(self) -> str:
        """The command that ends it."""
        if self.slurm_job:
            return f"scancel {self.slurm_job}"
        return f"kill {self.process}" + (f" on {self.host}" if self.elsewhere else "")

    @property
    def elsewhere(self) -> bool:
        """Whether it was on another machine, so that its process number tells nothing here."""
        return self.host != os.uname().nodename


class Ownership:
    """A directory that this process owns until `release`, or until the process ends."""

    def __init__(self, path: Path, file: int):
        """Take the locked file; see `own`."""
        self._path, self._file = path, file
        self._released = threading.Event()
        threading.Thread(target=self._beat, daemon=True, name=f"owner of {path.parent}").start()

    @property
    def holds(self) -> bool:
        """Whether the directory is owned still, and was not removed and made again."""
        return not self._released.is_set() and _is_at(self._path, self._file)

    def release(self) -> None:
        """Let the next process own the directory."""
        if not self._released.is_set():
            self._released.set()
            if _is_at(self._path, self._file):
                self._path.unlink(missing_ok=True)
            os.close(self._file)

    def _beat(self) -> None:
        while not self._released.wait(BEAT):
            with suppress(OSError):
                os.utime(self._path)


_owned: dict[Path, Ownership] = {}


def own(directory: Path | str) -> Ownership:
    """Become the owner of a directory, which is created; wait while another process is.

    Within a process, everybody who asks gets the same ownership.

    Raises:
        Preempted: If the process was asked to end while it waited.
        UserError: If the directory cannot be written to.
    """
    directory = Path(directory).absolute()
    mine = _owned.get(directory)
    if mine is None or not mine.holds:
        mine = _owned[directory] = _wait_for(directory / FILE_NAME)
    return mine


def disown(directory: Path | str) -> None:
    """Release a directory, if this process owns it."""
    mine = _owned.pop(Path(directory).absolute(), None)
    if mine is not None:
        mine.release()


@atexit.register
def _disown_all() -> None:
    """Leave no file that a process on another machine would have to watch."""
    for directory in list(_owned):
        with suppress(OSError):
            disown(directory)


def _wait_for(path: Path) -> Ownership:
    said = None
    while True:
        file, new = _opened(path)
        try:
            locked = lock(file)
            other = None if new else read_as(Owner, path)
            if locked is not False and _is_at(path, file):
                if not _is_alive(path, file, other, locked=locked is True):
                    _write(file)
                    mine, file = Ownership(path, file), -1
                    return mine
            elif locked is not False:
                continue  # it was removed in between
        finally:
            if file >= 0:
                os.close(file)
        if other is not None and other != said:
            logger.warning(
                "%s: another process does this job already: %s; waiting for it to end (or end it: "
                "%s; what it saved is not lost)",
                path.parent,
                other,
                other.end,
            )
            said = other
        preemption.leave("it was waiting for its turn and had not begun")
        time.sleep(_POLL)


def _is_alive(path: Path, file: int, other: Owner | None, *, locked: bool) -> bool:
    """Whether the process that the file names is at work, though it holds no lock seen here."""
    if other is None:  # killed before it had written, or about to write
        time.sleep(_POLL)
        other = read_as(Owner, path)
        if other is None:
            return False
    if not other.elsewhere:
        return not locked and is_alive(other.process, other.started, other.host) is True
    if other.slurm_job and other.slurm_job == os.environ.get("SLURM_JOB_ID"):
        return False  # an earlier life of this very job, on a node that was lost
    logger.info("%s: is %s alive? Looking for %.0f s", path.parent, other, PATIENCE)
    before, end = os.fstat(file).st_mtime_ns, time.monotonic() + PATIENCE
    while time.monotonic() < end:
        preemption.leave("it was waiting for its turn and had not begun")
        time.sleep(_POLL)
        if not _is_at(path, file):
            return True  # it ended; begin anew
        with suppress(OSError):
            # Opened anew: what a network file system remembers of an open file may be old.
            if path.stat().st_mtime_ns != before:
                return True
    logger.warning("%s: %s gives no sign of life; going on from what it saved", path.parent, other)
    return False


def _opened(path: Path) -> tuple[int, bool]:
    """Return the open file, and whether this process made it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), True
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666), False
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); choose or clear another place"
        ) from error


def lock(file: int | IO[str], kind: int = fcntl.LOCK_EX) -> bool | None:
    """Try to lock; False: another process has it; None: the file system knows no locks."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except OSError:
        return False


def _write(file: int) -> None:
    with suppress(OSError):  # a full disk: the lock itself holds
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(Owner.myself()._asdict()).encode(), 0)
        os.fsync(file)
