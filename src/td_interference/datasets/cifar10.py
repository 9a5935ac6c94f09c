"""CIFAR-10 (Krizhevsky 2009): 50,000 training and 10,000 test images in Python pickles."""

import io
import pickle
import tarfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from td_interference.datasets.arrays import IMAGE_SHAPE, DatasetArrays, Split
from td_interference.datasets.sources import FoundFile, KnownFile

DATASET = {
    "kind": "images",
    "title": "CIFAR-10",
    "split": "official",
    "n_train": 50_000,
    "colour": "#D55E00",
}

# Address and checksum are torchvision's; a test compares them.
ARCHIVE = KnownFile(
    "cifar-10-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    "md5:c58f30108f718f92721af3b95e74349a",
)
FORMS = ((ARCHIVE,),)

_FOLDER = "cifar-10-batches-py"
_TRAIN = tuple(f"{_FOLDER}/data_batch_{number}" for number in range(1, 6))
_TEST = (f"{_FOLDER}/test_batch",)

# All that a pickled array of bytes names; numpy 1 had its parts under `core`.
_NAMES_IN_ARRAYS = {
    (module, name)
    for module, name in (
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
    )
}


class _ArrayUnpickler(pickle.Unpickler):
    """Builds arrays and plain values alone, for MD5 is no proof against malice."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a pickle names, if arrays need it."""
        if (module, name) not in _NAMES_IN_ARRAYS:
            raise pickle.UnpicklingError(f"a batch names {module}.{name}, which no array needs")
        return super().find_class(module, name)


def read(files: Mapping[str, FoundFile]) -> DatasetArrays:
    """Return the official splits from the archive of pickled batches, which is not unpacked."""
    with tarfile.open(files[ARCHIVE.name].path, "r:gz") as archive:
        return DatasetArrays(_split(archive, _TRAIN), _split(archive, _TEST))


def _split(archive: tarfile.TarFile, members: tuple[str, ...]) -> Split:
    batches = [_batch(archive, member) for member in members]
    images = np.concatenate([batch["data"] for batch in batches]).reshape(-1, *IMAGE_SHAPE)
    labels = np.concatenate([np.asarray(batch["labels"]) for batch in batches])
    return Split(images, labels)


def _batch(archive: tarfile.TarFile, member: str) -> dict[str, Any]:
    """Return one batch: "data" uint8 [n, 3072], colour by colour, and "labels", n integers."""
    file = archive.extractfile(member)
    if file is None:
        raise ValueError(f"{member} is not a file")
    # Written by Python 2, whose strings were bytes.
    batch = _ArrayUnpickler(io.BytesIO(file.read()), encoding="latin1").load()
    if not isinstance(batch, dict):
        raise ValueError(f"{member} is not a batch")
    return batch
