"""Numbers, times and sizes as people read them, in few columns. Floor 6; pure."""

from __future__ import annotations

_THOUSAND = 1000.0


def count(value: float) -> str:
    """Return 0, 999, 12.3k, 4.56M, 7.89G: at most 5 characters."""
    value = float(value)
    for suffix in ("", "k", "M", "G", "T"):
        if abs(value) < _THOUSAND * 0.9995 or suffix == "T":
            break
        value /= _THOUSAND
    if suffix == "":
        return f"{value:.0f}"
    digits = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:.{digits}f}{suffix}"


def duration(seconds: float | None) -> str:
    """Return 0.4s, 12s, 3m05s, 2h03m, 5d04h; a dash for None."""
    if seconds is None:
        return "-"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def latency(nanoseconds: int) -> str:
    """Return 850ns, 12.3us, 4.56ms, 1.20s: three digits."""
    value = float(nanoseconds)
    for suffix in ("ns", "us", "ms", "s"):
        if value < _THOUSAND * 0.9995 or suffix == "s":
            break
        value /= _THOUSAND
    if suffix == "ns":
        return f"{value:.0f}ns"
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f}{suffix}"


def mebibytes(size: int) -> str:
    """Return 44.0 MiB."""
    return f"{size / 2**20:.1f} MiB"
