"""Imported by scripts before all that takes long to import: Ctrl-C then ends them in silence.

Python would print where in some library it was interrupted. Once a job has begun, it listens itself
(`preemption`). Where Ctrl-C is ignored, it stays ignored.
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
