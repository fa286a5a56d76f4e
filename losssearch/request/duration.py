"""Durations as text."""

from __future__ import annotations

import math
import re

from losssearch.errors import OptionError

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def parse_duration(text: str) -> float:
    """Seconds of ``90``, ``90s``, ``10m``, ``1.5h`` or ``1h30m``; raise `OptionError` for anything else."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if not parts or "".join(map("".join, parts)) != text.strip() or (len(parts) > 1 and any(not u for _, u in parts)):
        raise OptionError(f"a duration is a number with s, m, h or d, such as 90s or 1h30m, got {text!r}")
    seconds = sum(float(number) * UNITS[unit or "s"] for number, unit in parts)
    if not (math.isfinite(seconds) and seconds > 0):
        raise OptionError(f"a duration must be above 0, got {text!r}")
    return seconds
