"""Whether and how far a loss satisfies the constraints of its study, from an entry of ``result.json``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_SMALLEST_SCALE = 0.01
"""What an excess is measured in at a limit of zero, as the search has it."""

SIGNS = {"<=": "≤", ">=": "≥"}


@dataclass(frozen=True)
class Standing:
    """One loss and one constraint. Gaps are means over seeds; None if nothing was measured.

    ``bound`` and ``status`` are what ``rows`` rows certify at ``level``, each decided by what others tuned.
    ``promised``: whether the limit is kept with the room that new rows need. ``floor`` is the gap that groups treated
    equally stay within in 95 % of samples of this size; ``verifiable`` says whether the limit lies beyond it.
    """

    name: str
    op: str
    limit: float
    validation: float | None = None
    confirmation: float | None = None
    bound: float | None = None
    status: str = ""
    level: float | None = None
    rows: int = 0
    promised: bool | None = None
    test: float | None = None
    floor: float | None = None
    verifiable: bool = True

    @property
    def met(self) -> bool:
        """Whether the gap on test satisfies the limit."""
        return self.test is not None and self.excess <= 0

    @property
    def excess(self) -> float:
        """How far the gap on test is beyond the limit, in units of it; at most 0 if it is satisfied."""
        if self.test is None:
            return math.inf
        beyond = self.test - self.limit if self.op == "<=" else self.limit - self.test
        return beyond / max(abs(self.limit), _SMALLEST_SCALE)

    @property
    def title(self) -> str:
        """``demographic parity difference``."""
        return self.name.replace("_", " ")

    @property
    def demand(self) -> str:
        """``≤ 0.05``."""
        return f"{SIGNS.get(self.op, self.op)} {self.limit:g}"

    @property
    def mark(self) -> str:
        """✓ if test satisfies the limit, else ✗."""
        return "✓" if self.met else "✗"

    @property
    def chance(self) -> str:
        """The gap expected by chance, in words; empty if it was not computed."""
        if self.floor is None:
            return ""
        reach = "up to" if self.op == "<=" else "down to"
        return f"a perfectly fair model would show {reach} {figure(self.floor)} on this number of rows"

    @property
    def warning(self) -> str:
        """A warning about a limit that these rows cannot verify; otherwise empty."""
        what, more = f"{self.title} {self.demand}", "Bring more rows, pool groups or loosen the limit."
        if self.status == "not certifiable":
            return f"So few rows cannot certify {what}, not even of a perfectly fair model. {more}"
        if self.verifiable or self.floor is None:
            return ""
        return f"The limit {what} cannot be verified on this data: {self.chance}. {more}"


def standings(entry: Mapping[str, Any]) -> tuple[Standing, ...]:
    """Whether and how far the loss of an entry satisfies each constraint; empty if the study has none."""
    return tuple(_standing(found) for found in entry.get("constraints") or () if isinstance(found, Mapping))


def excess(found: Sequence[Standing]) -> float:
    """The largest violation of a limit on test, 0 if all are satisfied."""
    return max((0.0, *(standing.excess for standing in found if standing.test is not None)))


def _standing(found: Mapping[str, Any]) -> Standing:
    confirmation, floor = found.get("confirmation") or {}, found.get("noise_floor") or {}
    return Standing(
        name=str(found["name"]),
        op=str(found.get("op", "<=")),
        limit=float(found["limit"]),
        validation=_finite(found.get("validation")),
        confirmation=_finite(confirmation.get("value")),
        bound=_finite(confirmation.get("bound")),
        status=str(confirmation.get("status", "")),
        level=_finite(confirmation.get("level")),
        rows=int(confirmation.get("rows") or 0),
        promised=(found.get("promise") or {}).get("kept"),
        test=_finite(found.get("test")),
        floor=_finite(floor.get("quantile")),
        verifiable=bool(floor.get("verifiable", True)),
    )


def figure(value: float) -> str:
    """Three digits, in full where it is large."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
