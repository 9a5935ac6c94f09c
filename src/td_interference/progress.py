"""Progress of long loops: one line on the terminal and in the log, one file for `status`.

Several jobs share the terminal, so a moving bar would garble it: each job prints a whole line
(count, rate, time left) every few seconds instead, and keeps the same figures in a small JSON
file that `td-interference status` reads on any executor.
"""

import json
import logging
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tqdm import tqdm

from td_interference.errors import UserError
from td_interference.files import write_text

logger = logging.getLogger(__name__)

FILE_NAME = "progress.json"


class Heartbeat(NamedTuple):
    """What a job last said of itself."""

    job: str
    unit: str
    done: int
    total: int
    rate: float  # units per second since this process started
    seconds_left: float
    written_at: float  # seconds since the epoch


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
        self._beat(0.0, 0.0)
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
        rate = (self.done - self._initial) / elapsed if elapsed > 0 else 0.0
        left = (self.total - self.done) / rate if rate else 0.0
        logger.info(
            "%s: %d/%d %s [%s<%s, %.1f %s/s]",
            self.job,
            self.done,
            self.total,
            self.unit,
            tqdm.format_interval(elapsed),
            tqdm.format_interval(left),
            rate,
            self.unit,
        )
        self._beat(rate, left)

    def _beat(self, rate: float, left: float) -> None:
        if self.directory is not None:
            beat = Heartbeat(self.job, self.unit, self.done, self.total, rate, left, time.time())
            # A disk that is full is no reason to end a job: the line above says as much.
            with suppress(OSError, UserError):
                write_text(self.directory / FILE_NAME, json.dumps(beat._asdict()))
