"""What a command may write to: never one of its inputs, and no file that is there unasked."""

import os
from collections.abc import Iterable
from pathlib import Path

from td_interference.commands.inspection import is_montage
from td_interference.errors import UserError
from td_interference.storage import hdf5, kinds


def check_output(output: Path, inputs: Iterable[Path], *, force: bool, option: str) -> None:
    """See that writing a file loses nothing.

    Args:
        output: The file to write.
        inputs: What the command reads; of directories, every file in them.
        force: Whether what the same command wrote before may be replaced.
        option: Of the command line that names the output: "--output" or "--montage".

    Raises:
        UserError: If it is an input under whatever name or link, a directory, there already, or
            not of this command.
    """
    if not os.path.lexists(output):
        return
    for given in inputs:
        inside = given.rglob("*") if given.is_dir() else ()
        if any(_is_same(output, path) for path in (given, *inside)):
            raise UserError(
                f"{output}: {option} would replace the input {given}; give the output another name"
            )
    if output.exists() and not output.is_file():
        what = "a directory" if output.is_dir() else "no plain file"
        raise UserError(f"{output}: is {what}; {option} needs the name of a file")
    if not force:
        raise UserError(
            f"{output}: is there already; give {option} another name, or replace it by --force"
        )
    what, is_own = _OWN[option]
    if not is_own(output):
        raise UserError(
            f"{output}: is no {what} of td-interference, and --force replaces nothing else; give "
            f"{option} another name"
        )


def _is_measurement(path: Path) -> bool:
    try:
        return hdf5.read_attributes(path)["schema"] in kinds.MEASUREMENTS
    except UserError:
        return False


# What each option writes, and so may replace.
_OWN = {"--output": ("measurement", _is_measurement), "--montage": ("montage", is_montage)}


def _is_same(output: Path, path: Path) -> bool:
    """Whether two names are of one file, through links of either kind."""
    if os.path.realpath(output) == os.path.realpath(path):
        return True
    try:
        return os.path.samefile(output, path)
    except OSError:
        return False
