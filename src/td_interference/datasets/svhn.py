"""Street View House Numbers (Netzer et al. 2011): 73,257 training and 26,032 test images."""

from collections.abc import Mapping

import numpy as np
import scipy.io

from td_interference.datasets.arrays import DatasetArrays, Split
from td_interference.datasets.sources import FoundFile, KnownFile

DATASET = {
    "kind": "images",
    "title": "SVHN",
    "split": "official",
    "n_train": 73_257,
    "colour": "#0072B2",
}

_URL = "http://ufldl.stanford.edu/housenumbers/"

# Addresses and checksums are torchvision's; a test compares them.
TRAIN = KnownFile(
    "train_32x32.mat", _URL + "train_32x32.mat", "md5:e26dedcc434d2e4c54c9b2d4a06d8373"
)
TEST = KnownFile("test_32x32.mat", _URL + "test_32x32.mat", "md5:eb5a983be6a315427106f1b164d9cef3")
FORMS = ((TRAIN, TEST),)


def read(files: Mapping[str, FoundFile]) -> DatasetArrays:
    """Return the official splits from MATLAB files of X [32, 32, 3, N] and y [N, 1].

    The files call the digit 0 class 10; here it is class 0.
    """
    train, test = (_split(files[known.name]) for known in (TRAIN, TEST))
    return DatasetArrays(train, test)


def _split(file: FoundFile) -> Split:
    content = scipy.io.loadmat(file.path, variable_names=("X", "y"))
    labels = content["y"].reshape(-1)
    return Split(content["X"].transpose(3, 2, 0, 1), np.where(labels == 10, 0, labels))
