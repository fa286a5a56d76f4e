"""Sets the finalists of a study against each other by the metric, on confirmation and on test."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from losssearch.evaluation import Difference, paired_difference
from losssearch.study.context import Context
from losssearch.study.selecting.cells import cells_of
from losssearch.study.selecting.claim import alike, chance, claim, headline, stated
from losssearch.study.selecting.evidence import TIE, Evidence, believed, in_common, pooled, spread_of, steadied
from losssearch.study.selecting.selection import Contender, incumbent_name, train
from losssearch.study.selecting.verdict import Reading, Verdict, summary
from losssearch.study.settings import derived_seed

Refine: TypeAlias = Callable[[Sequence[Reading]], list[Reading]]
"""From readings as they were trained to readings as they are judged."""


class MetricReferee:
    """Reads confirmation and test for the finalists, all on the same draws, seeds and rows."""

    def __init__(self, context: Context, refine: Refine = list) -> None:
        self.context, self._refine = context, refine
        self._finalists: list[Reading] = []
        self._differences: dict[tuple[int, int, str], Difference] = {}

    def read(self, contenders: Sequence[Contender]) -> list[Reading]:
        """Train the finalists on the confirmation draws and hold their outputs."""
        keeper = self.context.keeper
        seeds = keeper.effort.seeds if keeper else self.context.settings.confirm_seeds
        outcomes = train(self.context, "confirmation", contenders, seeds, hold=True)
        readings = self._refine([Reading(c, o) for c, o in zip(contenders, outcomes, strict=True)])
        self._finalists = self._finalists or [r for r in readings if r.outcome.state == "completed"]
        return readings

    @property
    def finalists(self) -> Sequence[Reading]:
        """The losses that were read first, as far as they could be trained."""
        return self._finalists

    def measured(self, reading: Reading) -> dict[str, Any]:
        """See `Referee.measured`."""
        held = {part: summary(self.values(reading, part)) for part in ("confirmation", "test")}
        return {"validation": summary(self.context.values(reading.outcome)), **held}

    def explained(self, reading: Reading) -> dict[str, Any]:
        """See `Referee.explained`."""
        return {"groups": {}} | cells_of(self.context, torch.tensor(reading.outcome.held["test"]))

    def ranked(self, readings: Sequence[Reading]) -> list[Reading]:
        """See `Referee.ranked`: first who is likely better than the incumbent, then it, then the rest.

        Of those that tie with the first, the simplest takes its place.
        """
        name = incumbent_name(self.context.task)
        incumbent = next((r for r in self._finalists if r.name == name), None)
        if incumbent is None:
            return list(readings)
        beliefs = {id(r): self.evidence(r, incumbent) for r in readings if r is not incumbent}

        def standing(reading: Reading) -> tuple[int, float, int]:
            if reading is incumbent:
                return 1, 0.0, 0
            found = beliefs[id(reading)]
            return 0 if found.likely else 2, -found.difference, _size(reading)

        order = sorted(readings, key=standing)
        if not order or order[0] is incumbent:
            return order
        first = beliefs[id(order[0])]
        ties = [
            r for r in order
            if id(r) in beliefs
            and beliefs[id(r)].likely == first.likely
            and first.difference - beliefs[id(r)].difference <= TIE * first.error
        ]  # fmt: skip
        simplest = min(ties, key=_size)
        return [simplest, *(r for r in order if r is not simplest)]

    def evidence(self, first: Reading, second: Reading) -> Evidence:
        """What to believe of ``first`` less ``second`` by re-evaluation and confirmation together."""
        return self._believed(first, second, self._evidence(first, second, "confirmation"))

    def everything(self, first: Reading, second: Reading) -> Evidence:
        """The same by test too, whose readings share the trainings, and so the luck of the seeds, of confirmation."""
        by_seed = [pair for r in self._finalists if r is not second and (pair := self._by_seed(r, second)) is not None]
        own = self._by_seed(first, second)
        shared = 0.0 if own is None else in_common(own, by_seed)
        held = [self._evidence(first, second, part) for part in ("confirmation", "test")]
        return self._believed(first, second, pooled(held[0], held[1], shared))

    def _believed(self, first: Reading, second: Reading, held: Evidence) -> Evidence:
        spread = min(first.contender.spread, second.contender.spread)
        if math.isinf(spread):  # without a re-evaluation, confirmation alone shows how far the field lies apart
            spread = spread_of([self._evidence(r, second, "confirmation") for r in self._finalists if r is not second])
        return believed(spread, first.contender.above(second.contender), held)

    def _evidence(self, first: Reading, second: Reading, part: str) -> Evidence:
        found = self.difference(first, second, part)
        return Evidence(found.difference, found.standard_error)

    def _by_seed(self, first: Reading, second: Reading) -> tuple[Tensor, Tensor] | None:
        """Differences by seed on confirmation and on test; None if the two were trained on unlike seeds."""
        found = []
        for part in ("confirmation", "test"):
            one, other = (torch.tensor(self.values(r, part), dtype=torch.float64) for r in (first, second))
            if len(one) != len(other):
                return None
            found.append(one - other)
        return found[0], found[1]

    def values(self, reading: Reading, part: str) -> list[float]:
        """The metric on a held-out part, one value per seed, in its own unit."""
        outputs = torch.tensor(reading.outcome.held[part])
        target = self._target(part)
        target = target.expand(outputs.shape[0], *target.shape[1:])
        return [float(value) for value in self.context.metric(outputs, target, self.context.weights(part))]

    def difference(self, first: Reading, second: Reading, part: str) -> Difference:
        """Paired difference of utility, ``first`` less ``second``, on a held-out part."""
        key = (id(first), id(second), part)
        if not {id(first), id(second)} <= {id(reading) for reading in self._finalists}:
            return self._measured(first, second, part)
        if key not in self._differences:
            self._differences[key] = self._measured(first, second, part)
        return self._differences[key]

    def _measured(self, first: Reading, second: Reading, part: str) -> Difference:
        a, b = (torch.tensor(reading.outcome.held[part]) for reading in (first, second))
        target, clusters = self._target(part), self.context.clusters(part)
        found = paired_difference(
            self.context.metric,
            a,
            b,
            target.expand(a.shape[0], *target.shape[1:]),
            seed=derived_seed(self.context.settings.seed, "bootstrap", part),
            clusters=clusters,
            weight=self.context.weights(part),
        )
        by_seed = {id(r): torch.tensor(self.values(r, part), dtype=torch.float64) for r in (first, *self._finalists)}
        reference = by_seed.pop(id(second), None)
        if reference is None:
            return found
        same = [own - reference for own in by_seed.values() if len(own) == len(reference)]
        units = target.shape[1] if clusters is None else len(clusters.unique())
        return steadied(found, by_seed[id(first)] - reference, same, units) if id(first) in by_seed else found

    def _target(self, part: str) -> Tensor:
        rows: npt.NDArray[np.int64] = getattr(self.context.partition, part)
        return torch.as_tensor(self.context.dataset.judged[rows])[None]

    def verdict(self, searched: Reading | None, baseline: Reading, plain: Reading, missing: str = "") -> Verdict:
        """See `Referee.verdict`: recommend by the evidence before test, claim by test."""
        name, theirs = self.context.settings.metric, f"the baseline {baseline.name}"
        if searched is None:
            nothing = self.difference(baseline, baseline, "test")
            text = f"Use {theirs}: {missing}."
            return Verdict("baseline", baseline.name, nothing, nothing, plain.name, nothing, text)
        confirmation = self.difference(searched, baseline, "confirmation")
        test = self.difference(searched, baseline, "test")
        above_plain = self.difference(searched, plain, "test")
        before, everything = self.evidence(searched, baseline), self.everything(searched, baseline)
        found = claim(before, test, everything, prefer_known=self.context.settings.prefer_known)
        one, other = (torch.tensor(r.outcome.held["test"]) for r in (searched, baseline))
        same = alike(one, other, self.context.settings.task)
        figures = same or (
            f"differences in {name}, positive in favour of the searched loss: on test {stated(test)}; "
            f"on confirmation {confirmation.difference:+.3g} (standard error {confirmation.standard_error:.2g})"
        )
        if plain is not baseline:
            figures += f"; to plain {plain.name} on test {stated(above_plain)}"
        figures += (
            f". All evidence before test, shrunk toward zero: {before.difference:+.3g} "
            f"(standard error {before.error:.2g}). With test, the searched loss is better with probability "
            f"{chance(found.probability)}."
        )
        text = f"{headline(found, theirs)}: {figures} {found.why}".strip()
        return Verdict(
            found.recommended,
            baseline.name,
            confirmation,
            test,
            plain.name,
            above_plain,
            text,
            before,
            found.grade,
            found.probability,
            everything,
        )


def _size(reading: Reading) -> int:
    return len(reading.contender.spec.parts)
