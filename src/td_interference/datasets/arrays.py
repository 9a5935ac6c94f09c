"""A data set in memory: two splits, checked alike wherever they come from; its HDF5 file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from td_interference.datasets import DatasetEntry
from td_interference.errors import UserError
from td_interference.seeds import numpy_generator
from td_interference.storage import hdf5, kinds
from td_interference.storage.identity import Identity, made_from, of_dataset

N_CLASSES = 10  # of every image data set, and so of the networks' class outputs
IMAGE_SHAPE = (3, 32, 32)  # colours, rows, columns


class Split(NamedTuple):
    """Samples of one split; a sample's index is its row."""

    inputs: NDArray[Any]  # uint8 [N, 3, 32, 32] for images, float32 [N, features] for regression
    targets: NDArray[Any]  # int64 [N], 0..9, for images, float32 [N, targets] for regression

    def first(self, count: int) -> Self:
        """Return the first `count` samples: the paper's n_T training seeds 0..n_T-1.

        Raises:
            UserError: If the split has fewer.
        """
        if not 0 < count <= len(self.inputs):
            raise UserError(
                f"{count} samples asked for (n_train), the data set has {len(self.inputs)}; ask "
                "for fewer, or set the config key 'datasets.<name>.path' to more data"
            )
        return type(self)(self.inputs[:count], self.targets[:count])


class DatasetArrays(NamedTuple):
    """A whole data set."""

    train: Split
    test: Split


def split_by_shuffle(name: str, samples: Split, test_share: float) -> DatasetArrays:
    """Split samples by a shuffle that follows from the data set's name alone.

    Args:
        name: Of the data set; its random stream is `numpy_generator(name, "split")`.
        samples: All of them, in their canonical order.
        test_share: Part of the samples that is for the test, rounded to a whole number.
    """
    order = numpy_generator(name, "split").permutation(len(samples.inputs))
    n_test = round(test_share * len(order))
    train, test = order[n_test:], order[:n_test]
    return DatasetArrays(
        Split(samples.inputs[train], samples.targets[train]),
        Split(samples.inputs[test], samples.targets[test]),
    )


def checked(kind: str, data: DatasetArrays) -> DatasetArrays:
    """Return the data in the dtypes of its kind's table.

    Args:
        kind: "images" or "regression".
        data: As read: images in uint8 [N, 3, 32, 32] with integers 0..9, or numbers
            [N, features] with [N] or [N, targets].

    Raises:
        ValueError: Says what is wrong, without the file's name.
    """
    check = _checked_images if kind == "images" else _checked_table
    train, test = (check(name, split) for name, split in zip(("train", "test"), data, strict=True))
    if train.inputs.shape[1:] != test.inputs.shape[1:] or (
        train.targets.shape[1:] != test.targets.shape[1:]
    ):
        raise ValueError("train and test samples differ in shape")
    return DatasetArrays(train, test)


def _checked_images(name: str, split: Split) -> Split:
    images, labels = split
    if images.dtype != np.uint8 or images.shape[1:] != IMAGE_SHAPE or not len(images):
        raise ValueError(
            f"{name} images are {images.dtype} {images.shape}, need uint8 (N, 3, 32, 32) or "
            "(N, 32, 32, 3), N > 0"
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{name} labels are {labels.dtype} {labels.shape}, need integers ({len(images)},)"
        )
    if labels.min() < 0 or labels.max() >= N_CLASSES:
        raise ValueError(
            f"{name} labels span {labels.min()}..{labels.max()}, need 0..{N_CLASSES - 1}"
        )
    return Split(np.ascontiguousarray(images), labels.astype(np.int64))


def _checked_table(name: str, split: Split) -> Split:
    inputs, targets = split
    targets = targets[:, None] if targets.ndim == 1 else targets
    for what, array in (("features", inputs), ("targets", targets)):
        real = np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)
        if not real or array.ndim != 2 or not array.size or len(array) != len(inputs):
            raise ValueError(
                f"{name} {what} are {array.dtype} {array.shape}, need numbers (N, columns), N > 0, "
                "as many features as targets"
            )
    single = Split(inputs.astype(np.float32), targets.astype(np.float32))
    for what, array in zip(("features", "targets"), single, strict=True):
        if not np.isfinite(array).all():
            raise ValueError(f"{name} {what} are not finite numbers in float32")
    return single


# The table of each kind, and what inputs and targets are called there.
_TABLES = {
    "images": (kinds.IMAGES, ("images", "labels")),
    "regression": (kinds.REGRESSION, ("features", "targets")),
}


def write_dataset(
    path: Path | str, entry: DatasetEntry, data: DatasetArrays, provenance: Mapping[str, Any]
) -> None:
    """Write the HDF5 file of a data set, of the table `storage.IMAGES` or `storage.REGRESSION`.

    Args:
        path: The file to create or replace.
        entry: What the data set is.
        data: As `checked` returns it.
        provenance: Further attributes: where the data come from, "files" with their "sha256".
    """
    kind, names = _TABLES[entry.kind]
    files = {file["name"]: file["sha256"] for file in provenance.get("files", ())}
    identity = made_from(of_dataset(entry.name), **files)
    attributes = {
        "dataset_title": entry.title,
        "split": entry.split,
        "counts": {"train": len(data.train.inputs), "test": len(data.test.inputs)},
        **provenance,
    }
    arrays = {
        f"{split}_{name}": array
        for split, samples in data._asdict().items()
        for name, array in zip(names, samples, strict=True)
    }
    hdf5.write(path, kind, arrays, identity, attributes)


def read_dataset(path: Path | str, kind: str, wanted: Identity | None = None) -> DatasetArrays:
    """Read a file of `write_dataset`.

    Args:
        path: The file.
        kind: "images" or "regression": what the reader can work with.
        wanted: What it must be of; None to take any.

    Raises:
        UserError: If the file is not good, of the other kind, or of something else.
    """
    table, names = _TABLES[kind]
    arrays = hdf5.read(path, table, wanted)
    train, test = (
        Split(*(arrays[f"{split}_{name}"] for name in names)) for split in DatasetArrays._fields
    )
    return DatasetArrays(train, test)
