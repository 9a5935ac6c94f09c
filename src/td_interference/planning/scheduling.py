"""What the Snakemake that schedules does around its jobs, from its first moment to its last.

It clears a dead one's lock (`snakemake_lock`), passes on the signals that ask it to end, and
removes the resume states of jobs whose outputs it has seen, and copies of D* in scratch. Snakemake
by itself lets the running jobs go on to their end after SIGTERM, which may take days.
"""

import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

from td_interference.jobs import preemption, snakemake_lock
from td_interference.jobs.kept_files import forget
from td_interference.storage import raw_frames

begin = snakemake_lock.begin


def started() -> None:
    """Let other Snakemakes begin, and end as after Ctrl-C when asked to end.

    Called once Snakemake has its lock and its own handlers.
    """
    snakemake_lock.begun()
    _handle(_end)


def _handle(handler: Callable[[int, FrameType | None], None]) -> None:
    """Handle the signals by which this process is asked to end, but for those it ignores."""
    for number in preemption.SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> None:
    """Ask the jobs on this machine to end, and have Snakemake wait for them and cancel the others.

    What comes after the first signal would interrupt just that: it reaches the jobs alone.

    Raises:
        KeyboardInterrupt: Always.
    """
    _handle(_end_jobs)
    _end_jobs(number, frame)
    raise KeyboardInterrupt


def _end_jobs(number: int, frame: FrameType | None) -> None:
    """Ask the processes below this one to end that run a script of a rule."""
    import psutil  # Snakemake's own; here, where it is needed

    with suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                command = child.cmdline()
                if len(command) > 1 and ".snakemake/scripts/" in command[1]:
                    child.terminate()


def ended(graph: Any) -> None:
    """Remove what no job needs any more: copies of D* in scratch, and accepted resume states."""
    raw_frames.remove_unused()
    forget_accepted(graph)


def forget_accepted(graph: Any) -> None:
    """Remove the resume states of jobs whose outputs Snakemake has recorded as whole.

    Until then they stay: what Snakemake did not live to record it removes and asks for again.
    """
    for job in graph.jobs:
        state = getattr(job.params, "state", None)
        if state is not None and (graph.finished(job) or not graph.needrun(job)):
            forget(state)
