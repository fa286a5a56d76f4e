"""Numbers, times and states as people read them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

STATES = {
    "queued": "waiting",
    "running": "running",
    "cancelling": "being cancelled",
    "done": "finished",
    "unmet": "no loss satisfies the constraints",
    "cancelled": "cancelled",
    "failed": "failed",
}
"""States of a search in words."""

_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))


def duration(seconds: float | None) -> str:
    """A length of time in its two largest units.

    Example:
        >>> duration(3_725)
        '1 h 2 min'
    """
    if seconds is None or not math.isfinite(seconds):
        return "–"
    left = max(0.0, seconds)
    if left < 1:
        return "less than 1 s" if left else "0 s"
    left = round(left) if left < 60 else left
    parts: list[str] = []
    for size, unit in _UNITS:
        if left >= size and len(parts) < 2:
            parts.append(f"{int(left // size)} {unit}")
            left %= size
        elif parts:
            break
    return " ".join(parts)


def ago(at: float | None, now: float) -> str:
    """How long ago something was, or how soon it will be.

    Example:
        >>> ago(100.0, 190.0)
        '1 min ago'
    """
    if at is None:
        return "never"
    past = now - at
    if abs(past) < 5:
        return "now"
    text = duration(abs(past)).split(" ")[:2]
    return f"{' '.join(text)} ago" if past > 0 else f"in {' '.join(text)}"


def instant(at: float) -> str:
    """A time as ISO 8601 in UTC, for machines and titles."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return str(at)


def number(value: object) -> str:
    """A number with four significant digits; a dash where there is none.

    Example:
        >>> number(0.123456), number(-1234567), number(None)
        ('0.1235', '−1,234,567', '–')
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "–"
    if isinstance(value, int) or (abs(value) >= 10_000 and abs(value) < 1e15):
        text = f"{round(value):,}"
    else:
        text = f"{value:.4g}"
    return text.replace("-", "\N{MINUS SIGN}")


def signed(value: object) -> str:
    """A difference, with its sign."""
    text = number(value)
    return f"+{text}" if isinstance(value, int | float) and math.isfinite(value) and value > 0 else text


def size(count: float | None) -> str:
    """A number of bytes.

    Example:
        >>> size(2_500_000)
        '2.5 MB'
    """
    if count is None:
        return "–"
    amount = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"


def better(direction: str) -> str:
    """What a metric's direction means."""
    return "lower is better" if direction == "minimize" else "higher is better"


def state(name: str) -> str:
    """A state of a search in words."""
    return STATES.get(name, name)
