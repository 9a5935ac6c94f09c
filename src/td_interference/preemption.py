"""SIGTERM, by which clusters and people ask a job to end: save a state if that is quick, and go.

The signal only sets a flag. Loops that save resume states find it set at their next step, write
one, and leave; whatever has not left after `GRACE` seconds is interrupted where it is.
"""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

logger = logging.getLogger(__name__)

GRACE = 10  # seconds; SLURM follows SIGTERM with SIGKILL after 30
EXIT_CODE = 128 + signal.SIGTERM  # as a shell reports it

_requested = False


class Preempted(SystemExit):
    """The process was asked to end; no error of anybody's, so it leaves without a traceback."""


@contextmanager
def listening() -> Iterator[None]:
    """Within the block, end the process soon after SIGTERM, with `EXIT_CODE`.

    Must be entered by the main thread, as Python's signal handlers are.
    """

    def request(number: int, frame: FrameType | None) -> None:
        global _requested
        _requested = True
        signal.alarm(GRACE)

    def interrupt(number: int, frame: FrameType | None) -> None:
        leave("it could not save a resume state in time; those before stay")

    global _requested
    handlers: dict[signal.Signals, Any] = {signal.SIGTERM: request, signal.SIGALRM: interrupt}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        signal.alarm(0)
        _requested = False
        for number, handler in before.items():
            signal.signal(number, handler)


def requested() -> bool:
    """Whether the process was asked to end."""
    return _requested


def leave(how_to_go_on: str) -> None:
    """End the process if it was asked to.

    Args:
        how_to_go_on: What the log says of it.

    Raises:
        Preempted: If it was.
    """
    if requested():
        logger.warning("ended by SIGTERM: %s", how_to_go_on)
        raise Preempted(EXIT_CODE)
