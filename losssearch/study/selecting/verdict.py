"""The verdict: one paired reading of confirmation and test, and what it lets us say."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from losssearch.evaluation import Difference
from losssearch.study.selecting.claim import Grade
from losssearch.study.selecting.evidence import Evidence
from losssearch.study.selecting.selection import Contender
from losssearch.study.study_context import StudyContext
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
    grade: Grade = "not told apart"
    """What test lets us claim of the searched loss against the best baseline."""
    probability_better: float | None = None
    """That the searched loss is better than the best baseline, by all evidence; None without a searched loss."""
    belief: Evidence | None = None
    """What all evidence, test among it, lets us believe of the difference; the probability follows it."""
    placing: str = ""
    """Why the recommended loss is not the first of the table; empty where it is."""
    unmet: str = ""
    """Which constraint even the recommended loss does not satisfy, and by how much."""

    def to_json(self) -> dict[str, Any]:
        """The ``verdict`` of ``result.json``."""
        low, high = self.test.interval
        return {
            "grade": self.grade,
            "probability_better": self.probability_better,
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
            "evidence": self.evidence.to_json() if self.evidence else None,
            "belief": self.belief.to_json() if self.belief else None,
            "plain": {
                "name": self.plain,
                "difference": self.plain_test.difference,
                "interval": list(self.plain_test.interval),
            },
            "placing": self.placing or None,
            "unmet": self.unmet or None,
            "text": self.text,
        }


class Referee(Protocol):
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

    def verdict(self, searched: Reading | None, baseline: Reading, plain: Reading, missing: str = "") -> Verdict:
        """Recommend the searched loss, or the best baseline; ``missing`` says why there is no searched loss."""
        ...


def learned_state(outcome: Outcome) -> dict[str, Tensor]:
    """What the loss has learned, named as `losssearch.losses.compose.ComposedLoss` names it."""
    return {name: torch.as_tensor(value) for name, value in outcome.learned.items()}


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation and the values themselves."""
    return {
        "mean": statistics.fmean(values) if values else None,
        "std": statistics.stdev(values) if len(values) > 1 else 0.0,
        "values": list(values),
    }
