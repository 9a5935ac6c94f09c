"""What a file from anywhere may hold: numbers and names in plain data sets, of one name each.

HDF5 can do more than hold numbers: point into other files, have filters loaded from a library,
declare terabytes that are not there. Nothing of it is needed here, so everything in a file is
looked at before the first number is read, and the rest is refused.
"""

import math

import h5py
import numpy as np

_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_FLETCHER32}
_MOST_COMPRESSED = 1032  # deflate makes of a byte at most that many


class Refused(Exception):
    """A file holds what it must not; the message names the object, without the file's name."""


def check_objects(file: h5py.File, file_bytes: int) -> None:
    """Look at every object of an open file.

    Args:
        file: The file.
        file_bytes: Its size on disk, which bounds what it can hold.

    Raises:
        Refused: If there is anything but groups, and data sets of numbers or names in the file.
    """
    root = file["/"]
    seen = {_address(root)}
    waiting = [root]
    while waiting:
        group = waiting.pop()
        _check_attributes(group)
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise Refused(f"'{name}' is a link to another place")
            item = group[name]
            if _address(item) in seen:
                raise Refused(f"'{name}' has two names")
            seen.add(_address(item))
            if isinstance(item, h5py.Group):
                waiting.append(item)
            elif isinstance(item, h5py.Dataset):
                _check_attributes(item)
                _check_dataset(name, item, file_bytes)
            else:
                raise Refused(f"'{name}' is neither a group nor a data set")


def _address(item: h5py.HLObject) -> int:
    return h5py.h5o.get_info(item.id).addr


def _check_attributes(item: h5py.HLObject) -> None:
    for name, value in item.attrs.items():
        if not isinstance(value, str | np.bool_ | np.number):
            raise Refused(f"attribute '{name}' is neither text nor a number")


def _check_dataset(name: str, dataset: h5py.Dataset, file_bytes: int) -> None:
    properties = dataset.id.get_create_plist()
    outside = properties.get_layout() == h5py.h5d.VIRTUAL or properties.get_external_count()
    if outside:
        raise Refused(f"'{name}' takes its data from another file")
    if not {properties.get_filter(i)[0] for i in range(properties.get_nfilters())} <= _FILTERS:
        raise Refused(f"'{name}' needs a filter that this program does not use")
    if dataset.shape is None or dataset.dtype.kind not in "biufS":  # S: bytes of a fixed length
        raise Refused(f"'{name}' holds neither numbers nor names")
    item_bytes = dataset.dtype.itemsize
    declared = math.prod(dataset.shape) * item_bytes
    if declared:  # a chunk is read whole
        declared = max(declared, math.prod(dataset.chunks or ()) * item_bytes)
    stored = min(dataset.id.get_storage_size(), file_bytes)
    if declared > _MOST_COMPRESSED * stored:
        raise Refused(f"'{name}' declares {declared:,} bytes, but the file holds {stored:,} of it")
