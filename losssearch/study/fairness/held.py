"""Whether one loss satisfies one limit: what is promised, what is certified, and what test shows."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from losssearch.evaluation.fairness import Certificate, Constraint


@dataclass(frozen=True)
class Held:
    """``gap`` and ``bound``: on the rows that tuned the decision, with the standard errors that a promise needs.

    ``rows``: how many those are; ``new_rows``: on how many new ones the promise speaks of the gap. ``certificate``: of
    the same rows, each decided by what the rows of other trainings tuned. ``test``: the gap of each training.
    """

    constraint: Constraint
    gap: float
    bound: float
    needed: float
    rows: int
    new_rows: int
    certificate: Certificate
    test: tuple[float, ...]

    @property
    def promised(self) -> bool:
        """Whether the limit is satisfied with the full margin of the promise."""
        return self.constraint.met(self.bound)

    @property
    def status(self) -> str:
        """``met``, ``not met`` or ``not certifiable``: what the certificate says."""
        return self.certificate.status

    @property
    def shown(self) -> float:
        """The mean gap on test."""
        return statistics.fmean(self.test)

    def to_json(self) -> dict[str, Any]:
        """An entry of ``constraints`` in ``result.json``."""
        found = self.certificate
        return {
            "name": self.constraint.name,
            "op": self.constraint.op,
            "limit": self.constraint.limit,
            "validation": self.gap,
            "promise": {
                "kept": self.promised,
                "bound": self.bound,
                "standard_errors": self.needed,
                "rows": self.rows,
                "new_rows": self.new_rows,
            },
            "confirmation": {
                "value": found.value,
                "bound": found.bound,
                "status": found.status,
                "level": found.level,
                "rows": self.rows,
            },
            "test": self.shown,
            "test_values": list(self.test),
            "met": self.constraint.met(self.shown),
        }

    def text(self) -> str:
        """A sentence: what is promised and certified, and what test shows."""
        level, found = f"{self.certificate.level:.0%}", self.certificate
        certain = {
            "met": f"out-of-fold rows certify it at {level}",
            "not met": f"out-of-fold rows do not certify it at {level}",
            "not certifiable": f"this number of rows cannot certify it at {level}",
        }[found.status]
        promised = "" if self.promised else "not promised; "
        figures = f"(gap {figure(found.value)}, bound {figure(found.bound)} on {self.rows:,} rows)"
        return f"{self.constraint}: {promised}{certain} {figures}; test shows {figure(self.shown)}."


def figure(value: float) -> str:
    """Three digits, in full where it is large."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
