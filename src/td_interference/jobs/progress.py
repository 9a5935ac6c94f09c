"""Progress of long loops: one line on the terminal and in the log, one file for `status`.

Several jobs share the terminal, so a moving bar would garble it: each job prints a whole line
(count, rate, time left) every few seconds instead, and keeps the same figures in a small JSON
file that `td-interference status` reads on any executor.
"""

import json
import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from td_interference.errors import UserError
from td_interference.jobs.quantities import duration, rate
from td_interference.jobs.records import born
from td_interference.storage.files import write_text

logger = logging.getLogger(__name__)

FILE_NAME = "progress.json"


class Heartbeat(NamedTuple):
    """What a job last said of itself."""

    job: str
    unit: str
    done: int
    total: int
    rate: float | None  # units per second since this process started; None as long as unknown
    seconds_left: float | None
    written_at: float  # seconds since the epoch
    process: int
    born: str  # see `records.born`
    machine: str


class Progress:
    """Counts the steps of one job; a context manager.

    Args:
        job: The job's name as a person should read it, e.g. "train_run ms_pacman-...-seed0".
        total: Steps in all.
        unit: What a step is, e.g. "updates".
        directory: Where the heartbeat file goes; None for no file.
        done: Steps already done before this process (a resumed job).
        interval: Seconds between two lines.
    """

    def __init__(
        self,
        job: str,
        total: int,
        unit: str,
        directory: Path | str | None = None,
        done: int = 0,
        interval: float = 10.0,
    ):
        """See the class."""
        self.job, self.total, self.unit, self.done = job, total, unit, done
        self.directory = None if directory is None else Path(directory)
        self.interval = interval
        self._initial = done
        self._started = self._said = time.monotonic()

    def __enter__(self) -> Self:
        """Say where the job starts; `status` shows it from now on."""
        if self._initial:
            logger.info("%s: goes on from %d of %d %s", self.job, self.done, self.total, self.unit)
        self._beat(None, None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Say the last line, and take the heartbeat away when the loop came to its end."""
        self._say()
        if self.directory is not None and kind is None:
            (self.directory / FILE_NAME).unlink(missing_ok=True)
            with suppress(OSError):  # not empty: a resume state lies there too
                self.directory.rmdir()

    def advance(self, steps: int = 1) -> None:
        """Count `steps` more, and say a line if it is time for one."""
        self.done += steps
        if time.monotonic() - self._said >= self.interval:
            self._say()

    def _say(self) -> None:
        self._said = time.monotonic()
        elapsed = self._said - self._started
        counted = self.done - self._initial
        per_second = counted / elapsed if elapsed > 0 and counted > 0 else None
        # Some jobs count in steps of many and so end beyond what was asked of them.
        left = max(0, self.total - self.done) / per_second if per_second else None
        logger.info(
            "%s: %d/%d %s [%s<%s, %s]",
            self.job,
            self.done,
            max(self.done, self.total),
            self.unit,
            duration(elapsed),
            duration(left),
            rate(per_second, self.unit),
        )
        self._beat(per_second, left)

    def _beat(self, per_second: float | None, left: float | None) -> None:
        if self.directory is not None:
            total, process = max(self.done, self.total), os.getpid()
            beat = Heartbeat(
                *(self.job, self.unit, self.done, total, per_second, left, time.time()),
                *(process, born(process), os.uname().nodename),
            )
            # A disk that is full is no reason to end a job: the line above says as much.
            with suppress(OSError, UserError):
                write_text(self.directory / FILE_NAME, json.dumps(beat._asdict()))
