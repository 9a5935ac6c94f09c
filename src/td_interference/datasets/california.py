"""California Housing (Pace and Barry 1997): 20,640 districts, 8 features, the median value."""

import tarfile
from collections.abc import Mapping
from typing import IO

import numpy as np

from td_interference.datasets.arrays import DatasetArrays, Split, split_by_shuffle
from td_interference.datasets.sources import FoundFile, KnownFile

DATASET = {
    "kind": "regression",
    "title": "California Housing",
    "split": "fixed shuffle, 5% test",
    "n_train": 19_608,
    "colour": "#E69F00",
}

# Address and checksum are scikit-learn's; a test compares them.
ARCHIVE = KnownFile(
    "cal_housing.tgz",
    "https://ndownloader.figshare.com/files/5976036",
    "sha256:aaa5c9a6afe2225cc2aed2723682ae403280c4a3695a2ddda4ffb5d8215ea681",
)
TABLE = KnownFile("cal_housing.data", "", "md5:2c9da11498c5aa9ed02cf8b7f6e77ea7")
FORMS = ((ARCHIVE,), (TABLE,))

TEST_SHARE = 0.05  # the authors' code
_MEMBER = "CaliforniaHousing/cal_housing.data"
_UNIT_OF_VALUE = 100_000  # US dollars


def read(files: Mapping[str, FoundFile]) -> DatasetArrays:
    """Return the features as scikit-learn builds them and the value in 100,000 US dollars, split.

    The features are MedInc, HouseAge, AveRooms, AveBedrms, Population, AveOccup, Latitude,
    Longitude; the averages are per household.
    """
    if TABLE.name in files:
        with files[TABLE.name].path.open("rb") as file:
            return _read_table(file)
    with tarfile.open(files[ARCHIVE.name].path, "r:gz") as archive:
        member = archive.extractfile(_MEMBER)
        if member is None:
            raise ValueError(f"{_MEMBER} is not a file")
        return _read_table(member)


def _read_table(file: IO[bytes]) -> DatasetArrays:
    columns = np.loadtxt(file, delimiter=",", ndmin=2).T
    longitude, latitude, age, rooms, bedrooms, population, households, income, value = columns
    features = np.stack(
        [
            income,
            age,
            rooms / households,
            bedrooms / households,
            population,
            population / households,
            latitude,
            longitude,
        ],
        axis=1,
    )
    samples = Split(features, value / _UNIT_OF_VALUE)
    return split_by_shuffle("california", samples, TEST_SHARE)
