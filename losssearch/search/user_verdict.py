"""The verdict on losses that a user's function trained: its own values on fresh seeds, paired by seed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from losssearch.evaluation import Difference
from losssearch.evaluation.statistics import mean_interval
from losssearch.search.result import Finished
from losssearch.search.selection import Contender, train
from losssearch.search.study import judged_study
from losssearch.search.user_study import FunctionContext
from losssearch.search.verdict import Reading, Verdict, stated, summary

PAIRED = "Student's t of the differences paired by seed"


class SeedReferee:
    """Trains the finalists on the same fresh seeds and compares what the function says of them.

    There is no part of the data that we keep from the function, so one reading serves as confirmation and as test.
    The pair that it compares was chosen before, on other seeds.
    """

    def __init__(self, context: FunctionContext) -> None:
        self.context = context

    def read(self, contenders: Sequence[Contender]) -> list[Reading]:
        """See `losssearch.search.verdict.Judgement.read`."""
        keeper = self.context.keeper
        seeds = keeper.effort.seeds if keeper else self.context.settings.confirm_seeds
        outcomes = train(self.context, "confirmation", contenders, seeds)
        return [Reading(c, o) for c, o in zip(contenders, outcomes, strict=True)]

    def measured(self, reading: Reading) -> dict[str, Any]:
        """See `losssearch.search.verdict.Judgement.measured`."""
        return {"validation": summary(self.context.values(reading.outcome)), "confirmation": None, "test": None}

    def explained(self, reading: Reading) -> dict[str, Any]:
        """See `losssearch.search.verdict.Judgement.explained`."""
        return {"groups": {}}

    def ranked(self, readings: Sequence[Reading]) -> list[Reading]:
        """See `losssearch.search.verdict.Judgement.ranked`: re-evaluation has ranked them."""
        return list(readings)

    def difference(self, first: Reading, second: Reading, part: str) -> Difference:
        """See `losssearch.search.verdict.Judgement.difference`; the same whatever the part."""
        pairs = zip(first.outcome.utilities, second.outcome.utilities, strict=True)
        values = [a - b for a, b in pairs]
        low, high = mean_interval(torch.tensor(values, dtype=torch.float64))
        error = statistics.stdev(values) / len(values) ** 0.5
        return Difference(statistics.fmean(values), (low, high), error, 0.95, PAIRED)

    def verdict(self, searched: Reading | None, baseline: Reading, plain: Reading) -> Verdict:
        """See `losssearch.search.verdict.Judgement.verdict`: better by more than one standard error."""
        name, seeds = self.context.settings.metric, len(baseline.outcome.utilities)
        if searched is None:
            nothing = self.difference(baseline, baseline, "")
            text = f"Use the baseline {baseline.name}: no searched loss could be trained to the end."
            return Verdict("baseline", baseline.name, nothing, nothing, plain.name, nothing, text)
        found, above_plain = self.difference(searched, baseline, ""), self.difference(searched, plain, "")
        figures = (
            f"differences in {name}, above zero in favour of the searched loss: measured by your function on {seeds} "
            f"fresh seeds {stated(found)}"
        )
        if plain is not baseline:
            figures += f"; to plain {plain.name} {stated(above_plain)}"
        figures += ". No test part was kept from the function"
        if found.difference > found.standard_error:
            sure = "" if found.interval[0] > 0 else " These seeds alone do not prove it: the interval holds zero."
            recommended = "searched"
            text = f"Use the searched loss: it beats the best baseline, {baseline.name}; {figures}.{sure}"
        else:
            recommended = "baseline"
            text = f"Use the baseline {baseline.name}: the search found nothing reliably better; {figures}."
        return Verdict(recommended, baseline.name, found, found, plain.name, above_plain, text)


def run_function_study(context: FunctionContext) -> Finished:
    """Search, re-evaluate, confirm, and say what came of it.

    Raises `ModelError` where the function could train no loss at all.
    """
    finished = judged_study(context, SeedReferee(context))
    # What is decided after training is the function's own: the bundle promises nothing of ours.
    return replace(finished, spec=replace(finished.spec, decision="fixed"))
