"""The place of the recommended loss in the table of its study, and why it is not first if it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from losssearch.storage.records import TrialRecord
from losssearch.study.selecting.claim import stated
from losssearch.study.selecting.verdict import Reading, Referee
from losssearch.study.study_context import StudyContext

Row = tuple[Reading, Mapping[str, Any]]
"""A finalist, and its entry in ``result.json``."""


def placed(context: StudyContext, referee: Referee, winner: Reading, table: Sequence[Row]) -> str:
    """A sentence that names every loss ahead of ``winner`` in the table, and says why; empty if there is none.

    Under constraints, losses that satisfy them come first.
    """
    own = next(entry for reading, entry in table if reading is winner)
    part = "validation" if own["test"] is None else "test"
    place = _place(context, own, part)
    ahead = [row for row in table if _place(context, row[1], part) > place and _kept(row[1])]
    if not ahead:
        return ""
    ahead.sort(key=lambda row: _place(context, row[1], part), reverse=True)
    first = ahead[0][0]
    found = referee.difference(first, winner, part)
    low, high = found.interval
    luck = (
        "its interval contains zero, so this may be chance"
        if low <= 0 <= high
        else "the best of several losses on this number of rows is partly lucky"
    )
    where = "test" if part == "test" else "these seeds"
    listed = ", ".join(f"{_name(reading)} ({entry[part]['mean']:.4g})" for reading, entry in ahead)
    kept = "" if _kept(own) else " and satisfies the limit there"
    why = (
        f"by {stated(found)}: {luck}. The recommendation was made before test was read"
        if part == "test"
        else f"by {stated(found)}: {luck}. The recommendation also counts the re-evaluation on other seeds"
    )
    verb = "is" if len(ahead) == 1 else "are"
    return (
        f"In the table, which is sorted by {where}, {listed} {verb} ahead of the recommended loss "
        f"({own[part]['mean']:.4g}); {_name(first)} is first{kept}, {why}."
    )


def searching(context: StudyContext, trials: Sequence[TrialRecord]) -> str:
    """What ``best`` on the progress line was; empty if no trial had a value."""
    values = [trial.value for trial in trials if trial.value is not None and context.excess(trial) <= 0]
    if not values:
        return ""
    best = max(values, key=context.metric.utility)
    return (
        f'"best {best:.4g}" while searching was the best of {len(values)} values on the search\'s own validation rows: '
        "it is optimistic and not comparable with the table."
    )


def _place(context: StudyContext, entry: Mapping[str, Any], part: str) -> tuple[bool, float]:
    return _kept(entry), context.metric.utility(entry[part]["mean"])


def _kept(entry: Mapping[str, Any]) -> bool:
    return all(held["met"] for held in entry["constraints"])


def _name(reading: Reading) -> str:
    """As the table names it."""
    return "searched" if reading.contender.trial.origin == "searched" else reading.name
