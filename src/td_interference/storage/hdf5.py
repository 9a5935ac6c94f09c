"""Writing and reading HDF5 files of the project's tables.

The HDF5 library works in memory alone: a finished file is sealed (`storage.seal`) and written
whole, a file to be read is checked first. So no lock is ever taken, which network file systems may
not offer, a full disk meets a plain write (the library would crash), and damage never reaches the
library. Data sets are compressed with gzip, which every HDF5 tool can read, and carry Fletcher-32
checksums for the tools that do not know the seal.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from td_interference.errors import UserError, rebuild
from td_interference.storage.attributes import identity_of, library_versions, parse_attributes
from td_interference.storage.expansion import TooLarge, check_memory
from td_interference.storage.guard import check_heaps, check_objects
from td_interference.storage.identity import Identity
from td_interference.storage.identity import check as check_identity
from td_interference.storage.kinds import FILE_KINDS, FileKind
from td_interference.storage.seal import digest_in, read_sealed, write_sealed
from td_interference.storage.unreadable import one_line_if_unreadable, unreadable

Arrays = dict[str, NDArray[Any]]

_CHUNK_BYTES = 1 << 18  # about 32 frames: 1-10 ms for a random read, good compression
_COMPRESSED = {"compression": "gzip", "compression_opts": 4, "fletcher32": True}


class Writer:
    """Fills one file of a `FileKind`; rows may come in parts."""

    def __init__(self, file: h5py.File, kind: FileKind):
        """Take an empty, open file."""
        self._file, self._kind = file, kind

    def append(self, name: str, rows: NDArray[Any]) -> None:
        """Append `rows` to the data set `name` along its first dimension.

        Raises:
            ValueError: If the name, dtype or shape is not the kind's.
        """
        field = self._kind.fields.get(name)
        if field is None:
            raise ValueError(f"the kind {self._kind.name} has no field {name}")
        agrees = all(
            size == have
            for size, have in zip(field.dimensions, rows.shape, strict=True)
            if isinstance(size, int)
        )
        if rows.dtype != np.dtype(field.dtype) or not agrees:
            raise ValueError(f"{name}: expected {field}, got {rows.dtype} {rows.shape}")
        if name in self._file:
            dataset = self._file[name]
            dataset.resize(len(dataset) + len(rows), axis=0)
            dataset[len(dataset) - len(rows) :] = rows
            return
        row_bytes = max(1, rows[:1].nbytes)
        chunk = (max(1, _CHUNK_BYTES // row_bytes), *(max(1, size) for size in rows.shape[1:]))
        dataset = self._file.create_dataset(
            name, data=rows, maxshape=(None, *rows.shape[1:]), chunks=chunk, **_COMPRESSED
        )
        dataset.attrs["unit"] = field.unit
        dataset.attrs["description"] = field.description
        dataset.attrs["dimensions"] = json.dumps(field.dimensions)

    def tensor(self, name: str, array: NDArray[Any]) -> None:
        """Write a tensor under a name of its own (in groups, outside the kind's fields).

        Not compressed: trained weights do not shrink.
        """
        # HDF5 has neither chunks nor checksums for scalars.
        checked = {"chunks": True, "fletcher32": True} if array.size and array.ndim else {}
        self._file.create_dataset(name, data=array, **checked)

    def group(self, name: str) -> None:
        """Make sure that there is a group of this name."""
        self._file.require_group(name)


@contextmanager
def create(
    path: Path | str,
    kind: FileKind,
    identity: Identity,
    attributes: Mapping[str, Any] | None = None,
) -> Iterator[Writer]:
    """Write a file of `kind` that appears under `path` when the block ends well.

    Args:
        path: The file to create or replace.
        kind: Its kind.
        identity: What it is of; see `td_interference.storage.identity`.
        attributes: What else it says of itself; schema and versions are added.

    Yields:
        A writer for the data sets.

    Raises:
        ValueError: If a field of the kind was not written.
    """
    with h5py.File(
        Path(path).name, "w", driver="core", backing_store=False, libver=("earliest", "v110")
    ) as file:
        writer = Writer(file, kind)
        for name, value in {
            "schema": kind.name,
            "schema_version": kind.version,
            "title": kind.title,
            "library_versions": library_versions(),
            "identity": dict(identity),
            **(attributes or {}),
        }.items():
            plain = isinstance(value, str | int | float | bool)
            file.attrs[name] = value if plain else json.dumps(value, sort_keys=True)
        yield writer
        missing = sorted(set(kind.fields) - set(file))
        if missing:
            raise ValueError(f"{kind.name} file without {', '.join(missing)}")
        file.flush()
        content = file.id.get_file_image()
    write_sealed(path, content)


def write(
    path: Path | str,
    kind: FileKind,
    arrays: Mapping[str, NDArray[Any]],
    identity: Identity,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Write a whole file of `kind`, see `create`; arrays are cast to the kind's dtypes."""
    with create(path, kind, identity, attributes) as writer:
        for name, array in arrays.items():
            writer.append(name, np.asarray(array).astype(kind.fields[name].dtype, copy=False))


class Sealed(NamedTuple):
    """A file that is open for reading, and the SHA-256 of the content that is read."""

    file: h5py.File
    sha256: str


@contextmanager
def opened(
    path: Path | str, kind: FileKind | None = None, wanted: Identity | None = None
) -> Iterator[h5py.File]:
    """Open a file for reading, see `opened_sealed`.

    Yields:
        The open file.

    Raises:
        UserError: As `opened_sealed`.
    """
    with opened_sealed(path, kind, wanted) as sealed:
        yield sealed.file


@contextmanager
def opened_sealed(
    path: Path | str, kind: FileKind | None = None, wanted: Identity | None = None
) -> Iterator[Sealed]:
    """Open a file for reading, checked: its seal, every object in it, its kind, its identity.

    The file is in memory, so that nothing the block raises can come from its disk.

    Args:
        path: The file.
        kind: The kind it must be of; None for any kind of this project.
        wanted: The identity it must have, "sha256" of its content included where it is known;
            None to take any.

    Yields:
        The open file and its digest, that of the bytes that are read, whatever lies there by now.

    Raises:
        UserError: If it is missing, damaged, foreign, of another kind or schema version, or of
            something else than is wanted.
    """
    path = Path(path)
    content = read_sealed(path)
    with one_line_if_unreadable(path):
        check_heaps(content)
        # From Python's memory: an image of the library's own would be two further copies.
        file = h5py.File(BytesIO(content), "r")
    with file:
        with one_line_if_unreadable(path):
            check_objects(file, len(content))
            _check_kind(file, path, kind)
        if wanted is not None:
            check_identity(path, {**identity_of(file), "sha256": digest_in(content)}, wanted)
        try:
            yield Sealed(file, digest_in(content))
        except OSError as error:
            if error.errno is not None:  # a disk's, not the HDF5 library's
                raise
            raise unreadable(path, error) from None


def _check_kind(file: h5py.File, path: Path, kind: FileKind | None) -> None:
    """Compare an open file, whose objects were checked, with its kind, which may be any of ours."""
    name = file.attrs.get("schema")
    if not isinstance(name, str) or name not in FILE_KINDS:
        raise UserError(f"{path}: not a file of td-interference (attribute 'schema' is {name!r})")
    found = FILE_KINDS[name]
    if kind is not None and found != kind:
        raise UserError(f"{path}: holds {found.name}, but {kind.name} is needed here")
    written = file.attrs.get("schema_version")
    if written != found.version:
        raise UserError(
            f"{path}: schema version {written}, this program reads {found.version}; {rebuild(path)}"
        )
    sizes: dict[str, int] = {}
    for key, field in found.fields.items():
        if key not in file:
            raise UserError(f"{path}: data set '{key}' is missing; {rebuild(path)}")
        dataset = file[key]
        is_dataset = isinstance(dataset, h5py.Dataset)
        if not is_dataset or dataset.dtype != np.dtype(field.dtype):
            raise UserError(f"{path}: '{key}' should be {field.dtype}; {rebuild(path)}")
        agrees = len(dataset.shape) == len(field.dimensions) and all(
            size == (dimension if isinstance(dimension, int) else sizes.setdefault(dimension, size))
            for dimension, size in zip(field.dimensions, dataset.shape, strict=True)
        )
        if not agrees:
            raise UserError(
                f"{path}: '{key}' has shape {dataset.shape}, expected {field.dimensions}; "
                f"{rebuild(path)}"
            )


def read(path: Path | str, kind: FileKind, wanted: Identity | None = None) -> Arrays:
    """Return every data set of a file of `kind`, in memory; see `opened`.

    Raises:
        UserError: If the file is not good, or of something else than is wanted.
    """
    with opened(path, kind, wanted) as file:
        return arrays_of(path, file)


def arrays_of(path: Path | str, file: h5py.File) -> Arrays:
    """Return every data set of the open file `path`, in memory.

    Raises:
        UserError: As `numbers`.
    """
    fields = FILE_KINDS[file.attrs["schema"]].fields
    return {name: numbers(path, file[name]) for name in fields}


def numbers(path: Path | str, dataset: h5py.Dataset) -> NDArray[Any]:
    """Return a data set of the open file `path`, in memory.

    Raises:
        UserError: If its checksums are wrong under a right seal, or it does not fit into memory.
    """
    with one_line_if_unreadable(path):
        try:
            check_memory(dataset.size * dataset.dtype.itemsize)
            return np.asarray(dataset[()])
        except (TooLarge, MemoryError) as error:
            said = str(error) or "it does not fit into memory"
            raise UserError(f"{path}: '{dataset.name}': {said}; take less") from None


def numbers_into(
    path: Path | str, dataset: h5py.Dataset, first_row: int, out: NDArray[Any]
) -> None:
    """Fill `out` with the rows of a data set of the open file `path` from `first_row` on.

    They are read straight into it, so that large data are in memory once.

    Raises:
        UserError: If its checksums are wrong under a right seal.
    """
    with one_line_if_unreadable(path):
        dataset.read_direct(out, np.s_[first_row : first_row + len(out)])


def read_attributes(path: Path | str, kind: FileKind | None = None) -> dict[str, Any]:
    """Return a file's attributes, JSON ones parsed.

    Raises:
        UserError: If the file is not good.
    """
    with opened(path, kind) as file:
        return parse_attributes(file)
