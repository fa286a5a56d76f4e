"""The verdict on losses that a user's function trained: its own values on fresh seeds, paired by seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from losssearch.evaluation import Difference
from losssearch.evaluation.statistics import mean_interval
from losssearch.study.result import Finished
from losssearch.study.selecting.claim import chance, claim, headline, stated
from losssearch.study.selecting.evidence import Evidence, believed, paired, spread_of
from losssearch.study.selecting.selection import Contender, train
from losssearch.study.selecting.verdict import Reading, Verdict, summary
from losssearch.study.study import judged_study
from losssearch.study.user_study import FunctionContext

PAIRED = "Student's t of the differences paired by seed"


class SeedReferee:
    """Trains the finalists on the same fresh seeds and compares what the function says of them.

    There is no part of the data that we keep from the function, so one reading serves as confirmation and as test.
    The pair that it compares was chosen before, on other seeds.
    """

    def __init__(self, context: FunctionContext) -> None:
        self.context = context
        self._finalists: list[Reading] = []

    def read(self, contenders: Sequence[Contender]) -> list[Reading]:
        """See `Referee.read`."""
        keeper = self.context.keeper
        seeds = keeper.effort.seeds if keeper else self.context.settings.confirm_seeds
        outcomes = train(self.context, "confirmation", contenders, seeds)
        readings = [Reading(c, o) for c, o in zip(contenders, outcomes, strict=True)]
        self._finalists = self._finalists or [r for r in readings if r.outcome.state == "completed"]
        return readings

    def measured(self, reading: Reading) -> dict[str, Any]:
        """See `Referee.measured`."""
        return {"validation": summary(self.context.values(reading.outcome)), "confirmation": None, "test": None}

    def explained(self, reading: Reading) -> dict[str, Any]:
        """See `Referee.explained`."""
        return {"groups": {}}

    def ranked(self, readings: Sequence[Reading]) -> list[Reading]:
        """See `Referee.ranked`: re-evaluation has ranked them."""
        return list(readings)

    def difference(self, first: Reading, second: Reading, part: str) -> Difference:
        """See `Referee.difference`; the same whatever the part."""
        pairs = zip(first.outcome.utilities, second.outcome.utilities, strict=True)
        values = [a - b for a, b in pairs]
        low, high = mean_interval(torch.tensor(values, dtype=torch.float64))
        error = statistics.stdev(values) / len(values) ** 0.5
        return Difference(statistics.fmean(values), (low, high), error, 0.95, PAIRED)

    def evidence(self, first: Reading, second: Reading) -> Evidence:
        """What to believe of ``first`` less ``second`` by re-evaluation and these seeds together."""
        others = [r for r in self._finalists if r is not first and r is not second]
        found = paired([r.outcome.utilities for r in (first, *others)], second.outcome.utilities)
        spread = min(first.contender.spread, second.contender.spread)
        if math.isinf(spread):
            spread = spread_of(found)
        return believed(spread, first.contender.above(second.contender), found[0])

    def verdict(self, searched: Reading | None, baseline: Reading, plain: Reading, missing: str = "") -> Verdict:
        """See `Referee.verdict`; one reading serves for recommendation and claim."""
        name, seeds = self.context.settings.metric, len(baseline.outcome.utilities)
        theirs = f"the baseline {baseline.name}"
        if searched is None:
            nothing = self.difference(baseline, baseline, "")
            text = f"Use {theirs}: {missing}."
            return Verdict("baseline", baseline.name, nothing, nothing, plain.name, nothing, text)
        reached, above_plain = self.difference(searched, baseline, ""), self.difference(searched, plain, "")
        known = self.evidence(searched, baseline)
        found = claim(known, reached, known, prefer_known=self.context.settings.prefer_known)
        same = searched.outcome.utilities == baseline.outcome.utilities
        figures = (
            f"both reach the same {name} on each of {seeds} fresh seeds"
            if same
            else f"differences in {name}, positive in favour of the searched loss: measured by your function on "
            f"{seeds} fresh seeds {stated(reached)}"
        )
        if plain is not baseline:
            figures += f"; to plain {plain.name} {stated(above_plain)}"
        figures += (
            f". With the re-evaluation, the searched loss is better with probability {chance(found.probability)}. No "
            "test part was held out from the function."
        )
        text = f"{headline(found, theirs)}: {figures} {found.why}".strip()
        return Verdict(
            found.recommended,
            baseline.name,
            reached,
            reached,
            plain.name,
            above_plain,
            text,
            known,
            found.grade,
            found.probability,
            known,
        )


def run_function_study(context: FunctionContext) -> Finished:
    """Search, re-evaluate, confirm, and say what came of it.

    Raises `ModelError` if the function could train no loss at all.
    """
    finished = judged_study(context, SeedReferee(context))
    # What is decided after training is the function's own: the bundle promises nothing of ours.
    return replace(finished, spec=replace(finished.spec, decision="fixed"))
