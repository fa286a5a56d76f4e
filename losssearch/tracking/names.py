"""Names and values for a tracker: legal names, and nested values made flat."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from losssearch.storage.records import TrialRecord

PLAIN = (str, float, int, type(None))


@lru_cache(4096)
def legal(name: str) -> str:
    """``name`` with only the characters that trackers take: ``cost(fp=1,fn=5)`` is ``cost_fp_1_fn_5``."""
    return re.sub(r"[^\w.\-/]+", "_", name, flags=re.ASCII).strip("_")[:250] or "_"


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested mappings and lists as one level: ``{"parts": [{"gamma": 2.0}]}`` is ``{"parts.0.gamma": "2"}``.

    Floats keep six digits; None and empty collections are left out.
    """
    return {legal(name): _text(leaf) for name, leaf in _leaves(value, prefix) if leaf is not None}


def curve(record: TrialRecord) -> list[tuple[int, float]]:
    """The metric of a trial as (epoch, value), one value per epoch, non-finite ones left out.

    The final value is the last point: at the epoch where training ended, never before the last rung.
    """
    points = dict(record.rungs)
    if record.value is not None:
        points[max(record.epochs or 0, *points, 0)] = record.value
    return [(epoch, float(value)) for epoch, value in sorted(points.items()) if math.isfinite(value)]


def spread_of(values: Sequence[float]) -> float:
    """The sample standard deviation of two or more values; nan if one is not finite."""
    mean = math.fsum(values) / len(values) if all(map(math.isfinite, values)) else math.nan
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def finite(metrics: Mapping[str, float | None]) -> dict[str, float]:
    """Metrics under legal names, without those that are not finite numbers."""
    return {legal(name): float(value) for name, value in metrics.items() if value is not None and math.isfinite(value)}


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    # The plain types first: asking an abstract class costs many times more.
    if isinstance(value, dict) or (not isinstance(value, PLAIN) and isinstance(value, Mapping)):
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple) or (not isinstance(value, PLAIN) and isinstance(value, Sequence)):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{name}.{index}" if name else str(index))
    else:
        yield name, value


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
