"""Selection: from the trials of a search to one searched loss and one setting of every baseline.

A search reports the luckiest of many noisy values. So the best few of either side, as many of the menu
as of the searched, are trained again on draws and seeds that the search never saw: 16 → 4 → 1.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from losssearch.losses.spec import LossSpec
from losssearch.search.budget import spread
from losssearch.search.context import StudyContext
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.training import Outcome, without_rungs

SIDES = ("baseline", "searched")
MOST_DRAWS = 12
"""Draws in the last round of re-evaluation at most, where a time budget leaves more time than was reserved."""


@dataclass(frozen=True)
class Contender:
    """A trial that is still in the field, with its utilities on fresh draws, larger is better."""

    trial: TrialRecord
    utilities: tuple[float, ...] = ()

    @property
    def spec(self) -> LossSpec:
        """The candidate."""
        return LossSpec.from_json(self.trial.spec)

    @property
    def mean(self) -> float:
        """Mean utility."""
        return statistics.fmean(self.utilities) if self.utilities else -float("inf")

    @property
    def lower_bound(self) -> float:
        """Mean utility less one standard error."""
        if len(self.utilities) < 2:
            return self.mean
        error = statistics.stdev(self.utilities) / math.sqrt(len(self.utilities))
        return self.mean - error


def reevaluate(context: StudyContext, trials: Sequence[TrialRecord]) -> dict[str, list[Contender]]:
    """Both sides of the field, best lower confidence bound first, after every round of re-evaluation.

    Contenders that left early stay in the list behind those that went further.
    """
    field = {side: _entrants(context, trials, side) for side in SIDES}
    gone: dict[str, list[Contender]] = {side: [] for side in SIDES}
    keeper = context.keeper
    fields = keeper.settle_selection().fields if keeper else context.fields
    for number, (places, planned) in enumerate(fields, start=1):
        count = planned
        if keeper and number == len(fields):
            count = keeper.extra_draws(number - 1, 2 * places, planned, MOST_DRAWS)
        for side in SIDES:
            gone[side] = field[side][places:] + gone[side]
            field[side] = field[side][:places]
        field = _round(context, field, number, count)
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


def _round(
    context: StudyContext, field: dict[str, list[Contender]], number: int, count: int
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
        saved = {str(c.trial.number): list(context.utilities(o)) for c, o in zip(everyone, outcomes, strict=True)}
        context.store.save_stage(settings.study, stage, saved)
    return {
        side: sorted(
            (replace(c, utilities=(*c.utilities, *saved[str(c.trial.number)])) for c in field[side]),
            key=lambda c: (-c.lower_bound, c.trial.number),
        )
        for side in SIDES
    }


def train(
    context: StudyContext,
    purpose: str,
    contenders: Sequence[Contender],
    count: int,
    *,
    hold: bool = False,
) -> list[Outcome]:
    """Train contenders to the end on ``count`` fresh draws, each at the learning rate that its trial found best."""
    settings = context.settings
    if purpose not in context.shared:
        context.share(purpose, count, hold=hold)
        context.shared.add(purpose)
    plan = without_rungs(settings.plan)
    sizes = [context.chunk] * -(-len(contenders) // context.chunk)
    if context.keeper:
        sizes = spread(len(contenders), context.chunk, context.keeper.workers)
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
