"""The frames of a D*, raw, in one file in scratch that all jobs of a machine map.

Each job that reads a D* would hold its frames in memory of its own. Instead the first one writes
them, decompressed and padded, to a file below the directory for temporary files (TMPDIR), and all
map that file: the system holds one copy of it, and who comes later need not decompress anything.

**What is checked.** The file is named by the SHA-256 of the D*'s content, so that a D* that was
made anew never meets an old copy. It gets its name when it is whole: it is written under another
name and a lock, read back and compared, flushed to disk and then renamed; a kill leaves a part that
the next process writes anew. Who maps a copy compares owner, permissions, size and the first line
(format and shape), but not its bytes, for that would take as long as to decompress them. So a byte
that a disk, or another program of the same user, changes afterwards is a wrong pixel in the
observations of every job that maps the copy, and no error. `head -n 1 COPY` shows the SHA-256 of
the frames, `tail -c +4097 COPY | sha256sum` computes it anew. A map is private: were it written to,
the file and all other jobs would keep what they have.

**How long it stays.** A process that maps a copy has it locked until it ends. Copies that none
maps are kept for later jobs, until the workflow ends; those used last, while they take less than a
fourth of free disk and memory, and none for more than a day.
"""

import fcntl
import hashlib
import logging
import math
import mmap
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO

import numpy as np
from numpy.typing import NDArray

from td_interference.storage.expansion import free_memory
from td_interference.storage.scratch import Scratch, Unusable, lock

logger = logging.getLogger(__name__)

Shape = tuple[int, int, int]  # frames, height, width

# Fills an array [n, height, width] of zeros with the frames from a number on.
ReadInto = Callable[[int, NDArray[np.uint8]], None]

_FORMAT = "td-interference frames 1"  # to be counted up when frames are padded otherwise
_BLOCK_BYTES = 4096  # before the frames, which so begin where a page does
_PIECE = 512  # frames in memory while a copy is written, three times: 11 MB
_NAME = re.compile(r"[0-9a-f]{64}\.frames(\.partial)?")
_KEPT = 24 * 3600  # seconds without use after which a copy is removed
_POLL = 0.05  # seconds between two looks whether another process has made the copy
_PATIENCE = 600  # seconds to wait for it


def shared(sha256: str, shape: Shape, read_into: ReadInto) -> NDArray[np.uint8] | None:
    """Return the frames of a D* as the processes of this machine share them.

    Where they cannot, a line in the log says why.

    Args:
        sha256: The SHA-256 of the D* file's content, 64 hexadecimal digits.
        shape: That of all frames, black ones included.
        read_into: Reads some of them; called where there is no copy yet.

    Returns:
        uint8 of `shape`, or None if they have to be in memory of one's own.
    """
    name, started = f"{sha256}.frames", time.monotonic()
    try:
        with suppress(FileExistsError):
            Scratch.path().mkdir(mode=0o700)
        with Scratch.opened() as scratch:
            while (frames := _mapped(scratch, name, shape)) is None:
                if _make(scratch, name, shape, read_into):
                    continue
                if time.monotonic() - started > _PATIENCE:
                    raise Unusable(f"another process has not made the copy in {_PATIENCE} s")
                time.sleep(_POLL)
            return frames
    except (OSError, Unusable) as error:
        reason = getattr(error, "strerror", None) or error
        logger.info(
            "this job holds D* in memory of its own, for scratch cannot be used: %s", reason
        )
        return None


def remove_unused() -> None:
    """Remove this user's copies that no process maps, and their directory if it is then empty."""
    with suppress(OSError, Unusable), Scratch.opened() as scratch:
        _remove_unused(scratch, keep=0)
        Scratch.path().rmdir()


def _first_line(shape: Shape) -> bytes:
    return f"{_FORMAT}, {' x '.join(map(str, shape))}, SHA-256 from byte 4097 on: ".encode()


def _mapped(scratch: Scratch, name: str, shape: Shape) -> NDArray[np.uint8] | None:
    """Map the copy; None if there is none that is good, or somebody is about to remove it."""
    with suppress(FileNotFoundError), scratch.file(name, os.O_RDONLY) as file:
        if not lock(file, fcntl.LOCK_SH) or not scratch.has(name, file):
            return None
        size = os.fstat(file.fileno()).st_size
        right = file.read(_BLOCK_BYTES).startswith(_first_line(shape))
        if size != _BLOCK_BYTES + math.prod(shape) or not right:
            scratch.remove(name)
            return None
        os.utime(file.fileno())
        # The map has a handle of the file, and so the lock. Private, for torch warns of read-only.
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        return np.frombuffer(content, np.uint8, offset=_BLOCK_BYTES).reshape(shape)
    return None


def _make(scratch: Scratch, name: str, shape: Shape, read_into: ReadInto) -> bool:
    """Make the copy, unless another process is at it; whether it was made."""
    partial = f"{name}.partial"
    with scratch.file(partial, os.O_RDWR | os.O_CREAT) as file:
        # Whoever has the lock, and nobody else, may take the name away.
        if not lock(file, fcntl.LOCK_EX) or not scratch.has(partial, file):
            return False
        try:
            if name in scratch.names():
                return False
            _make_room(scratch, math.prod(shape))
            _write(file, shape, read_into)
            scratch.rename(partial, name)
            return True
        finally:
            if scratch.has(partial, file):
                scratch.remove(partial)


def _write(file: IO[bytes], shape: Shape, read_into: ReadInto) -> None:
    """Write a copy in pieces, and compare each with what is read back."""
    file.truncate(0)
    file.seek(_BLOCK_BYTES)
    digest = hashlib.sha256()
    piece = np.empty((min(_PIECE, shape[0]), *shape[1:]), dtype=np.uint8)
    for first in range(0, shape[0], _PIECE):
        part = piece[: shape[0] - first]
        part[:] = 0
        read_into(first, part)
        content = part.tobytes()
        digest.update(content)
        place = file.tell()
        file.write(content)
        file.flush()
        if os.pread(file.fileno(), len(content), place) != content:
            raise Unusable("what is read back is not what was written")
    file.seek(0)
    block = _first_line(shape) + digest.hexdigest().encode()
    file.write(block.ljust(_BLOCK_BYTES, b"\n"))
    file.flush()
    os.fsync(file.fileno())


def _make_room(scratch: Scratch, n_bytes: int) -> None:
    """Remove old copies, and refuse to take more than half of the disk that is then free."""
    room, memory = scratch.free() - 2 * n_bytes, free_memory()
    _remove_unused(scratch, keep=max(0, room if memory is None else min(room, memory)) // 4)
    if (free := scratch.free()) < 2 * n_bytes:
        raise Unusable(f"{n_bytes / 1e9:.1f} GB are over half of the {free / 1e9:.1f} GB free")


def _remove_unused(scratch: Scratch, keep: int) -> None:
    """Remove copies that no process maps, but `keep` bytes of them, and parts of dead writers."""
    last_use = {
        name: scratch.last_change(name) for name in filter(_NAME.fullmatch, scratch.names())
    }
    for name in sorted(last_use, key=last_use.__getitem__, reverse=True):
        with suppress(OSError, Unusable), scratch.file(name) as file:
            if not lock(file, fcntl.LOCK_EX) or not scratch.has(name, file):
                continue
            keep -= os.fstat(file.fileno()).st_size
            old = time.time() - last_use[name] > _KEPT
            if keep < 0 or old or name.endswith(".partial"):
                scratch.remove(name)
