"""Errors a user can mend, and the one place that turns them into a single line."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Folders of results/<scale>/ whose files the workflow makes; a file's path is the target.
_STAGES = ("experts", "replay", "datasets", "runs", "metrics", "tables", "figures")
_WINDOWS_AT = 4  # results/<scale>/runs/<run>/windows is one target, with all files in it


class UserError(Exception):
    """Bad input from outside the program.

    The message is one line that names the file or key at fault and the way out.
    """


def rebuild(path: Path | str) -> str:
    """Return what a user can do about a bad result: the command that makes it anew.

    Args:
        path: The file; where it is not below `results`, no command is known.
    """
    parts = Path(path).parts
    if "results" not in parts:
        return "delete it and run snakemake again"
    start = len(parts) - 1 - parts[::-1].index("results")
    target = parts[start:]
    if len(target) < 4 or target[2] not in _STAGES:
        return "delete it and run snakemake again"
    if target[_WINDOWS_AT:] and target[_WINDOWS_AT] == "windows":
        target = target[: _WINDOWS_AT + 1]
    name = shlex.quote(str(Path(*target)))
    there = f"cd {shlex.quote(str(Path(*parts[:start])))} && " if start else ""
    scale = shlex.quote(f"scale={target[1]}")
    return f"rebuild it: {there}rm -r {name} && snakemake --cores all --config {scale} -- {name}"


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
        line = " ".join(str(error).split())  # a file's name may hold line breaks
        print(f"error: {line}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None
