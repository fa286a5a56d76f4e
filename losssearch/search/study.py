"""A study from its first trial to its result."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from losssearch import __version__
from losssearch.errors import LossSearchError
from losssearch.losses.spec import LossSpec
from losssearch.search.context import Context, StudyContext
from losssearch.search.fair_verdict import FairReferee
from losssearch.search.loop import Loop
from losssearch.search.selection import Contender, reevaluate
from losssearch.search.verdict import Judgement, Reading, Referee, Verdict, ablate, learned_state
from losssearch.storage.records import TrialRecord, TrialState

COUNTED = ("completed", "pruned", "rejected", "duplicate", "equivalent", "failed")


@dataclass(frozen=True)
class Finished:
    """What a study leaves: the content of ``result.json`` (without export), and what the export needs."""

    result: dict[str, Any]
    spec: LossSpec
    learned: dict[str, float]
    trials: list[TrialRecord]


def run_study(context: Context) -> Finished:
    """Search, re-evaluate, confirm, read test once, and say what came of it.

    Raises `LossSearchError` where not even the plain loss could be trained.
    """
    return judged_study(context, FairReferee(context) if context.constraints else Referee(context))


def judged_study(context: StudyContext, referee: Judgement) -> Finished:
    """A study whose finalists ``referee`` sets against each other; see `run_study`."""
    trials = Loop(context).run()
    if not any(trial.value is not None for trial in trials):
        raise context.hopeless(trials)
    selecting = time.monotonic()
    field = reevaluate(context, trials)
    keeper = context.keeper
    finalists = _finalists(field, context.finalists)
    if keeper:
        keeper.settle_confirmation()
        finalists = _fewer(finalists, keeper.effort.baselines, context.task.plain.name)
    readings = referee.read([*finalists["searched"], *finalists["baseline"]])
    sound = {r.contender.trial.number: r for r in readings if r.outcome.state == "completed"}
    searched, baselines = (
        referee.ranked([sound[c.trial.number] for c in finalists[side] if c.trial.number in sound])
        for side in ("searched", "baseline")
    )
    if not baselines:
        reasons = Counter(t.reason for t in trials if t.reason).most_common(1)
        raise LossSearchError(
            f"no baseline could be trained to the end: {reasons[0][0] if reasons else 'no reason known'}"
        )
    plain = next((r for r in baselines if r.name == context.task.plain.name), baselines[0])
    verdict = referee.verdict(searched[0] if searched else None, baselines[0], plain)
    winner = searched[0] if verdict.recommended == "searched" else baselines[0]
    ablation = ablate(referee, winner, plain)
    if keeper:
        for line in keeper.notes():
            context.observer.note(line)
    context.seconds["confirmation"] = time.monotonic() - selecting
    result = _result(context, trials, referee, winner, searched, baselines, verdict) | {"ablation": ablation}
    spec = winner.contender.spec
    return Finished(result, spec, learned_state(spec, winner.outcome), trials)


def _finalists(field: dict[str, list[Contender]], most: int) -> dict[str, list[Contender]]:
    """The best searched losses, and the best setting of every baseline, best baseline first."""
    best: dict[str, Contender] = {}
    for contender in field["baseline"]:
        best.setdefault(contender.trial.name, contender)
    # Without a re-evaluation, which a short time budget leaves out, nobody has utilities.
    measured = any(c.utilities for c in (*field["searched"], *field["baseline"]))
    searched = [c for c in field["searched"][:most] if c.utilities or not measured]
    return {"searched": searched, "baseline": list(best.values())}


def _fewer(finalists: dict[str, list[Contender]], count: int, plain: str) -> dict[str, list[Contender]]:
    """``count`` baselines at most; the best and the plain one first, to be sure of them."""
    baselines = finalists["baseline"]
    first = [c for index, c in enumerate(baselines) if index == 0 or c.trial.name == plain]
    rest = [c for c in baselines if c not in first]
    return finalists | {"baseline": [*first, *rest][: max(count, len(first))]}


def _result(
    context: StudyContext,
    trials: list[TrialRecord],
    referee: Judgement,
    winner: Reading,
    searched: list[Reading],
    baselines: list[Reading],
    verdict: Verdict,
) -> dict[str, Any]:
    settings, metric = context.settings, context.metric
    counts = Counter(trial.state.value for trial in trials)
    total_s = time.monotonic() - context.started
    return {
        "study": settings.study,
        "task": settings.task,
        "metric": {"name": metric.name, "direction": metric.direction, "unit": metric.unit},
        "constraints": list(settings.constraints),
        "data": context.described(),
        "seed": settings.seed,
        "version": __version__,
        "model": settings.model,
        "best": _entry(referee, winner) | referee.explained(winner),
        "searched": _entry(referee, searched[0]) if searched else None,
        "baselines": [_entry(referee, reading) for reading in baselines],
        "verdict": verdict.to_json(),
        "trials": {"total": len(trials), **{state: counts.get(state, 0) for state in COUNTED}},
        "timing": {
            "total_s": total_s,
            "search_s": context.seconds.get("search", 0.0),
            "training_s": sum(t.seconds for t in trials if t.state in (TrialState.COMPLETED, TrialState.PRUNED)),
            "confirmation_s": context.seconds.get("confirmation", 0.0),
            "trials_per_minute": 60 * len(trials) / max(context.seconds.get("search", 0.0), 1e-9),
        }
        | ({"budget_s": settings.time_budget, "notes": context.keeper.notes()} if context.keeper else {}),
    }


def _entry(referee: Judgement, reading: Reading) -> dict[str, Any]:
    spec, trial = reading.contender.spec, reading.contender.trial
    return {
        "name": trial.name,
        "trial": trial.number,
        "spec": spec.to_json(),
        "formula": spec.formula(),
        "learning_rate": trial.rate,
        "weights_in_export": bool(reading.outcome.learned),
        "constraints": [],
        **referee.measured(reading),
    }
