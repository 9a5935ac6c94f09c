"""The Snakemake call that makes a scale's results, kept so that advice on them can repeat it.

A bad result is made anew by the call that made it, with all its settings; another would make
another result, or know no such file. Snakemake's first process writes its own command line down
before its first job runs, beside the results that the call is about.
"""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

from td_interference.planning import layout

_FILE_NAME = "snakemake-call.json"
_PLAIN = ("snakemake", "--cores", "all")


class Call(NamedTuple):
    """One call of Snakemake, without its targets."""

    directory: str  # where it was made
    command: list[str]  # words, options and their values

    @classmethod
    def of_scale(cls, results: Path, scale: str) -> Self:
        """Return the newest call that made results of a scale, below the directory `results`.

        It is a plain call in the directory that holds `results` where none is written down, or the
        results came here from elsewhere since.
        """
        try:
            said = json.loads(call_file(results, scale).read_text(encoding="utf-8"))
            if os.path.samefile(said["results"], results) and Path(said["directory"]).is_dir():
                return cls(said["directory"], [str(word) for word in said["command"]])
        except (OSError, ValueError, TypeError, KeyError):
            pass
        return cls(str(results.parent), [*_PLAIN, "--config", f"scale={scale}"])

    def line(self, target: str, *first: str) -> str:
        """Return what a person types to make `target` by this call, from where they are.

        Args:
            target: Path of a result, from the directory that holds `results`.
            first: Commands to come before, of absolute paths or of paths from `directory`.
        """
        here = os.path.realpath(self.directory) == os.path.realpath(os.curdir)
        there = [] if here else [f"cd {quoted(self.directory)}"]
        words = [quoted(word) for word in self.command]
        return " && ".join([*there, *first, " ".join([*words, "--", quoted(target)])])


def call_file(results: Path, scale: str) -> Path:
    """Return where the newest call that made results of a scale is written down."""
    return results / scale / layout.state(_FILE_NAME)


def quoted(word: str) -> str:
    """Return a word as a shell reads it, on one line whatever is in it."""
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + escaped(word.replace("\\", r"\\").replace("'", r"\'")) + "'"


def escaped(text: str) -> str:
    """Return `text` with what nothing shows as escapes: line breaks, too, are none in a name."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def remember_call(scale: str) -> None:
    """Write down the call that this process is, for a scale of the working directory's results."""
    from snakemake.cli import get_argument_parser  # only Snakemake itself comes here

    parser = get_argument_parser()

    def parsed(words: list[str]) -> dict[str, Any]:
        return dict(vars(parser.parse_known_args(words)[0]))

    results, words = Path(layout.RESULTS).absolute(), sys.argv[1:]
    said = {
        "results": str(results),
        "directory": _called_from(parsed(words)["directory"]),
        "command": [*_program(sys.argv[0]), *_without_targets(words, parsed)],
    }
    file = call_file(results, scale)
    # A directory that cannot be written to is met by the jobs, which have a line for it.
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        whole = file.with_name(f".{file.name}-{os.getpid()}")
        whole.write_text(json.dumps(said, indent=1), encoding="utf-8")
        whole.replace(file)


def _called_from(directory: Path | None) -> str:
    """Return the directory that a call was made in, though `--directory` changed it since.

    The shell says which (PWD); where that cannot be, it is the present one.
    """
    here, shell = os.getcwd(), os.environ.get("PWD", "")
    try:
        meant = os.path.join(shell, directory or "")
        return shell if shell and os.path.samefile(meant, here) else here
    except OSError:
        return here


def _without_targets(words: list[str], parsed: Callable[[list[str]], dict[str, Any]]) -> list[str]:
    """Return Snakemake's arguments without what they ask for.

    Snakemake itself says which words are targets: those that are gone when nothing else changes.
    """
    whole, again = parsed(words), parsed(words)
    settings = [key for key in whole if whole[key] == again[key]]  # others are made anew each time
    targets = [*map(str, whole["targets"] or ())]
    settings.remove("targets")
    for start in range(len(words) - len(targets), -1, -1):
        end = start + len(targets)
        if not targets or words[start:end] != targets:
            continue
        left = [*words[:start], *words[end:]]
        if left[start - 1 : start] == ["--"]:
            del left[start - 1]
        rest = parsed(left)
        if not rest["targets"] and all(rest[key] == whole[key] for key in settings):
            return left
    return words


def _program(path: str) -> list[str]:
    """Return how a person calls the program that runs as `path`."""
    if Path(path).name == "__main__.py":
        return [sys.executable, "-m", "snakemake"]
    found = shutil.which(Path(path).name)
    same = found is not None and os.path.realpath(found) == os.path.realpath(path)
    return [Path(path).name if same else path]
