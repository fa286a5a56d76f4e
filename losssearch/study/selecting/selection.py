"""Selection: from the trials of a search to one searched loss and one setting of every baseline.

A search reports the luckiest of many noisy values. So the best few of either side, as many of the menu
as of the searched, are trained again on draws and seeds that the search never saw, in rounds that fewer reach and that
have more draws. The incumbent, the plain loss with its decision tuned, is in every round, and the others are ranked by
what to believe of their paired differences to it.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

from losssearch.losses.spec import LossSpec
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.study.budget import spread
from losssearch.study.selecting.evidence import Evidence, believed, paired, spread_of
from losssearch.study.study_context import StudyContext
from losssearch.tasks import Task
from losssearch.training import Outcome, without_rungs

SIDES = ("baseline", "searched")
EPOCHS = "best_epochs"
"""Key of the best epochs among the utilities that a stage stores by number of trial."""
MOST_DRAWS = 12
"""Draws in the last round of re-evaluation at most, where a time budget leaves more time than was reserved."""


SETTINGS = 2
"""Settings of one baseline that are re-evaluated at most: more would be of one kind."""


@dataclass(frozen=True)
class Contender:
    """A trial that is still in the field, with its utilities on fresh draws, larger is better.

    ``spread``: how far the true differences in its field lie apart; infinite where that is not known.
    """

    trial: TrialRecord
    utilities: tuple[float, ...] = ()
    spread: float = math.inf
    best_epochs: tuple[int, ...] = ()
    """The best epoch of each training of the re-evaluation."""

    @property
    def spec(self) -> LossSpec:
        """The candidate."""
        return LossSpec.from_json(self.trial.spec)

    @property
    def mean(self) -> float:
        """Mean utility."""
        return statistics.fmean(self.utilities) if self.utilities else -float("inf")

    def above(self, other: Contender) -> Evidence | None:
        """The paired difference to another over their common draws; None without two of them."""
        return paired([self.utilities], other.utilities)[0]


def incumbent_name(task: Task) -> str:
    """The baseline that others must beat: the plain loss with its decision tuned, where the menu has it."""
    plain = task.plain
    tuned = (
        b.name
        for b in task.menu[1:]
        if (b.term, dict(b.fixed), b.tunable, b.penalties) == (plain.term, dict(plain.fixed), (), ())
    )
    return next(tuned, plain.name)


def reevaluate(context: StudyContext, trials: Sequence[TrialRecord]) -> dict[str, list[Contender]]:
    """Both sides of the field, best first, after every round of re-evaluation.

    Contenders that left early stay in the list behind those that went further.
    """
    field = {side: _entrants(context, trials, side) for side in SIDES}
    gone: dict[str, list[Contender]] = {side: [] for side in SIDES}
    incumbent = _incumbent(context, field["baseline"])
    keeper = context.keeper
    fields = keeper.settle_selection().fields if keeper else context.fields
    for number, (places, planned) in enumerate(fields, start=1):
        count = planned
        if keeper and number == len(fields):
            count = keeper.extra_draws(number - 1, 2 * places + 1, planned, MOST_DRAWS)
        for side in SIDES:
            kept = kept_places(field[side], places, incumbent, SETTINGS if side == "baseline" else places)
            gone[side] = [c for c in field[side] if c not in kept] + gone[side]
            field[side] = kept
        field = _round(context, field, number, count, incumbent)
    return {side: field[side] + gone[side] for side in SIDES}


def _entrants(context: StudyContext, trials: Sequence[TrialRecord], side: str) -> list[Contender]:
    """Trained trials of a side, best value on the search's own draws first; completed ones before pruned ones."""
    own = [
        t for t in trials
        if t.origin == side and t.twin is None and t.value is not None
        and t.state in (TrialState.COMPLETED, TrialState.PRUNED)
    ]  # fmt: skip

    def standing(trial: TrialRecord) -> tuple[bool, float, float, int]:
        beyond = max(0.0, context.excess(trial))
        return trial.state is TrialState.PRUNED, beyond, -context.metric.utility(trial.value or 0.0), trial.number

    return [Contender(trial) for trial in sorted(own, key=standing)]


def _incumbent(context: StudyContext, baselines: Sequence[Contender]) -> int | None:
    """The number of the trial that others are compared with: tuned plain loss, else plain one, else the best."""
    for name in (incumbent_name(context.task), context.task.plain.name):
        for contender in baselines:
            if contender.trial.name == name:
                return contender.trial.number
    return baselines[0].trial.number if baselines else None


def kept_places(field: Sequence[Contender], places: int, incumbent: int | None, settings: int) -> list[Contender]:
    """The first ``places`` contenders, at most ``settings`` of one name; the incumbent is kept besides."""
    kept, named = [], Counter[str]()
    for contender in field:
        if contender.trial.number == incumbent:
            kept.append(contender)
        elif places and named[contender.trial.name] < settings:
            kept.append(contender)
            named[contender.trial.name] += 1
            places -= 1
    return kept


def _round(
    context: StudyContext, field: dict[str, list[Contender]], number: int, count: int, incumbent: int | None
) -> dict[str, list[Contender]]:
    settings = context.settings
    name = f"reevaluation-{number}"
    everyone = [contender for side in SIDES for contender in field[side]]
    stage = f"{name}@{settings.trials}"
    if context.keeper:  # what is re-evaluated, and how, then depends on time
        stage = f"{name}@{','.join(str(c.trial.number) for c in everyone)}x{count}"
    saved = context.store.stage(settings.study, stage)
    if saved is None:
        outcomes = train(context, name, everyone, count)
        numbers = [str(c.trial.number) for c in everyone]
        saved = {n: list(context.utilities(o)) for n, o in zip(numbers, outcomes, strict=True)}
        saved[EPOCHS] = {n: list(o.best_epochs) for n, o in zip(numbers, outcomes, strict=True)}
        context.store.save_stage(settings.study, stage, saved)
    measured = {side: [_with_round(c, saved) for c in field[side]] for side in SIDES}
    return rank_field(measured, incumbent)


def _with_round(contender: Contender, saved: Mapping[str, Any]) -> Contender:
    number = str(contender.trial.number)
    return replace(
        contender,
        utilities=(*contender.utilities, *saved[number]),
        best_epochs=(*contender.best_epochs, *saved.get(EPOCHS, {}).get(number, ())),  # older stores lack them
    )


def rank_field(field: dict[str, list[Contender]], incumbent: int | None) -> dict[str, list[Contender]]:
    """Each side by its believed differences to the incumbent, which stays first unless one is likely better."""
    everyone = [c for side in SIDES for c in field[side]]
    reference = next((c for c in everyone if c.trial.number == incumbent and c.utilities), None)
    if reference is None:
        return {side: sorted(field[side], key=lambda c: (-c.mean, c.trial.number)) for side in SIDES}
    others = [c for c in everyone if c is not reference]
    found = dict(
        zip(
            (c.trial.number for c in others),
            paired([c.utilities for c in others], reference.utilities),
            strict=True,
        )
    )
    spread = spread_of(list(found.values()))

    def standing(contender: Contender) -> tuple[int, float, int, int]:
        """Those that are likely better than the incumbent, it, the rest, and those of which nothing can be said."""
        number, parts = contender.trial.number, len(contender.spec.parts)
        if contender is reference:
            return 1, 0.0, parts, number
        if found[number] is None:
            complete = len(contender.utilities) == len(reference.utilities)
            return 3, -contender.mean if complete else math.inf, parts, number
        belief = believed(spread, found[number])
        return (0 if belief.likely else 2), -belief.difference, parts, number

    return {side: [replace(c, spread=spread) for c in sorted(field[side], key=standing)] for side in SIDES}


def train(
    context: StudyContext,
    purpose: str,
    contenders: Sequence[Contender],
    count: int,
    *,
    hold: bool = False,
    chunk: int | None = None,
) -> list[Outcome]:
    """Train contenders to the end on ``count`` fresh draws, each at the learning rate that its trial found best.

    ``chunk``: how many make a population, where not as many as in the search.
    """
    settings = context.settings
    if purpose not in context.shared:
        context.share(purpose, count, hold=hold)
        context.shared.add(purpose)
    plan = without_rungs(settings.plan)
    chunk = chunk or context.chunk
    sizes = [chunk] * -(-len(contenders) // chunk)
    if context.keeper:
        sizes = spread(len(contenders), chunk, context.keeper.workers)
    starts = list(accumulate(sizes, initial=0))
    chunks = [contenders[start:end] for start, end in pairwise(starts)]
    jobs = [
        context.job(
            purpose,
            [(c.spec, settings.rates[:1] if c.trial.rate is None else (c.trial.rate,), True) for c in chunk],
            plan,
            hold=hold,
            trials=[c.trial.number for c in chunk],
        )
        for chunk in chunks
    ]
    context.observer.stage(purpose, len(jobs))
    outcomes: dict[int, list[Outcome]] = {}
    until = context.keeper.stage_end(hold) if context.keeper else None
    for job, found in context.run(jobs, until):
        outcomes[job.number] = found
        context.observer.advance()
    return [outcome for job in jobs for outcome in outcomes[job.number]]
