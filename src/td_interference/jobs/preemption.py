"""Signals by which clusters and people ask a job to end: save a state if that is quick, and go.

SIGTERM comes from clusters and `kill`, SIGINT from Ctrl-C, SIGHUP from a terminal that is closed.
They only set a flag. Loops that save resume states find it set at their next step, write one, and
leave; whatever has not left after `GRACE` seconds is interrupted where it is.
"""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

logger = logging.getLogger(__name__)

GRACE = 10  # seconds; SLURM follows SIGTERM with SIGKILL after 30
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_requested: signal.Signals | None = None


class Preempted(SystemExit):
    """The process was asked to end; no error of anybody's, so it leaves without a traceback.

    Args:
        by: The signal that asked; the exit code is 128 and its number.
    """

    def __init__(self, by: signal.Signals):
        """See the class."""
        super().__init__(128 + by)
        self.by = by

    def __str__(self) -> str:
        """Say how the process ended."""
        return f"ended by {self.by.name}"


@contextmanager
def listening() -> Iterator[None]:
    """Within the block, end the process soon after one of `SIGNALS`, and then ignore them.

    A signal that the process was started to ignore (`nohup`) stays ignored. Must be entered by the
    main thread, as Python's signal handlers are.
    """

    def request(number: int, frame: FrameType | None) -> None:
        global _requested
        if _requested is None:  # one that comes again gives no more time
            _requested = signal.Signals(number)
            signal.alarm(GRACE)

    def interrupt(number: int, frame: FrameType | None) -> None:
        leave("it could not save a resume state in time; those before stay")

    global _requested
    heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    handlers: dict[signal.Signals, Any] = dict.fromkeys(heard, request)
    handlers[signal.SIGALRM] = interrupt
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        signal.alarm(0)
        for number, handler in before.items():
            # A process that ends anyway ends as it would, whatever comes meanwhile.
            ending = _requested is not None and number in SIGNALS
            signal.signal(number, signal.SIG_IGN if ending else handler)
        _requested = None


def requested() -> bool:
    """Whether the process was asked to end."""
    return _requested is not None


def leave(how_to_go_on: str) -> None:
    """End the process if it was asked to.

    Args:
        how_to_go_on: What the log says of it.

    Raises:
        Preempted: If it was; its code is 128 and the signal's number.
    """
    if _requested is not None:
        end = Preempted(_requested)
        logger.warning("%s: %s", end, how_to_go_on)
        raise end
