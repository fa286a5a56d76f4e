"""What a finished study leaves, and the content of its ``result.json``."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from losssearch import __version__
from losssearch.losses.spec import LossSpec
from losssearch.models import is_boosted
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.study.ledger import reasons_of
from losssearch.study.selecting.curves import epochs_of
from losssearch.study.selecting.row_memory import RowMemory
from losssearch.study.selecting.selection import Contender
from losssearch.study.selecting.verdict import Verdict
from losssearch.study.study_context import StudyContext
from losssearch.training import Outcome
from losssearch.training.boosting import ROUNDS

COUNTED = ("completed", "pruned", "rejected", "duplicate", "equivalent", "failed")


@dataclass(frozen=True)
class Finished:
    """What a study leaves: the content of ``result.json`` (without export), and what the export needs."""

    result: dict[str, Any]
    spec: LossSpec
    learned: dict[str, Tensor]
    trials: list[TrialRecord]
    rows: RowMemory | None = None
    """What the recommended loss has kept for each row, where it does."""


def result_of(
    context: StudyContext,
    trials: Sequence[TrialRecord],
    *,
    best: dict[str, Any],
    searched: dict[str, Any] | None,
    baselines: list[dict[str, Any]],
    verdict: Verdict,
) -> dict[str, Any]:
    """The content of ``result.json``; ``best``, ``searched`` and ``baselines`` are entries that `entry_of` began."""
    settings, metric = context.settings, context.metric
    counts = Counter(trial.state.value for trial in trials)
    search_s = context.seconds.get("search", 0.0)
    return {
        "study": settings.study,
        "task": settings.task,
        "metric": {"name": metric.name, "direction": metric.direction, "unit": metric.unit},
        "constraints": list(settings.constraints),
        "data": context.described(),
        "seed": settings.seed,
        "version": __version__,
        "command": context.command,
        "model": settings.model,
        "plan": {
            "epochs": settings.plan.epochs,
            "patience": settings.plan.patience,
            "rounds_per_epoch": ROUNDS if is_boosted(settings.model) else None,
        },
        "best": best,
        "searched": searched,
        "baselines": baselines,
        "verdict": verdict.to_json(),
        "trials": {"total": len(trials), **{state: counts.get(state, 0) for state in COUNTED}},
        "reasons": reasons_of(trials),
        "notes": list(context.notes),
        "timing": {
            "total_s": time.monotonic() - context.started,
            "search_s": search_s,
            "training_s": sum(t.seconds for t in trials if t.state in (TrialState.COMPLETED, TrialState.PRUNED)),
            "confirmation_s": context.seconds.get("confirmation", 0.0),
            "trials_per_minute": 60 * len(trials) / max(search_s, 1e-9),
            "run_notes": context.surroundings,
        }
        | ({"budget_s": settings.time_budget, "notes": context.keeper.notes()} if context.keeper else {}),
    }


def entry_of(contender: Contender, outcome: Outcome) -> dict[str, Any]:
    """What an entry says of a loss, before what it reached."""
    spec, trial = contender.spec, contender.trial
    return {
        "name": trial.name,
        "trial": trial.number,
        "spec": spec.to_json(),
        "formula": spec.formula(),
        "learning_rate": trial.rate,
        "epochs": epochs_of(outcome, contender.best_epochs),
        "weights_in_export": bool(outcome.learned),
        "constraints": [],
    }
