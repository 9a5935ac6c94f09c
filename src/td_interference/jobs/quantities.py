"""Sizes, times and rates as a person reads them; what is not known is a "?"."""

import math

UNKNOWN = "?"


def size(n_bytes: int) -> str:
    """Return a size in the unit that fits it: "512 bytes", "18.2 kB", "3.05 GB"."""
    if n_bytes < 1000:
        return f"{n_bytes} byte{'s' if n_bytes != 1 else ''}"
    rounded = float(f"{n_bytes:.3g}")  # what rounds up to a thousand is one of the next unit
    power = min(4, int(math.log10(rounded) // 3))
    return f"{rounded / 1000**power:g} {('kB', 'MB', 'GB', 'TB')[power - 1]}"


def duration(seconds: float | None) -> str:
    """Return a time, where it is known, as hours, minutes and seconds: "264:00:00"."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    minutes, left = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{left:02d}"


def rate(per_second: float | None, unit: str) -> str:
    """Return a rate with three digits that count: "1240 updates/s", "0.0271 checkpoints/s"."""
    if not per_second or not math.isfinite(per_second) or per_second < 0:
        return f"{UNKNOWN} {unit}/s"
    digits = max(0, 2 - math.floor(math.log10(per_second)))
    return f"{per_second:.{digits}f} {unit}/s"
