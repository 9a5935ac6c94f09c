"""The project's HDF5 files; no other package knows a name inside one.

Checkpoints, which need torch, are in `storage.checkpoints`, imported by name.
"""

from td_interference.storage.attributes import identity_of, parse_attributes
from td_interference.storage.hdf5 import (
    Arrays,
    arrays_of,
    create,
    numbers,
    numbers_into,
    opened,
    read,
    read_attributes,
    write,
)
from td_interference.storage.seal import sealed_digest
from td_interference.storage.table import Field, Table
from td_interference.storage.tables import (
    CHECKPOINTS,
    GENERALIZATION,
    IMAGES,
    MEASUREMENTS,
    RANDOM_NETWORKS,
    REGRESSION,
    REPLAY,
    TABLES,
)
from td_interference.storage.unreadable import one_line_if_unreadable

__all__ = [
    "CHECKPOINTS",
    "GENERALIZATION",
    "IMAGES",
    "MEASUREMENTS",
    "RANDOM_NETWORKS",
    "REGRESSION",
    "REPLAY",
    "TABLES",
    "Arrays",
    "Field",
    "Table",
    "arrays_of",
    "create",
    "identity_of",
    "numbers",
    "numbers_into",
    "one_line_if_unreadable",
    "opened",
    "parse_attributes",
    "read",
    "read_attributes",
    "sealed_digest",
    "write",
]
