"""How much of memory a compressed file may ask for, before any of it is taken."""

from pathlib import Path

# Deflate makes of a byte at most 1032. What this project writes stays far below it: frames that
# never change become a three-hundredth.
_SMALL = 256 << 20  # bytes that any file may become
_MOST_EXPANDED = 320


class TooLarge(ValueError):
    """A file declares more than its size makes likely, or than there is memory for."""


def most_content(file_bytes: int) -> int:
    """Return the bytes of content that a file of a size is let have."""
    return _SMALL + _MOST_EXPANDED * file_bytes


def check_expansion(declared: int, file_bytes: int) -> None:
    """Compare what a file's content would take with the file's size.

    Args:
        declared: Bytes of all its arrays, as it says itself.
        file_bytes: Its size.

    Raises:
        TooLarge: If a small file would become a huge one.
    """
    if declared > most_content(file_bytes):
        raise TooLarge(
            f"it declares {declared:,} bytes of content in {file_bytes:,}, more than "
            f"{_MOST_EXPANDED} times as many"
        )


def check_memory(n_bytes: int) -> None:
    """Compare what is to be read with the memory that is free; where that is unknown, do nothing.

    Raises:
        TooLarge: If it does not fit.
    """
    free = free_memory()
    if free is not None and n_bytes > free:
        raise TooLarge(
            f"it needs {n_bytes / 1e9:.1f} GB of memory, of which {free / 1e9:.1f} are free"
        )


def free_memory() -> int | None:
    """Return the bytes of memory that this machine can give, as Linux tells them."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
    except (OSError, ValueError, StopIteration):
        return None
