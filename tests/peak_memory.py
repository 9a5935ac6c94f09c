"""The most memory that this process holds within a block, as Linux counts it."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Peak:
    """MB beyond what was held before the block; known after it."""

    megabytes = 0.0


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure a block; the test is skipped where the system does not count anew on demand."""
    # What is free but kept, of tests before this one, would be taken again without being counted.
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets the peak, VmHWM
    except OSError as error:
        pytest.skip(f"the peak of memory cannot be measured here ({error.strerror})")
    before, peak = _kilobytes("VmRSS"), Peak()
    yield peak
    peak.megabytes = (_kilobytes("VmHWM") - before) * 1024 / 1e6


def _kilobytes(name: str) -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith(name + ":"))
