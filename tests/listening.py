"""Processes that hear signals, also where the tests themselves were started to ignore them."""

import signal

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def listen() -> None:
    """Undo what `nohup` and shells in the background ask for; a `preexec_fn` of `Popen`."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
