"""Data of a user's own, or of any known set: an `.npz` file of four arrays, without pickles."""

from pathlib import Path

import numpy as np

from td_interference.datasets.arrays import IMAGE_SHAPE, DatasetArrays, Split

KEYS = ("x_train", "y_train", "x_test", "y_test")


def read(path: Path | str, kind: str) -> DatasetArrays:
    """Return the arrays of the file; nothing in it is unpickled.

    Args:
        path: Holds `x_train`, `y_train`, `x_test`, `y_test`. Images are uint8 [N, 32, 32, 3] or
            [N, 3, 32, 32], labels integers 0..9 [N]; regression tables are numbers [N, features]
            and [N] or [N, targets].
        kind: "images" or "regression".

    Raises:
        ValueError: If an array is missing or holds Python objects.
        OSError: If the file is no `.npz`; also what zipfile raises.
    """
    with np.load(path, allow_pickle=False) as file:
        missing = [key for key in KEYS if key not in file]
        if missing:
            raise ValueError(f"no array {', '.join(missing)}")
        x_train, y_train, x_test, y_test = (file[key] for key in KEYS)
    if kind == "images":
        x_train, x_test = (
            images.transpose(0, 3, 1, 2)
            if images.ndim == 4 and images.shape[1:] == (*IMAGE_SHAPE[1:], IMAGE_SHAPE[0])
            else images
            for images in (x_train, x_test)
        )
    return DatasetArrays(Split(x_train, y_train), Split(x_test, y_test))
