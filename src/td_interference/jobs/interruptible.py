"""Imported by scripts before all that takes long to import, for what may end them meanwhile.

Ctrl-C ends them in silence: Python would print where in some library it was interrupted. Where it
is ignored, it stays ignored. A user's mistake that is found on import, in a card say, is one line.
Once a job has begun, it listens itself (`preemption`) and has its own lines (`job`).
"""

import signal
import sys
from types import TracebackType

from td_interference.errors import explained

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _say(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if (line := explained(error)) is None:
        sys.__excepthook__(kind, error, traceback)
    else:
        print(f"error: {line}", file=sys.stderr)


sys.excepthook = _say
