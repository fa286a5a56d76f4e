"""What other mitigations reached on the same rows, for comparison in the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from losssearch.report.standing import SIGNS, Standing, standings

_KINDS = {
    "post-processed": "thresholds of each group over the scores of {base}",
    "reduction": "a mixture over {base}, each fitted on rows re-weighted for the gap",
}


@dataclass(frozen=True)
class Reference:
    """One mitigation on test: ``metric`` is a mean over trainings and drawn decisions."""

    name: str
    library: str
    kind: str
    under: str
    base: str
    needs: str
    metric: float
    constraints: tuple[Standing, ...]

    @property
    def title(self) -> str:
        """``fairlearn ThresholdOptimizer``."""
        return f"{self.library} {self.name}"

    @property
    def what(self) -> str:
        """What it does, in words."""
        return _KINDS.get(self.kind, "{base}").format(base=self.base)


def references(result: Mapping[str, Any]) -> list[Reference]:
    """The references of a result, in its order; those without a value on test are left out."""
    return [
        Reference(
            str(entry["name"]),
            str(entry.get("library", "")),
            str(entry["kind"]),
            _readable(str(entry.get("under", ""))),
            str(entry.get("base", "")),
            str(entry.get("needs") or ""),
            float(entry["test"]["mean"]),
            standings(entry),
        )
        for entry in result.get("references") or []
        if (entry.get("test") or {}).get("mean") is not None
    ]


def _readable(constraint: str) -> str:
    """``demographic parity difference ≤ 0.05``."""
    for sign, shown in SIGNS.items():
        constraint = constraint.replace(sign, shown)
    return constraint.replace("_", " ")
