"""The line on a file whose seal is right and whose content makes no sense."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from td_interference.errors import UserError, rebuild

# What the HDF5 library and its Python layer raise on content that is sealed but makes no sense.
UNREADABLE = (OSError, RuntimeError, LookupError, TypeError, ValueError, OverflowError)


@contextmanager
def one_line_if_unreadable(path: Path | str) -> Iterator[None]:
    """Turn what content that makes no sense raises, however it is looked at, into one line.

    Args:
        path: The sealed file that the block looks into.

    Raises:
        UserError: Names the file and the reason.
    """
    try:
        yield
    except UNREADABLE as error:
        raise unreadable(path, error) from None


def unreadable(path: Path | str, reason: object) -> UserError:
    """Return the line on a sealed file whose content makes no sense."""
    return UserError(f"{path}: refused, not as this program writes it ({reason}); {rebuild(path)}")
