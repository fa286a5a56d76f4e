"""All trials of a study as the rows of one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from losssearch.losses.spec import LossSpec
from losssearch.storage.records import TrialRecord

MOST = 5_000
"""Trials that a page lists; of more, the best by their state and number."""


@dataclass(frozen=True)
class TrialRow:
    """One trial: what was tried, what became of it, and with which settings."""

    number: int
    origin: str
    name: str
    formula: str
    state: str
    reason: str
    value: float | None
    rate: float | None
    epochs: str
    seconds: float


def trial_rows(trials: Sequence[TrialRecord]) -> list[TrialRow]:
    """A row for each trial, by number."""
    return [_row(trial) for trial in sorted(trials, key=lambda trial: trial.number)[:MOST]]


def _row(trial: TrialRecord) -> TrialRow:
    value = trial.value if trial.value is not None else trial.rungs[-1][1] if trial.rungs else None
    best = sorted(trial.best_epochs)[(len(trial.best_epochs) - 1) // 2] if trial.best_epochs else None
    same = f"as trial {trial.twin}" if trial.twin is not None else ""
    return TrialRow(
        number=trial.number,
        origin=trial.origin,
        name="searched" if trial.origin == "searched" else trial.name.replace("_", " "),
        formula=LossSpec.from_json(trial.spec).formula(),
        state=trial.state.value,
        reason=trial.reason or same,
        value=value,
        rate=trial.rate,
        epochs="" if best is None else f"{best} of {trial.most}" if trial.most else str(best),
        seconds=trial.seconds,
    )
