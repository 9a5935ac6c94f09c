"""The files a data set comes in: found where the user says, or downloaded; known by checksum.

Nothing that this module returns is read before its checksum is right; until then a file is bytes.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

from td_interference.errors import UserError


class KnownFile(NamedTuple):
    """One canonical file of a data set."""

    name: str
    url: str  # where it is had, "" for a part of another file
    checksum: str  # "md5:..." or "sha256:..."; "bytes:N", its size, where no digest is known


class FoundFile(NamedTuple):
    """A file whose checksum was right."""

    name: str
    path: Path
    checksum: str  # the one that was compared; the SHA-256 of a file that nobody knows


# The files that make up a data set, in each form it comes in; the first one is downloaded.
Forms = Sequence[Sequence[KnownFile]]


def checksum(path: Path | str, algorithm: str) -> str:
    """Return a file's checksum, "algorithm:value".

    Args:
        path: The file.
        algorithm: A name of hashlib, or "bytes" for the size.
    """
    path = Path(path)
    if algorithm == "bytes":
        return f"bytes:{path.stat().st_size}"
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def verified(path: Path, known: KnownFile) -> FoundFile:
    """Return the file `path` as `known` once its checksum is right.

    Raises:
        UserError: If it is not.
    """
    actual = checksum(path, known.checksum.partition(":")[0])
    if actual != known.checksum:
        source = f"get {known.name} again from {known.url}" if known.url else "get it again"
        raise UserError(
            f"{path}: damaged or another file (it has {actual}, {known.name} has "
            f"{known.checksum}); {source}"
        )
    return FoundFile(known.name, path, actual)


def find(name: str, path: Path, forms: Forms) -> dict[str, FoundFile]:
    """Return the verified files of a local copy by their canonical names.

    Args:
        name: Of the data set, for messages.
        path: A directory that holds the files under their canonical names, or one of the files,
            the others lying beside it.
        forms: What to look for.

    Raises:
        UserError: If no form is complete, or a checksum is wrong.
    """
    key = f"config key 'datasets.{name}.path'"
    if not path.exists():
        raise UserError(f"{key}: {path}: no such file or folder; {_local_copy(forms)}")
    folder = path if path.is_dir() else path.parent
    for form in forms:
        named = path.is_dir() or path.name in {known.name for known in form}
        if named and all((folder / known.name).is_file() for known in form):
            return {known.name: verified(folder / known.name, known) for known in form}
    raise UserError(f"{key}: {path}: not a copy of {name}; {_local_copy(forms)}")


def download(name: str, folder: Path, forms: Forms) -> dict[str, FoundFile]:
    """Download the first form of a data set; return the verified files by canonical name.

    Args:
        name: Of the data set, for messages.
        folder: Where the files go.
        forms: What the data set comes in.

    Raises:
        UserError: If a file cannot be had (names it and the way to a local copy), or is another
            than expected.
    """
    from sklearn.datasets import fetch_file  # seconds that a local copy must not pay

    found = {}
    for known in forms[0]:
        try:
            path = fetch_file(known.url, folder=folder, local_filename=known.name)
        except (OSError, HTTPException) as error:
            raise UserError(
                f"{known.name}: cannot be downloaded from {known.url} ({error}); put "
                f"{_file_names(forms)} into a folder and set the config key "
                f"'datasets.{name}.path' to it, or to an .npz file"
            ) from None
        found[known.name] = verified(Path(path), known)
    return found


@contextmanager
def one_line_if_unreadable(name: str, files: Sequence[Path]) -> Iterator[None]:
    """Turn what a reader raises on damaged content into one line.

    Args:
        name: Of the data set.
        files: That are read in the block.

    Raises:
        UserError: Names the files and the reason.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # whatever readers raise on bytes that are not theirs
        reason = str(error) or type(error).__name__
        which = ", ".join(str(path) for path in files) or name
        raise UserError(
            f"{which}: cannot be read as {name} ({reason}); give another file in the config key "
            f"'datasets.{name}.path'"
        ) from error


def _file_names(forms: Forms) -> str:
    """Name the files of a local copy: "a and b or c"."""
    return " or ".join(" and ".join(known.name for known in form) for form in forms)


def _local_copy(forms: Forms) -> str:
    """Say what a config key 'datasets.<name>.path' may point to."""
    if not forms:
        return "give an .npz file, or remove the key: scikit-learn brings the data set"
    return (
        f"give a folder with {_file_names(forms)}, or an .npz file, or remove the key to download"
    )
