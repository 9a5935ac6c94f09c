"""From a local copy or a download to the one HDF5 file of a data set."""

import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from td_interference import datasets
from td_interference.datasets import npz
from td_interference.datasets.arrays import checked, write_dataset
from td_interference.datasets.sources import (
    Forms,
    FoundFile,
    checksum,
    download,
    find,
    one_line_if_unreadable,
)
from td_interference.errors import UserError
from td_interference.storage.files import sha256


def prepare_dataset(
    name: str,
    settings: Mapping[str, Any],
    output_path: Path | str,
    *,
    forms: Forms | None = None,
) -> None:
    """Write the HDF5 file of a data set: `storage.IMAGES` or `storage.REGRESSION`.

    Args:
        name: Of the registry, or any other for an `.npz` of one's own.
        settings: The config block `datasets.<name>`: `path`, a local copy (an `.npz` file, a
            folder of the canonical files, or one of them), and `kind`, for names that are not in
            the registry. Without `path` the files are downloaded.
        output_path: HDF5 to write.
        forms: The files to expect in place of the canonical ones.

    Raises:
        UserError: One line that names the file or key at fault and the way out.
    """
    entry = datasets.entry(name, settings)
    given = settings.get("path")
    path = None if given is None else datasets.local_path(name, given)
    if path is not None and path.suffix == ".npz":
        _prepare_npz(entry, path, output_path)
    elif name in datasets.known():
        module = datasets.load(name)
        forms = module.FORMS if forms is None else forms
        _prepare_canonical(entry, module, forms, path, output_path)
    else:
        raise UserError(f"config key 'datasets.{name}.path': {path}: not an .npz file")


def _prepare_npz(entry: datasets.DatasetEntry, path: Path, output_path: Path | str) -> None:
    if not path.is_file():
        raise UserError(f"config key 'datasets.{entry.name}.path': {path}: no such file")
    with one_line_if_unreadable(entry.name, [path]):
        data = checked(entry.kind, npz.read(path, entry.kind))
    own = entry.model_copy(update={"split": "as in the file"})
    file = FoundFile(path.name, path, checksum(path, "sha256"))
    write_dataset(output_path, own, data, _provenance("local copy", [file]))


def _prepare_canonical(
    entry: datasets.DatasetEntry,
    module: ModuleType,
    forms: Forms,
    path: Path | None,
    output_path: Path | str,
) -> None:
    found: dict[str, FoundFile] = {}
    with tempfile.TemporaryDirectory(prefix=f"{entry.name}-") as folder:
        if path is not None:
            found, source = find(entry.name, path, forms), "local copy"
        elif forms:
            found, source = download(entry.name, Path(folder), forms), "download"
        else:
            source = f"scikit-learn {version('scikit-learn')}"
        files = list(found.values())
        with one_line_if_unreadable(entry.name, [file.path for file in files]):
            data = checked(entry.kind, module.read(found))
        provenance = _provenance(source, files)
    write_dataset(output_path, entry, data, provenance)


def _provenance(source: str, files: Sequence[FoundFile]) -> dict[str, Any]:
    """Return attributes that say where data come from, the same wherever the files lie."""
    described = [
        {
            "name": file.name,
            "checksum": file.checksum,
            "sha256": sha256(file.path),
        }
        for file in files
    ]
    return {"source": source, "files": described}
