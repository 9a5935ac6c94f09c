"""What a kind of HDF5 file is: its data sets, each with dtype, shape, unit and meaning."""

from collections.abc import Mapping
from typing import NamedTuple


class Field(NamedTuple):
    """One data set: its dtype, the name of each dimension (or its fixed size), unit, meaning."""

    dtype: str
    dimensions: tuple[str | int, ...]
    unit: str
    description: str
    may_lack: bool = False  # NaN where there is nothing to measure; elsewhere NaN is an overflow


class FileKind(NamedTuple):
    """One kind of file."""

    name: str
    version: int
    title: str
    fields: Mapping[str, Field]
