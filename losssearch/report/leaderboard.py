"""The leaderboard: the searched loss and every baseline in one order, as plain rows.

The command line, the data frame, the figure and the report all read these rows, so that no two of them
can disagree about the order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from losssearch.report.standing import Standing, excess, standings

SEARCHED = "searched"
"""The name of the searched loss among the baselines' names."""


@dataclass(frozen=True)
class Row:
    """One line of a leaderboard. Values are in the metric's own unit; None if nothing was measured.

    ``difference`` is this row's test mean less that of the first row (0 for the first row). Where a study has no test
    part, ``std``, ``values`` and ``difference`` are of what validation says of each loss. ``interval`` is
    the one that the verdict states, turned to the same sign and unit; it is there only where this row and the
    first are the pair that the verdict compares. ``recommended`` marks the loss that the verdict recommends.
    """

    rank: int
    name: str
    formula: str
    validation: float | None
    test: float | None
    std: float | None
    values: tuple[float, ...]
    difference: float | None
    interval: tuple[float, float] | None
    recommended: bool
    constraints: tuple[Standing, ...] = ()
    """Whether and how far the loss satisfies each constraint, in the order of the study's."""
    best_epoch: int | None = None
    """The epoch that counts, the median over the final trainings; None if a function of the user's trained."""
    most_epochs: int | None = None
    """How many epochs there could have been."""


def higher_is_better(metric: Mapping[str, Any]) -> bool:
    """Whether more of the metric of a ``result.json`` is better; ``direction`` is read by its first letters."""
    return str(metric.get("direction", "maximize")).lower().startswith(("max", "high", "up"))


def leaderboard(result: Mapping[str, Any]) -> list[Row]:
    """The rows of a ``result.json``, best test mean first; rows without a test mean come last, by validation.

    Under constraints, losses that keep all limits on test come before the others, and these by how far they are
    beyond them. Ties keep the order of the result, the searched loss first.
    """
    sign = -1.0 if higher_is_better(result["metric"]) else 1.0
    baselines = [(str(entry["name"]), entry) for entry in result.get("baselines") or []]
    found = searched_entry(result)
    entries = [*([(SEARCHED, found)] if found else []), *baselines]

    def order(entry: tuple[str, Mapping[str, Any]]) -> tuple[bool, float, float]:
        test, validation = _mean(entry[1].get("test")), _mean(entry[1].get("validation"))
        known = test if test is not None else validation
        return test is None, excess(standings(entry[1])), math.inf if known is None else sign * known

    entries.sort(key=order)
    verdict = result.get("verdict") or {}
    recommended = SEARCHED if verdict.get("recommended") == "searched" else verdict.get("against")
    part = "test" if any(_mean(entry.get("test")) is not None for _, entry in entries) else "validation"
    leader, first = entries[0][0], _mean(entries[0][1].get(part))
    rows = []
    for rank, (name, entry) in enumerate(entries, start=1):
        judged = entry.get(part) or {}
        mean = _mean(judged)
        rows.append(
            Row(
                rank=rank,
                name=name,
                formula=str(entry.get("formula") or _formula(entry.get("spec"))),
                validation=_mean(entry.get("validation")),
                test=_mean(entry.get("test")),
                std=_finite(judged.get("std")),
                values=tuple(float(v) for v in judged.get("values") or () if _finite(v) is not None),
                difference=None if mean is None or first is None else mean - first,
                interval=_interval(verdict, leader, name, sign),
                recommended=name == recommended,
                constraints=standings(entry),
                best_epoch=(entry.get("epochs") or {}).get("best"),
                most_epochs=(entry.get("epochs") or {}).get("most"),
            )
        )
    return rows


def as_records(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Flat dictionaries for a data frame, CSV or JSON: intervals as ``interval_low`` and ``interval_high``.

    Each constraint has two columns: its name with the gap on test, and ``NAME_met``.
    """
    records = []
    for row in rows:
        record = asdict(row)
        low, high = record.pop("interval") or (None, None)
        del record["values"], record["constraints"]
        gaps = {name: shown for held in row.constraints for name, shown in _columns(held)}
        records.append({**record, "interval_low": low, "interval_high": high, **gaps})
    return records


def searched_entry(result: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The best searched loss: of its own where the result says so, else the best, unless that is a baseline."""
    if "searched" in result:
        entry: Mapping[str, Any] | None = result["searched"]
        return entry
    names = {entry["name"] for entry in result.get("baselines") or []}
    best: Mapping[str, Any] = result["best"]
    return None if best.get("name") in names else best


def _columns(held: Standing) -> tuple[tuple[str, float | None], tuple[str, bool]]:
    return (held.name, held.test), (f"{held.name}_met", held.met)


def _interval(verdict: Mapping[str, Any], leader: str, name: str, sign: float) -> tuple[float, float] | None:
    """The verdict's interval is of searched less baseline, above zero where better; a row's of row less leader."""
    bounds = verdict.get("interval")
    if not bounds or leader == name or {leader, name} != {SEARCHED, verdict.get("against")}:
        return None
    turn = -sign if name == SEARCHED else sign
    low, high = sorted(turn * float(bound) for bound in bounds)
    return low, high


def _formula(spec: Any) -> str:
    from losssearch.losses.spec import LossSpec  # needs torch, which rows with a formula do not

    return LossSpec.from_json(spec).formula() if spec else ""


def _mean(summary: Any) -> float | None:
    return _finite(summary.get("mean")) if isinstance(summary, Mapping) else None


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


_HEADLINE = 120
"""Characters that a headline may have."""


def spoken(result: Mapping[str, Any]) -> tuple[str, str]:
    """What a ``result.json`` advises (``"Use the searched loss, …"``), and the evidence for it as a sentence."""
    verdict = result.get("verdict") or {}
    head, colon, rest = str(verdict.get("text", "")).partition(": ")
    if colon and len(head) <= _HEADLINE:
        return head, rest[:1].upper() + rest[1:]
    if verdict.get("recommended") == "searched":
        return "Use the searched loss", head + rest
    return f"Use the baseline {verdict.get('against') or result['best'].get('name', '')}", head + rest
