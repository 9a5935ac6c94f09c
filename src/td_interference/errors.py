"""Errors a user can mend, and the one place that turns them into a single line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Bad input from outside the program.

    The message is one line that names the file or key at fault and the way out.
    """


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the process with exit code 1 and one line on standard error on a `UserError`.

    Every other exception is a defect of this package and keeps its traceback.

    Raises:
        SystemExit: Code 1, if the block raised a `UserError`.
    """
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None
