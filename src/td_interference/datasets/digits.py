"""Handwritten digits that come with scikit-learn: 1,797 images, in place of SVHN when offline."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from td_interference.datasets.arrays import DatasetArrays, Split, split_by_shuffle
from td_interference.datasets.sources import Forms, FoundFile

DATASET = {
    "kind": "images",
    "title": "UCI digits",
    "split": "fixed shuffle, 20% test",
    "n_train": 1_438,
    "embedded": True,
    "colour": "#009E73",
}

FORMS: Forms = ()
TEST_SHARE = 0.2  # a choice: 359 images
_LARGEST = 16  # value of a pixel
_ENLARGEMENT = 4  # 8x8 pixels to 32x32


def enlarge(images: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return grey 8x8 images as the others are: 32x32, three equal colours, 0..255.

    Each pixel becomes a square of 4x4 equal ones (nearest neighbour): the image has no more in it
    than it had, and a window of 8x8 shows exactly four of its pixels.

    Args:
        images: [N, 8, 8], 0..16.

    Returns:
        [N, 3, 32, 32].
    """
    grey = np.rint(images * (255 / _LARGEST)).astype(np.uint8)
    large = grey.repeat(_ENLARGEMENT, axis=1).repeat(_ENLARGEMENT, axis=2)
    return np.repeat(large[:, None], 3, axis=1)


def read(_: Mapping[str, FoundFile]) -> DatasetArrays:
    """Return the images as `enlarge` makes them, split by a fixed shuffle."""
    from sklearn.datasets import load_digits  # seconds that a list of the data sets must not pay

    digits = load_digits()
    samples = Split(enlarge(digits.images), digits.target)
    return split_by_shuffle("digits", samples, TEST_SHARE)
