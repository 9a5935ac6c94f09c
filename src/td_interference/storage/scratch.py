"""A private directory among the files that any user may lay down (TMPDIR).

There others may have put a link or a directory of theirs under our name before us. So the directory
is opened once, never through a link, looked at, and all that happens in it goes by that handle.
Only what is this user's and closed to all others is used or removed.
"""

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self


class Unusable(Exception):
    """Why scratch, or a file in it, is not used."""


class Scratch:
    """This user's directory; see `opened`.

    Args:
        handle: The open directory.
    """

    def __init__(self, handle: int):
        self._handle = handle

    @staticmethod
    def path() -> Path:
        """Return where it is."""
        return Path(tempfile.gettempdir()) / f"td-interference-{os.geteuid()}"

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[Self]:
        """Open the directory.

        Raises:
            OSError: If there is none, or a link.
            Unusable: If it is another user's, or open to others.
        """
        handle = os.open(cls.path(), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _require_private(handle, cls.path())
            yield cls(handle)
        finally:
            os.close(handle)

    @contextmanager
    def file(self, name: str, flags: int = os.O_RDWR) -> Iterator[IO[bytes]]:
        """Open a file in it.

        Raises:
            OSError: If there is none, or a link.
            Unusable: If it is another user's, or open to others.
        """
        handle = os.open(name, flags | os.O_NOFOLLOW, 0o600, dir_fd=self._handle)
        with os.fdopen(handle, "rb" if flags == os.O_RDONLY else "r+b") as file:
            _require_private(handle, name)
            yield file

    def names(self) -> list[str]:
        """Return the names in it."""
        return os.listdir(self._handle)

    def last_change(self, name: str) -> float:
        """Return when a file was last changed, in seconds since the epoch; 0 if it is gone."""
        try:
            return os.stat(name, dir_fd=self._handle, follow_symlinks=False).st_mtime
        except FileNotFoundError:
            return 0.0

    def has(self, name: str, file: IO[bytes]) -> bool:
        """Whether an open file still has its name."""
        try:
            there = os.stat(name, dir_fd=self._handle, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(file.fileno()))

    def rename(self, name: str, new_name: str) -> None:
        """Give a file another name."""
        os.rename(name, new_name, src_dir_fd=self._handle, dst_dir_fd=self._handle)

    def remove(self, name: str) -> None:
        """Remove a file; who has it open keeps it."""
        os.unlink(name, dir_fd=self._handle)

    def free(self) -> int:
        """Return the bytes that can be written."""
        status = os.statvfs(self._handle)
        return status.f_bavail * status.f_frsize


def lock(file: IO[bytes], kind: int) -> bool:
    """Try to lock, until the file and all maps of it are closed; False if another process has it.

    Raises:
        OSError: If the file system knows no locks.
    """
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _require_private(handle: int, name: Path | str) -> None:
    status = os.fstat(handle)
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise Unusable(f"{name} is not yours alone (mode {stat.S_IMODE(status.st_mode):o})")
