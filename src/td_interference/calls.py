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
        """Return the newest call that made results of a scale.

        Args:
            results: The directory `results`, absolute.
            scale: Name of the scale.

        Returns:
            A plain call in the directory that holds `results` where none is written down, or the
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
    escaped = word.replace("\\", r"\\").replace("'", r"\'")
    return "$'" + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in escaped) + "'"


def remember_call(scale: str) -> None:
    """Write down the call that this process is, for a scale of the working directory's results.

    Args:
        scale: Name of the scale.
    """
    results = Path(layout.RESULTS).absolute()
    said = {
        "results": str(results),
        "directory": _called_from(),
        "command": _without_targets(sys.argv),
    }
    file = call_file(results, scale)
    # A directory that cannot be written to is met by the jobs, which have a line for it.
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        whole = file.with_name(f".{file.name}-{os.getpid()}")
        whole.write_text(json.dumps(said, indent=1), encoding="utf-8")
        whole.replace(file)


def _called_from() -> str:
    """Return the directory that a call was made in, though `--directory` changed it since.

    The shell says which (PWD); where that cannot be, it is the present one.
    """
    here, shell = os.getcwd(), os.environ.get("PWD", "")
    given = _given(sys.argv, "-d", "--directory")
    meant = os.path.join(shell, given) if given is not None else shell
    try:
        return shell if shell and os.path.samefile(meant, here) else here
    except OSError:
        return here


def _given(words: list[str], *options: str) -> str | None:
    """Return the value of an option, as the command line has it."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in options:
            return following
        for option in options:
            if word.startswith(f"{option}=") or (len(option) == 2 and word.startswith(option)):
                return word.removeprefix(option).removeprefix("=")
    return None


def _without_targets(words: list[str]) -> list[str]:
    """Return a Snakemake command line without what it asks for.

    Snakemake itself says which words are targets: those that are gone when nothing else changes.
    """
    from snakemake.cli import get_argument_parser  # only Snakemake itself comes here

    parser = get_argument_parser()
    program, options = _program(words[0]), words[1:]

    def parsed(these: list[str]) -> dict[str, Any]:
        return dict(vars(parser.parse_known_args(these)[0]))

    whole, again = parsed(options), parsed(options)
    settings = [key for key in whole if whole[key] == again[key]]  # others are made anew each time
    targets = [*map(str, whole["targets"] or ())]
    settings.remove("targets")
    for start in range(len(options) - len(targets), -1, -1):
        end = start + len(targets)
        if not targets or options[start:end] != targets:
            continue
        left = [*options[:start], *options[end:]]
        if left[start - 1 : start] == ["--"]:
            del left[start - 1]
        rest = parsed(left)
        if not rest["targets"] and all(rest[key] == whole[key] for key in settings):
            return [*program, *left]
    return [*program, *options]


def _program(path: str) -> list[str]:
    """Return how a person calls the program that runs as `path`."""
    if Path(path).name == "__main__.py":
        return [sys.executable, "-m", "snakemake"]
    found = shutil.which(Path(path).name)
    same = found is not None and os.path.realpath(found) == os.path.realpath(path)
    return [Path(path).name if same else path]
