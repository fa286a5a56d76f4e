"""The verdict: one paired reading of confirmation and test, and what it lets us say."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from losssearch.evaluation import Difference, paired_difference
from losssearch.losses.part import learned_scalars
from losssearch.losses.spec import LossSpec
from losssearch.search.context import Context
from losssearch.search.evidence import Evidence, believed, steadied
from losssearch.search.selection import Contender, incumbent_name, train
from losssearch.search.settings import derived_seed
from losssearch.search.study_context import StudyContext
from losssearch.training import Outcome


@dataclass(frozen=True)
class Reading:
    """A contender with its adjusted outputs on the held-out parts, ``[R, rows(, classes)]``."""

    contender: Contender
    outcome: Outcome

    @property
    def name(self) -> str:
        """The trial's name."""
        return self.contender.trial.name


@dataclass(frozen=True)
class Verdict:
    """Differences are searched less baseline in utility: above zero, the searched loss is better.

    ``against`` is the best baseline; ``plain`` is the loss that everybody starts with.
    """

    recommended: str
    against: str
    confirmation: Difference
    test: Difference
    plain: str
    plain_test: Difference
    text: str
    evidence: Evidence | None = None
    """What re-evaluation and confirmation together let us believe; the recommendation follows it."""
    unmet: str = ""
    """Which constraint even the recommended loss does not keep, and by how much."""

    def to_json(self) -> dict[str, Any]:
        """The ``verdict`` of ``result.json``."""
        low, high = self.test.interval
        return {
            "recommended": self.recommended,
            "against": self.against,
            "difference": self.test.difference,
            "interval": [low, high],
            "level": self.test.level,
            "test": self.test.test,
            "confirmation": {
                "difference": self.confirmation.difference,
                "standard_error": self.confirmation.standard_error,
            },
            "evidence": {"difference": self.evidence.difference, "standard_error": self.evidence.error}
            if self.evidence
            else None,
            "plain": {
                "name": self.plain,
                "difference": self.plain_test.difference,
                "interval": list(self.plain_test.interval),
            },
            "unmet": self.unmet or None,
            "text": self.text,
        }


class Judgement(Protocol):
    """Sets the finalists of a study against each other."""

    @property
    def context(self) -> StudyContext:
        """The study."""
        ...

    def read(self, contenders: Sequence[Contender]) -> list[Reading]:
        """Train the finalists on fresh draws, the same for all."""
        ...

    def measured(self, reading: Reading) -> dict[str, Any]:
        """What ``validation``, ``confirmation`` and ``test`` of an entry in ``result.json`` say."""
        ...

    def explained(self, reading: Reading) -> dict[str, Any]:
        """Further fields of ``best`` in ``result.json``."""
        ...

    def ranked(self, readings: Sequence[Reading]) -> list[Reading]:
        """The readings of one side, given best first, ranked anew by what was read."""
        ...

    def difference(self, first: Reading, second: Reading, part: str) -> Difference:
        """Paired difference of utility, ``first`` less ``second``, on a held-out part."""
        ...

    def verdict(self, searched: Reading | None, baseline: Reading, plain: Reading) -> Verdict:
        """Recommend the searched loss, or the best baseline."""
        ...


class Referee:
    """Reads confirmation and test for the finalists, all on the same draws, seeds and rows."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._finalists: list[Reading] = []
        self._differences: dict[tuple[int, int, str], Difference] = {}

    def read(self, contenders: Sequence[Contender]) -> list[Reading]:
        """Train the finalists on the confirmation draws and hold their outputs."""
        keeper = self.context.keeper
        seeds = keeper.effort.seeds if keeper else self.context.settings.confirm_seeds
        outcomes = train(self.context, "confirmation", contenders, seeds, hold=True)
        readings = [Reading(c, o) for c, o in zip(contenders, outcomes, strict=True)]
        self._finalists = self._finalists or [r for r in readings if r.outcome.state == "completed"]
        return readings

    def measured(self, reading: Reading) -> dict[str, Any]:
        """See `Judgement.measured`."""
        held = {part: summary(self.values(reading, part)) for part in ("confirmation", "test")}
        return {"validation": summary(self.context.values(reading.outcome)), **held}

    def explained(self, reading: Reading) -> dict[str, Any]:
        """See `Judgement.explained`."""
        return {"groups": {}}

    def ranked(self, readings: Sequence[Reading]) -> list[Reading]:
        """See `Judgement.ranked`: first who is likely better than the incumbent, then it, then the rest."""
        name = incumbent_name(self.context.task)
        incumbent = next((r for r in self._finalists if r.name == name), None)
        if incumbent is None:
            return list(readings)

        def standing(reading: Reading) -> tuple[int, float, int]:
            if reading is incumbent:
                return 1, 0.0, 0
            found = self.evidence(reading, incumbent)
            return 0 if found.likely else 2, -found.difference, len(reading.contender.spec.parts)

        return sorted(readings, key=standing)

    def evidence(self, first: Reading, second: Reading) -> Evidence:
        """What to believe of ``first`` less ``second`` by re-evaluation and confirmation together."""
        confirmed = self.difference(first, second, "confirmation")
        return believed(
            min(first.contender.spread, second.contender.spread),
            first.contender.above(second.contender),
            Evidence(confirmed.difference, confirmed.standard_error),
        )

    def values(self, reading: Reading, part: str) -> list[float]:
        """The metric on a held-out part, one value a seed, in its own unit."""
        outputs = torch.tensor(reading.outcome.held[part])
        target = self._target(part).expand(outputs.shape[0], -1)
        return [float(value) for value in self.context.metric(outputs, target)]

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
            target.expand(a.shape[0], -1),
            seed=derived_seed(self.context.settings.seed, "bootstrap", part),
            clusters=clusters,
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
        return torch.as_tensor(self.context.dataset.target[rows])[None]

    def verdict(self, searched: Reading | None, baseline: Reading, plain: Reading) -> Verdict:
        """Recommend the searched loss only where all evidence shows it better by more than one standard error."""
        name = self.context.settings.metric
        if searched is None:
            nothing = self.difference(baseline, baseline, "test")
            text = f"Use the baseline {baseline.name}: no searched loss could be trained to the end."
            return Verdict("baseline", baseline.name, nothing, nothing, plain.name, nothing, text)
        confirmation = self.difference(searched, baseline, "confirmation")
        test = self.difference(searched, baseline, "test")
        above_plain = self.difference(searched, plain, "test")
        evidence = self.evidence(searched, baseline)
        better = evidence.clear
        figures = (
            f"differences in {name}, above zero in favour of the searched loss: on test {stated(test)}; "
            f"on confirmation {confirmation.difference:+.3g} (standard error {confirmation.standard_error:.2g})"
        )
        if plain is not baseline:
            figures += f"; to plain {plain.name} on test {stated(above_plain)}"
        figures += (
            f". All evidence before the test, shrunk for the luck of the best: {evidence.difference:+.3g} "
            f"(standard error {evidence.error:.2g})"
        )
        if better:
            sure = "" if test.interval[0] > 0 else " The test alone does not prove it: its interval holds zero."
            text = f"Use the searched loss: it beats the best baseline, {baseline.name}; {figures}.{sure}"
        else:
            text = f"Use the baseline {baseline.name}: the search found nothing reliably better; {figures}."
        if not self.context.constraints:  # else others may be better because they keep no limit
            text += self._passed_over(baseline)
        recommended = "searched" if better else "baseline"
        return Verdict(recommended, baseline.name, confirmation, test, plain.name, above_plain, text, evidence)

    def _passed_over(self, baseline: Reading) -> str:
        """Why the baseline is not the one with the best value on confirmation, where it is not."""
        baselines = [r for r in self._finalists if r.contender.trial.origin == "baseline"]
        means = {
            r.name: statistics.fmean(self.context.metric.utility(v) for v in self.values(r, "confirmation"))
            for r in baselines
        }
        lucky = max(means, key=means.__getitem__, default=baseline.name)
        if lucky == baseline.name or not means[lucky] > means[baseline.name]:
            return ""
        return f" {lucky} has the better value on confirmation, but all evidence together speaks for {baseline.name}."


def stated(found: Difference) -> str:
    """A difference with its interval, in words."""
    low, high = found.interval
    return f"{found.difference:+.3g}, {found.level:.0%} interval [{low:+.3g}, {high:+.3g}]"


def learned_state(spec: LossSpec, outcome: Outcome) -> dict[str, float]:
    """Learned scalars after training, named as `losssearch.losses.compose.ComposedLoss` names them."""
    names = [f"{index}_{name}" for index, part in enumerate(spec.parts) for name in learned_scalars(part)]
    return dict(zip(names, outcome.learned, strict=True))


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation and the values themselves."""
    return {
        "mean": statistics.fmean(values) if values else None,
        "std": statistics.stdev(values) if len(values) > 1 else 0.0,
        "values": list(values),
    }
