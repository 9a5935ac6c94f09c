"""The seal of a file: the SHA-256 of its bytes, in the text that stands before the HDF5 itself.

HDF5 lets a program keep a block of its own at the beginning of a file (the user block), which
every HDF5 tool skips. A reader compares the digest before the HDF5 library sees a single byte, so
that damage anywhere is found, in the structure as in the data, and cannot lead the library astray.
In a shell: `head -n 1 FILE` shows the digest, `tail -c +513 FILE | sha256sum` computes it.
"""

import hashlib
from pathlib import Path

from td_interference.errors import UserError, rebuild
from td_interference.storage.files import atomic_path
from td_interference.storage.recognition import (
    HDF5_SEAL,
    check_regular,
    damaged,
    read_whole,
    refusal,
)

BLOCK_BYTES = 512  # the smallest user block that HDF5 allows
_FORMAT = HDF5_SEAL + b"file 1, SHA-256 of the bytes from 513 on: "


def _block(content: bytes | memoryview) -> bytes:
    digest = hashlib.sha256(content).hexdigest()
    return (_FORMAT + digest.encode()).ljust(BLOCK_BYTES, b"\n")


def write_sealed(path: Path | str, hdf5: bytes) -> None:
    """Write a sealed file, atomically.

    Args:
        path: The file to create or replace.
        hdf5: The file as the HDF5 library made it, without a user block.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(_block(hdf5))
        file.write(hdf5)


def sealed_digest(path: Path | str) -> str:
    """Return the SHA-256 that stands in a file's seal: that of its content, once it was checked.

    Raises:
        UserError: If there is no such file, or it has no seal.
    """
    check_regular(path)
    with Path(path).open("rb") as file:
        block = file.read(BLOCK_BYTES)
    if not block.startswith(_FORMAT):
        raise refusal(path, "an HDF5 file")
    return digest_in(block)


def digest_in(content: bytes) -> str:
    """Return the digest in the seal at the beginning of a file's bytes."""
    block = content[len(_FORMAT) : BLOCK_BYTES]
    return block.rstrip(b"\n").decode("ascii", "replace")


def read_sealed(path: Path | str) -> bytes:
    """Return the bytes of a file, its user block included, once their digest is right.

    They are read once and in one go, without a lock: published files never change, and what was
    checked is what is used.

    Raises:
        UserError: If there is no such file, or it is not as it was written.
    """
    content = read_whole(path)
    if content[:BLOCK_BYTES] == _block(memoryview(content)[BLOCK_BYTES:]):
        return content
    if content.startswith(_FORMAT):
        raise damaged(path)
    if content.startswith(HDF5_SEAL):
        raise UserError(
            f"{path}: written in the format of another version of this program; {rebuild(path)}"
        )
    raise refusal(path, "an HDF5 file")
