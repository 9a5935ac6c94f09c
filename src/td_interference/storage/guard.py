"""What a file from anywhere may hold: numbers and names in plain data sets, of one name each.

HDF5 can do more than hold numbers: point into other files, have filters loaded from a library,
declare terabytes that are not there. Nothing of it is needed here, so everything in a file is
looked at before the first number is read, and the rest is refused.
"""

import math
import re
import struct

import h5py

from td_interference.storage.expansion import check_expansion

_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_FLETCHER32}
_MOST_COMPRESSED = 1032  # deflate makes of a byte at most that many
_LONGEST_TEXT = 1 << 20  # bytes of an attribute


class Refused(ValueError):
    """A file holds what it must not; the message names the object, without the file's name."""


def check_heaps(content: bytes) -> None:
    """Look at the heaps that texts of variable length stand in, before the library walks them.

    It goes from entry to entry by their sizes, and for ever where one leads nowhere.

    Args:
        content: The bytes of a file.

    Raises:
        Refused: If an entry does not end within its heap.
    """
    for match in re.finditer(b"GCOL", content):
        start = match.start()
        if start + 16 > len(content):
            continue
        (size,) = struct.unpack_from("<Q", content, start + 8)
        if size > len(content) - start:
            continue  # by chance in other data; the library refuses such a heap
        position, end = start + 16, start + size
        while position + 16 <= end:
            index, length = struct.unpack_from("<H6xQ", content, position)
            # The free space at the end counts its own header.
            step = length if index == 0 else 16 + length + -length % 8
            if not 16 <= step <= end - position:
                raise Refused("an entry of its heap of texts has no end")
            position += step


def check_objects(file: h5py.File, file_bytes: int) -> None:
    """Look at every object of an open file.

    Args:
        file: The file.
        file_bytes: Its size on disk, which bounds what it can hold.

    Raises:
        Refused: If there is anything but groups, and data sets of numbers or names in the file.
        TooLarge: If what it declares is out of all proportion to its size.
    """
    total = 0
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
                total += _check_dataset(name, item, file_bytes)
            else:
                raise Refused(f"'{name}' is neither a group nor a data set")
    check_expansion(total, file_bytes)


def _address(item: h5py.HLObject) -> int:
    return h5py.h5o.get_info(item.id).addr


def _check_attributes(item: h5py.HLObject) -> None:
    """Look at the types of an object's attributes, before the library is let read a value.

    Reading is what a wrong type leads astray: references, sequences and nested types have values
    that point somewhere, and the library follows them.
    """
    for index in range(h5py.h5a.get_num_attrs(item.id)):
        attribute = h5py.h5a.open(item.id, index=index)
        if not _is_plain(attribute):
            name = attribute.name.decode("utf-8", "backslashreplace")
            raise Refused(f"attribute '{name}' is neither text nor a number")


def _is_plain(attribute: h5py.h5a.AttrID) -> bool:
    """Whether an attribute is one number, one truth value or one text."""
    kind = attribute.get_type()
    if attribute.get_space().get_simple_extent_type() != h5py.h5s.SCALAR:
        return False
    if isinstance(kind, h5py.h5t.TypeStringID):
        return bool(kind.is_variable_str()) or 0 < kind.get_size() <= _LONGEST_TEXT
    if isinstance(kind, h5py.h5t.TypeEnumID):  # as h5py writes truth values
        return bool(kind.get_size() == 1 and kind.get_nmembers() == 2)
    numbers = h5py.h5t.TypeIntegerID | h5py.h5t.TypeFloatID
    return isinstance(kind, numbers) and kind.get_size() in (1, 2, 4, 8)


def _check_dataset(name: str, dataset: h5py.Dataset, file_bytes: int) -> int:
    """Look at a data set; return the bytes that reading it takes."""
    properties = dataset.id.get_create_plist()
    if properties.get_layout() == h5py.h5d.VIRTUAL or properties.get_external_count():
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
    return declared
