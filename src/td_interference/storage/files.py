"""Files that appear whole or not at all: temporary name, fsync, rename."""

import errno
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from td_interference.errors import UserError

_NO_SPACE = tuple(map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)))
_ABANDONED = 24 * 3600  # seconds without a write after which a writer is taken for dead


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it becomes `path`, on error it is removed.

    A reader sees the old file or the new one, never a part, whatever kills the writer. What killed
    writers left in the directory is removed first. The suffix is kept because libraries
    choose a format by it (matplotlib, polars).

    Args:
        path: The file to create or replace; its directory is created.

    Yields:
        The temporary path to write to.

    Raises:
        UserError: If the file system or a quota is full, or the place cannot be written to.
    """
    path = Path(path)
    temporary = _new_temporary(path)
    try:
        yield temporary
        _publish(temporary, path)
    except BaseException as error:
        written = temporary.stat().st_size if temporary.exists() else 0
        temporary.unlink(missing_ok=True)
        if isinstance(error, Exception) and (reason := _no_space(error)):
            raise UserError(
                f"{path}: cannot be written, {reason} after {written:,} bytes; nothing that was "
                "there is lost: make room (or raise the quota) and run the same command again"
            ) from error
        raise


def _new_temporary(path: Path) -> Path:
    """Create an empty file beside `path` whose name tells the machine and process it is of."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path.parent)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}-{os.uname().nodename}-{os.getpid()}-",
            suffix=f".partial{path.suffix}",
            dir=path.parent,
        )
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise _not_writable(path, error) from error
    os.close(handle)
    return Path(name)


def _publish(temporary: Path, path: Path) -> None:
    try:
        # mkstemp makes files only their owner may read; results are for the whole group.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        _fsync(temporary)
        temporary.replace(path)
        _fsync(path.parent)
    except OSError as error:
        raise _not_writable(path, error) from error


def _not_writable(path: Path, error: Exception) -> UserError:
    reason = getattr(error, "strerror", None) or error
    return UserError(f"{path}: cannot be written ({reason}); choose or clear another place")


def _remove_abandoned(directory: Path) -> None:
    """Remove the temporary files of dead writers.

    Of this machine's writers the process number tells who is dead; of others', the file's age.
    """
    here = re.compile(rf"\..+-{re.escape(os.uname().nodename)}-(\d+)-\w+\.partial(\..+)?")
    anywhere = re.compile(r"\..+-\d+-\w+\.partial(\..+)?")
    for entry in os.scandir(directory):
        if not anywhere.fullmatch(entry.name):
            continue
        with suppress(OSError):  # gone in the meantime, or another user's
            own = here.fullmatch(entry.name)
            dead = own is not None and not _is_running(int(own[1]))
            if dead or time.time() - entry.stat().st_mtime > _ABANDONED:
                Path(entry.path).unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def _no_space(error: BaseException | None) -> str | None:
    """Return the system's words for a full disk if they stand in an error, or in one before it.

    Libraries put them into exceptions of their own, mostly without the system's number, or fail
    once more as they close the file.
    """
    while error is not None:
        if said := next((reason for reason in _NO_SPACE if reason in str(error)), None):
            return said
        error = error.__context__
    return None


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` to `path` in UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(path: Path | str) -> str:
    """Return the hexadecimal SHA-256 digest of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
