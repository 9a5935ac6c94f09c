"""The most memory that this process holds within a block, as Linux counts it."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# Of malloc.h: what is larger is memory of its own, given back to the system as soon as it is free.
_M_MMAP_THRESHOLD = -3
_LARGE, _LARGEST = 1 << 17, 1 << 25  # bytes; what glibc begins with, and what it may rise to


class Peak:
    """MB beyond what was held before the block; known after it."""

    megabytes = 0.0


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure a block; the test is skipped where the system does not count anew on demand."""
    library = ctypes.CDLL(None)
    # What is free but kept, of tests before this one, would be taken again without being counted;
    # and between pieces of it, new memory would be taken for what does not fit into one.
    library.mallopt(_M_MMAP_THRESHOLD, _LARGE)
    gc.collect()
    library.malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets the peak, VmHWM
    except OSError as error:
        pytest.skip(f"the peak of memory cannot be measured here ({error.strerror})")
    before, peak = _kilobytes("VmRSS"), Peak()
    try:
        yield peak
    finally:
        library.mallopt(_M_MMAP_THRESHOLD, _LARGEST)
    peak.megabytes = (_kilobytes("VmHWM") - before) * 1024 / 1e6


def _kilobytes(name: str) -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith(name + ":"))
