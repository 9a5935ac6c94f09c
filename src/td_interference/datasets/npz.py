"""Data of a user's own, or of any known set: an `.npz` file of four arrays, without pickles."""

import math
import zipfile
from io import BytesIO
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from td_interference.datasets.arrays import IMAGE_SHAPE, DatasetArrays, Split
from td_interference.storage.expansion import check_expansion, check_memory
from td_interference.storage.recognition import check_regular, look

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_MOST_HEADER = 1 << 16  # bytes; numpy itself reads headers of at most 10,000
KEYS = ("x_train", "y_train", "x_test", "y_test")


class Declared(NamedTuple):
    """What an array in a file is, by its own header."""

    shape: tuple[int, ...]
    n_bytes: int


def shapes(path: Path | str) -> dict[str, Declared]:
    """Return the shape of each array in a file; none of them is read.

    Args:
        path: An `.npz` file.

    Raises:
        ValueError: If it is no such file, or a header contradicts the archive.
        OSError: As what zipfile raises.
        UserError: If there is no such file.
    """
    check_regular(path)
    if not zipfile.is_zipfile(path):
        raise ValueError(f"it looks like {look(path).what}")
    found = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith(".npy"):
                name = member.filename.removesuffix(".npy")
                with archive.open(member) as file:
                    found[name] = _declared(name, file, member.file_size)
    if not found:
        raise ValueError(f"it looks like {look(path).what}")
    return found


def _declared(name: str, file: IO[bytes], file_size: int) -> Declared:
    head = BytesIO(file.read(_MOST_HEADER))  # a header may declare gigabytes of itself
    version = np.lib.format.read_magic(head)
    if version not in _HEADERS:
        raise ValueError(f"array {name} is in a format of numpy that is not known here")
    shape, _, dtype = _HEADERS[version](head)
    if dtype.hasobject:
        raise ValueError(f"array {name} holds Python objects")
    n_bytes = math.prod(shape) * dtype.itemsize
    held = file_size - head.tell()
    if n_bytes != held:
        raise ValueError(f"array {name} declares {n_bytes:,} bytes, the archive holds {held:,}")
    return Declared(shape, n_bytes)


def read(path: Path | str, kind: str) -> DatasetArrays:
    """Return the arrays of the file; nothing in it is unpickled.

    Args:
        path: Holds `x_train`, `y_train`, `x_test`, `y_test`. Images are uint8 [N, 32, 32, 3] or
            [N, 3, 32, 32], labels integers 0..9 [N]; regression tables are numbers [N, features]
            and [N] or [N, targets].
        kind: "images" or "regression".

    Raises:
        ValueError: If an array is missing, holds Python objects, or is larger than the file can
            reasonably hold (`TooLarge`).
        UserError: If there is no such file.
        OSError: If the file is no `.npz`; also what zipfile raises.
    """
    declared = shapes(path)
    missing = [key for key in KEYS if key not in declared]
    if missing:
        raise ValueError(f"no array {', '.join(missing)}")
    n_bytes = sum(declared[key].n_bytes for key in KEYS)
    check_expansion(n_bytes, Path(path).stat().st_size)
    check_memory(n_bytes)
    with np.load(path, allow_pickle=False) as file:
        x_train, y_train, x_test, y_test = (file[f"{key}.npy"] for key in KEYS)
    if kind == "images":
        x_train, x_test = (
            images.transpose(0, 3, 1, 2)
            if images.ndim == 4 and images.shape[1:] == (*IMAGE_SHAPE[1:], IMAGE_SHAPE[0])
            else images
            for images in (x_train, x_test)
        )
    return DatasetArrays(Split(x_train, y_train), Split(x_test, y_test))
