"""Errors a user can mend, and the one place that turns them into a single line."""

import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import NamedTuple

from td_interference.calls import Call, escaped, quoted
from td_interference.planning import layout

# What the modules of a user's own objectives are called, so that a traceback tells them apart.
OWN_MODULE = "own_objective_"


class UserError(Exception):
    """Bad input from outside the program.

    The message is one line that names the file or key at fault and the way out, whatever stands in
    the names that it quotes.
    """

    def __init__(self, message: str) -> None:
        """Make one line of the message."""
        super().__init__(printable(message))


class Place(NamedTuple):
    """Where the workflow puts one of its results."""

    results: Path  # the directory `results`, absolute
    scale: str
    target: str  # from the directory that holds `results`


def place_of(path: Path | str) -> Place | None:
    """Return what result of the workflow a path is the place of, by its name alone.

    It is None where no rule of the workflow would make a file of this name.
    """
    whole = Path(os.path.abspath(path))
    for results in whole.parents:
        if results.name == layout.RESULTS:
            scale, _, below = whole.relative_to(results).as_posix().partition("/")
            if target := layout.target(below):
                return Place(results, scale, layout.at(scale, target))
    return None


def rebuild(path: Path | str, *, made_here: bool = True) -> str:
    """Return what a user can do about a bad result: the command that makes it anew.

    Args:
        path: The file. Where it is not at the place of a result of the workflow, nobody is told to
            delete anything.
        made_here: False where another program made the file: it is moved away and not deleted.
    """
    if (place := place_of(path)) is None:
        return "copy it again from where it came from, or make it anew"
    call = Call.of_scale(place.results, place.scale)
    file, whole = place.target, str(place.results.parent / place.target)
    if os.path.realpath(call.directory) != os.path.realpath(place.results.parent):
        file = whole
    if made_here:
        return "rebuild it: " + call.line(place.target, f"rm -r {quoted(file)}")
    names = (f".foreign{number or ''}" for number in itertools.count())
    free = next(name for name in names if not os.path.lexists(whole + name))
    away = f"mv {quoted(file)} {quoted(file + free)}"
    return f"move it away and rebuild what belongs there: {call.line(place.target, away)}"


def printable(text: str) -> str:
    """Return `text` as one line that any terminal and any log can show.

    Line breaks become spaces; other characters that nothing shows (controls, halves of characters
    in the names of files) become their escapes, as in Python.
    """
    return escaped(" ".join(text.split()))


def explained(error: BaseException) -> str | None:
    """Return the line on an error that is not this program's own; None where it is a defect.

    Lines are there for a `UserError`, for what the system refuses (a file that cannot be read, a
    full disk), and for whatever happens in a user's own objective, by its file, line and function;
    not for a signal that comes meanwhile.
    """
    if isinstance(error, UserError):
        return printable(str(error))
    mistaken = isinstance(error, Exception) or type(error) is SystemExit
    if mistaken and (place := place_in_own_code(error.__traceback__)) is not None:
        return printable(f"{place}: {words_of(error)}; mend your objective there")
    if _is_of_memory(error):
        return printable(
            f"not enough memory ({error}); give the job more (on a cluster: mem_mb below "
            "set-resources, see docs/slurm.md), run fewer at a time, or lift the limit (ulimit -v)"
        )
    if isinstance(error, OSError) and error.errno is not None:
        given = (error.filename, error.filename2)
        names = [os.fsdecode(n) for n in given if isinstance(n, str | bytes | os.PathLike)]
        reason = error.strerror or os.strerror(error.errno)
        return printable(": ".join([" -> ".join(names), reason] if names else [reason]))
    return None


def words_of(error: BaseException) -> str:
    """Return type and message of an error in one line, also where its own `__str__` fails."""
    try:
        said = " ".join(str(error).split())
    except Exception:
        said = "it cannot say what"
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


# torch has no exception of its own for its allocator on a CPU.
_OF_MEMORY = ("can't allocate memory", "Cannot allocate memory", "out of memory", "bad_alloc")


def _is_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory could not be had."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | ImportError | OSError)
        and any(words in str(error) for words in _OF_MEMORY)
    )


def place_in_own_code(traceback: TracebackType | None) -> str | None:
    """Return "file:line, in function", the innermost place of a traceback in an own objective.

    It is None where no code of one was running.
    """
    places = [
        f"{frame.f_code.co_filename}:{line}, in {frame.f_code.co_qualname}"
        for frame, line in walk_tb(traceback)
        if str(frame.f_globals.get("__name__")).startswith(OWN_MODULE)
    ]
    return places[-1].replace(", in <module>", "") if places else None


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the process with exit code 1 and one line on standard error where `explained` has one.

    Every other exception is a defect of this package and keeps its traceback.

    Raises:
        SystemExit: Code 1, if the block raised an error that is not this package's.
    """
    try:
        yield
    except BaseException as error:
        line = explained(error)
        if line is None:
            raise
        print(f"error: {line}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None
