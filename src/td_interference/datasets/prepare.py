"""From a local copy or a download to the one HDF5 file of a data set."""

import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
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
    path = None if settings.get("path") is None else Path(settings["path"]).expanduser()
    if path is not None and path.suffix == ".npz":
        if not path.is_file():
            raise UserError(f"config key 'datasets.{name}.path': {path}: no such file")
        with one_line_if_unreadable(name, [path]):
            data = checked(entry.kind, npz.read(path, entry.kind))
        files = [FoundFile(path.name, path, checksum(path, "sha256"))]
        write_dataset(output_path, entry, data, _provenance(f"local copy {path}", files))
        return
    module = _module(name)
    forms = module.FORMS if forms is None else forms
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        if not forms:
            found, obtained = {}, f"scikit-learn {version('scikit-learn')}"
        elif path is not None:
            found, obtained = find(name, path, forms), f"local copy {path}"
        else:
            found, obtained = download(name, Path(folder), forms), "download"
        with one_line_if_unreadable(name, [file.path for file in found.values()]):
            data = checked(entry.kind, module.read(found))
        provenance = _provenance(obtained, list(found.values()))
    write_dataset(output_path, entry, data, provenance)
