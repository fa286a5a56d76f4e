"""A study from its first trial to its result."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from losssearch.errors import ModelError
from losssearch.study.context import Context
from losssearch.study.fairness.referee import FairReferee
from losssearch.study.fairness.references import add_references, reserve
from losssearch.study.front.study import run_front_study
from losssearch.study.loop import Loop
from losssearch.study.result import Finished, entry_of, result_of
from losssearch.study.selecting.ablation import ablate
from losssearch.study.selecting.claim import untrained
from losssearch.study.selecting.course import course_of, moves
from losssearch.study.selecting.curves import train_longer
from losssearch.study.selecting.diagnosis import diagnosis_of
from losssearch.study.selecting.placing import placed, searching
from losssearch.study.selecting.referee import MetricReferee
from losssearch.study.selecting.row_memory import row_memory
from losssearch.study.selecting.selection import Contender, incumbent_name, reevaluate
from losssearch.study.selecting.verdict import Reading, Referee, learned_state
from losssearch.study.settings import BASELINES, SEARCHED
from losssearch.study.study_context import StudyContext


def run_study(context: Context) -> Finished:
    """Search, re-evaluate, confirm, read test once, and say what came of it.

    Raises `ModelError` if not even the plain loss could be trained.
    """
    reserve(context)
    if context.settings.front:
        return run_front_study(context)
    if context.constraints:
        # Who satisfies the constraints is known only when all were read.
        referee = FairReferee(context)
        finished = judged_study(context, referee, baselines=len(context.task.menu))
        result = finished.result | {"finalists": referee.finalists()}
        return replace(finished, result=add_references(context, result, referee.plain_scores()))
    return judged_study(context, MetricReferee(context), searched=SEARCHED)


def judged_study(context: StudyContext, referee: Referee, *, searched: int = 1, baselines: int = BASELINES) -> Finished:
    """A study whose finalists ``referee`` compares: a number of searched losses and a number of the menu.

    See `run_study`.
    """
    trials = Loop(context).run()
    if not any(trial.value is not None for trial in trials):
        raise context.hopeless(trials)
    selecting = time.monotonic()
    field = reevaluate(context, trials)
    keeper = context.keeper
    most = max(searched, context.finalists)
    count = baselines
    if keeper:
        keeper.settle_confirmation()
        count = keeper.effort.baselines
        most = min(most, max(keeper.effort.searched, context.finalists))
    finalists = _fewer(_finalists(field, most), count, (context.task.plain.name, incumbent_name(context.task)))
    readings = referee.read([*finalists["searched"], *finalists["baseline"]])
    sound = {r.contender.trial.number: r for r in readings if r.outcome.state == "completed"}
    candidates, known = (
        referee.ranked([sound[c.trial.number] for c in finalists[side] if c.trial.number in sound])
        for side in ("searched", "baseline")
    )
    if not known:
        reasons = Counter(t.reason for t in trials if t.reason).most_common(1)
        raise ModelError(f"no baseline could be trained to the end: {reasons[0][0] if reasons else 'no reason known'}")
    plain = next((r for r in known if r.name == context.task.plain.name), known[0])
    missing = "" if candidates else untrained(trials)
    verdict = referee.verdict(candidates[0] if candidates else None, known[0], plain, missing)
    winner = candidates[0] if verdict.recommended == "searched" else known[0]
    table = [(reading, _entry(referee, reading)) for reading in (*candidates[:1], *known)]
    longer = train_longer([entry for _, entry in table])
    context.remark(longer)
    more = (placed(context, referee, winner, table), searching(context, trials), longer)
    verdict = replace(verdict, text=" ".join((verdict.text, *filter(None, more))), placing=more[0])
    ablation = ablate(referee, winner, plain)
    if keeper:
        for line in keeper.notes():
            context.observer.note(line)
    context.seconds["confirmation"] = time.monotonic() - selecting
    result = result_of(
        context,
        trials,
        best=next(entry for reading, entry in table if reading is winner) | referee.explained(winner),
        searched=table[0][1] if candidates else None,
        baselines=[entry for _, entry in table[len(candidates[:1]) :]],
        verdict=verdict,
    ) | {"ablation": ablation}
    spec = winner.contender.spec
    rows = None
    if isinstance(context, Context):
        shown = winner if not candidates or moves(spec) else candidates[0]
        result["course"] = course_of(context, [reading for reading, _ in table], shown)
        result["diagnosis"] = diagnosis_of(context, winner, known[0], plain)
        rows = row_memory(context, spec, winner.outcome.trace)
    return Finished(result, spec, learned_state(winner.outcome), trials, rows)


def _finalists(field: dict[str, list[Contender]], most: int) -> dict[str, list[Contender]]:
    """The best searched losses, and the best setting of every baseline, best baseline first."""
    best: dict[str, Contender] = {}
    for contender in field["baseline"]:
        best.setdefault(contender.trial.name, contender)
    # Without a re-evaluation, which a short time budget leaves out, nobody has utilities.
    measured = any(c.utilities for c in (*field["searched"], *field["baseline"]))
    searched = [c for c in field["searched"][:most] if c.utilities or not measured]
    return {"searched": searched, "baseline": list(best.values())}


def _fewer(finalists: dict[str, list[Contender]], count: int, needed: Sequence[str]) -> dict[str, list[Contender]]:
    """``count`` baselines at most, in their order: the plain loss and, if there is room, the incumbent and the best."""
    baselines = finalists["baseline"]
    plain, incumbent = ([c for c in baselines if c.trial.name == name] for name in needed)
    chosen = list(dict.fromkeys(c.trial.number for c in (*plain, *baselines[:1], *incumbent, *baselines)))[:count]
    return finalists | {"baseline": [c for c in baselines if c.trial.number in chosen]}


def _entry(referee: Referee, reading: Reading) -> dict[str, Any]:
    return entry_of(reading.contender, reading.outcome) | referee.measured(reading)
