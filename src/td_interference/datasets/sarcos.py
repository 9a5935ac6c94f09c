"""SARCOS inverse dynamics (Vijayakumar and Schaal 2000): 21 joint inputs to 7 torques.

44,484 training and 4,449 test rows. The official test rows are reported to be a subset of the
training rows, so that a gap between the two says little: name it where results are shown.
"""

from collections.abc import Mapping

import scipy.io

from td_interference.datasets.arrays import DatasetArrays, Split
from td_interference.datasets.sources import FoundFile, KnownFile

_URL = "https://gaussianprocess.org/gpml/data/"

# No digest of the training file is known: its size is checked (44,484 rows of 28 float64 and 200
# bytes of MATLAB's), its address is one whose server proves who it is, and the SHA-256 of the file
# that was read goes into the provenance.
TRAIN = KnownFile("sarcos_inv.mat", _URL + "sarcos_inv.mat", "bytes:9964616")
TEST = KnownFile(
    "sarcos_inv_test.mat", _URL + "sarcos_inv_test.mat", "md5:16457799b816f22238e6dc7301c751f6"
)
FORMS = ((TRAIN, TEST),)

N_INPUTS = 21  # position, velocity, acceleration of 7 joints
N_TARGETS = 7  # torques; the paper's "8 outputs" is an error


def read(files: Mapping[str, FoundFile]) -> DatasetArrays:
    """Return the official splits from MATLAB files, each of one array [N, 28] under its own name.

    Raises:
        ValueError: If an array has other columns.
    """
    train, test = (_split(files[known.name], known) for known in (TRAIN, TEST))
    return DatasetArrays(train, test)


def _split(file: FoundFile, known: KnownFile) -> Split:
    rows = scipy.io.loadmat(file.path)[known.name.removesuffix(".mat")]
    if rows.ndim != 2 or rows.shape[1] != N_INPUTS + N_TARGETS:
        raise ValueError(f"{known.name} holds an array {rows.shape}, need (N, 28)")
    return Split(rows[:, :N_INPUTS], rows[:, N_INPUTS:])
