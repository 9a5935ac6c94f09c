"""SARCOS inverse dynamics (Vijayakumar and Schaal 2000): 21 joint inputs to 7 torques.

44,484 training and 4,449 test rows. The official test rows are reported to be a subset of the
training rows, so that a gap between the two says little: name it where results are shown.
"""

import struct
from collections.abc import Mapping

import numpy as np

from td_interference.datasets.arrays import DatasetArrays, Split
from td_interference.datasets.sources import FoundFile, KnownFile

DATASET = {
    "kind": "regression",
    "title": "SARCOS",
    # About a tenth of the training inputs stand in the official test file as well.
    "split": "official (test inputs stand in train too)",
    "n_train": 44_484,
    "colour": "#CC79A7",
}

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


# The one layout of these MATLAB 5 files: a text, then what `_layout` says, then the numbers.
_TEXT_BYTES = 124
_OVERHEAD = 200  # all but the numbers


def read(files: Mapping[str, FoundFile]) -> DatasetArrays:
    """Return the official splits from MATLAB files, each of one array [N, 28] under its own name.

    Raises:
        ValueError: If a file holds anything else.
    """
    train, test = (_split(files[known.name], known) for known in (TRAIN, TEST))
    return DatasetArrays(train, test)


def _split(file: FoundFile, known: KnownFile) -> Split:
    """Read one file, once it is seen to be of the one layout.

    Without scipy's reader, which ends the whole process on some damaged files: of the training file
    nothing but the size was compared.
    """
    content, name = file.path.read_bytes(), known.name.removesuffix(".mat")
    n_columns = N_INPUTS + N_TARGETS
    n_rows, left_over = divmod(len(content) - _OVERHEAD, 8 * n_columns)
    layout = content[_TEXT_BYTES:_OVERHEAD]
    if n_rows < 1 or left_over or layout != _layout(name, n_rows, n_columns):
        raise ValueError(f"{known.name} is not one uncompressed array (N, 28) called {name}")
    columns = np.frombuffer(content, "<f8", offset=_OVERHEAD).reshape(n_columns, n_rows)
    return Split(columns[:N_INPUTS].T, columns[N_INPUTS:].T)


def _layout(name: str, n_rows: int, n_columns: int) -> bytes:
    """Return what stands before the numbers of a real matrix of doubles, each part with its tag."""
    n_bytes = 8 * n_rows * n_columns
    return struct.pack(
        "<H2s 2I 4I 4I 2I16s 2I",
        *(0x0100, b"IM"),  # version, byte order
        *(14, 16 + 16 + 24 + 8 + n_bytes),  # a matrix, its size in bytes
        *(6, 8, 6, 0),  # its class: double; neither complex nor logical
        *(5, 8, n_rows, n_columns),
        *(1, len(name), name.encode()),
        *(9, n_bytes),  # the numbers, as doubles, column by column
    )
