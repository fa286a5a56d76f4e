"""What fairlearn reaches on the rows of a study, for comparison: not losses, so they are never recommended."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from losssearch.data.encoding import Encoder
from losssearch.evaluation.fairness import Constraint, parse_constraint, value
from losssearch.evaluation.metrics.thresholded import quality_of
from losssearch.study.context import Context
from losssearch.study.settings import derived_seed
from losssearch.training.mitigations import (
    Labelled,
    MitigationError,
    Parity,
    Rule,
    Shares,
    TooSlowError,
    available,
    post_processed,
    reduced,
)

SECONDS, LEAST = 20.0, 5.0
"""What the reductions may take together, and what must be left of a time budget to begin at all."""

SHARE = 0.1
"""Of a time budget, what is kept for them."""

MOST_ROWS, MOST_CELLS = 20_000, 2_000_000
"""Rows that a reduction is fitted on, and rows times encoded columns."""

DRAWS = 5
"""Drawn decisions of a randomised model, whose figures are averaged."""

STRICTER = (1.0, 0.5)
"""Shares of a limit that reductions are fitted to; confirmation decides between them."""

FRONT = (0.02, 0.05, 0.1, 0.2)
"""Limits at which a front has references."""

_PARITIES: dict[str, Parity] = {
    "demographic_parity": "demographic_parity",
    "equalized_odds": "equalized_odds",
    "equal_opportunity": "true_positive_rate_parity",
    "predictive_equality": "false_positive_rate_parity",
    "accuracy": "error_rate_parity",
}
"""By the first words of a gap's name."""

ATTRIBUTE = "the attribute at prediction"

_PARTS = ("confirmation", "test")


def rule_of(constraint: Constraint, share: float = 1.0) -> Rule | None:
    """A constraint as fairlearn knows it, its limit tightened to a ``share``; None if it knows none such."""
    name, _, compare = constraint.name.rpartition("_")
    parity = _PARITIES.get(name)
    if parity is None or compare not in ("difference", "ratio"):
        return None
    if compare == "difference":
        return Rule(parity, difference=share * constraint.limit)
    return Rule(parity, ratio=1 - share * (1 - constraint.limit))


@dataclass(frozen=True)
class References:
    """The ``references`` of ``result.json``, what to tell the user, and the seconds that they took."""

    entries: list[dict[str, Any]]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


def fair_references(context: Context, scores: dict[str, NDArray[np.float32]], seconds: float = SECONDS) -> References:
    """Post-process the plain model, and reduce to logistic regressions, under each constraint that fairlearn knows.

    Trained on the search part, decided on confirmation, read on test, as the study's own losses. On a front, a few
    limits stand for the constraints.

    Args:
        context: The study.
        scores: Logits of the plain models ``[S, rows]`` on ``confirmation`` and ``test``.
        seconds: What the reductions may take.
    """
    cases = _cases(context)
    if not cases:
        return References([])
    if reason := _unfit(context, seconds):
        return References([], (reason,))
    begun = time.monotonic()
    data = _Encoded(context, round(MOST_ROWS * seconds / SECONDS))
    entries, notes = [], list(data.notes)
    post = [partial(case.post_processed, scores) for case in cases]
    for mitigation in (*post, *(partial(case.reduced, data, begun + seconds) for case in cases)):
        try:
            entries += mitigation()
        except MitigationError as error:
            notes.append(str(error))
            if isinstance(error, TooSlowError):
                break
    return References(_distinct(entries), tuple(notes), time.monotonic() - begun)


def _distinct(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry of several that decide alike, as under limits that no longer bind: the first, of the tightest limit."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for entry in entries:
        found.setdefault((entry["name"], *entry["confirmation"]["values"], *entry["test"]["values"]), entry)
    return list(found.values())


def reserve(context: Context) -> None:
    """Reserve a share of the time budget, if there is one and references are to be computed."""
    if context.keeper and _cases(context) and not _unfit(context, SECONDS):
        context.keeper.reserved = min(SECONDS, SHARE * context.keeper.budget.seconds)


def add_references(context: Context, result: dict[str, Any], scores: dict[str, NDArray[np.float32]]) -> dict[str, Any]:
    """The result with its ``references``, made in the time that the budget leaves."""
    keeper = context.keeper
    left = SECONDS if keeper is None else min(SECONDS, keeper.left + keeper.reserved)
    found = fair_references(context, scores, left)
    for line in found.notes:
        context.observer.note(line)
    timing = result["timing"] | {
        "total_s": result["timing"]["total_s"] + found.seconds,
        "references_s": found.seconds,
        "run_notes": context.surroundings,
    }
    return result | {"references": found.entries, "timing": timing}


def _cases(context: Context) -> list[_Case]:
    if not context.task.view.thresholded or not context.references:
        return []
    if context.settings.front:
        limits = [parse_constraint(f"{context.settings.front} <= {limit}", context.settings.task) for limit in FRONT]
        return [_Case(context, limit, (limit,), (1.0,)) for limit in limits if rule_of(limit)]
    constraints = context.constraints
    return [_Case(context, constraint, constraints, STRICTER) for constraint in constraints if rule_of(constraint)]


def _unfit(context: Context, seconds: float) -> str:
    """Why fairlearn's mitigations cannot be computed for comparison; empty if they can."""
    if quality_of(context.metric) is None:
        return (
            f"fairlearn's mitigations give decisions, and {context.metric.name} reads scores: none is computed "
            "(a metric of decisions, such as accuracy, would have them)"
        )
    if not available():
        return "fairlearn is not installed, so there is no comparison with it: pip install 'losssearch[fairness]'"
    return "the time budget leaves none for fairlearn's mitigations" if seconds < LEAST else ""


class _Encoded:
    """The search part, or rows of it, as logistic regression reads them, with the held-out parts."""

    def __init__(self, context: Context, most: int) -> None:
        dataset, search = context.dataset, context.partition.search
        random = np.random.default_rng(derived_seed(context.settings.seed, "references"))
        most = max(1_000, min(most, MOST_CELLS // max(1, 3 * len(dataset.schema.columns))))
        rows = np.sort(random.permutation(search)[:most])
        self.notes = (
            [f"fairlearn's reductions are fitted on {len(rows):,} of {len(search):,} rows"]
            if len(rows) < len(search)
            else []
        )
        encoder = Encoder(dataset.schema).fit(_rows(context, rows))
        assert dataset.group is not None  # noqa: S101  (a study under constraints has groups)
        self.train = Labelled(encoder.transform(_rows(context, rows)), dataset.target[rows], dataset.group[rows])
        self.parts = {part: encoder.transform(_rows(context, getattr(context.partition, part))) for part in _PARTS}


class _Case:
    """One constraint that is kept, and those that are measured, as the study measures its own losses."""

    def __init__(
        self, context: Context, kept: Constraint, measured: Sequence[Constraint], stricter: Sequence[float]
    ) -> None:
        self.context, self.kept, self.constraints, self.stricter = context, kept, measured, stricter
        dataset = context.dataset
        assert dataset.group is not None  # noqa: S101  (as above)
        self.labels = {part: dataset.target[getattr(context.partition, part)] for part in _PARTS}
        self.group = {part: dataset.group[getattr(context.partition, part)] for part in _PARTS}

    def post_processed(self, scores: dict[str, NDArray[np.float32]]) -> list[dict[str, Any]]:
        """Thresholds of each group over the plain model's scores; none if fairlearn has none for the gap."""
        rule = rule_of(self.kept)
        labels, group = self.labels["confirmation"], self.group["confirmation"]
        both = all(len(np.unique(labels[group == one])) == 2 for one in np.unique(group))
        if rule is None or rule.parity == "error_rate_parity" or not both:
            return []
        shares = [
            post_processed(
                Labelled(scores["confirmation"][one], labels, group),
                {part: (scores[part][one], self.group[part]) for part in _PARTS},
                rule,
                "accuracy_score" if self.context.metric.name == "accuracy" else "balanced_accuracy_score",
            )
            for one in range(len(scores["test"]))
        ]
        found = self._entry("ThresholdOptimizer", "post-processed", shares)
        return [found | {"base": f"the plain loss, {self.context.task.plain.name}", "needs": ATTRIBUTE}]

    def reduced(self, data: _Encoded, deadline: float) -> list[dict[str, Any]]:
        """The mixture that is best on confirmation within the limit, else the one nearest to it."""
        rules = [rule for share in self.stricter if (rule := rule_of(self.kept, share))]
        found = [
            self._entry(
                "ExponentiatedGradient", "reduction", [reduced(data.train, data.parts, rule, deadline=deadline)]
            )
            for rule in rules
        ]
        place = list(self.constraints).index(self.kept)

        def standing(entry: dict[str, Any]) -> tuple[float, float]:
            excess = float(self.kept.excess(torch.tensor(entry["constraints"][place]["confirmation"]["value"])))
            return -max(0.0, excess), self.context.metric.utility(entry["confirmation"]["mean"])

        sees = self.context.settings.sensitive_as_feature
        return [max(found, key=standing) | {"base": "logistic regression", "needs": ATTRIBUTE if sees else None}]

    def _entry(self, name: str, kind: str, models: Sequence[Shares]) -> dict[str, Any]:
        drawn = {part: self._drawn([shares[part] for shares in models], f"{name} {part}") for part in _PARTS}
        target = {part: torch.as_tensor(self.labels[part]).expand(len(drawn[part]), -1) for part in _PARTS}
        measured = {part: _summary(self.context.metric(drawn[part], target[part]).tolist()) for part in _PARTS}
        return {
            "name": name,
            "library": "fairlearn",
            "kind": kind,
            "under": str(self.kept),
            **measured,
            "constraints": [self._held(one, drawn, target) for one in self.constraints],
        }

    def _held(self, constraint: Constraint, drawn: dict[str, Tensor], target: dict[str, Tensor]) -> dict[str, Any]:
        gaps = {}
        for part in _PARTS:
            group = torch.as_tensor(self.group[part]).expand(len(drawn[part]), -1)
            groups = len(self.context.dataset.groups)
            gaps[part] = statistics.fmean(value(constraint, drawn[part], target[part], group, groups).tolist())
        return {
            "name": constraint.name,
            "op": constraint.op,
            "limit": constraint.limit,
            "confirmation": {"value": gaps["confirmation"]},
            "test": gaps["test"],
            "met": constraint.met(gaps["test"]),
        }

    def _drawn(self, shares: Sequence[NDArray[np.float64]], purpose: str) -> Tensor:
        """Decisions as logits ``[S x DRAWS, rows]``: a randomised model is met as one draw of it."""
        random = np.random.default_rng(derived_seed(self.context.settings.seed, "references", purpose))
        drawn = [np.where(random.random(len(one)) < one, 1.0, -1.0) for one in shares for _ in range(DRAWS)]
        return torch.from_numpy(np.stack(drawn))


def _rows(context: Context, rows: NDArray[np.int64]) -> Any:
    features: Any = context.dataset.features
    return features[rows] if isinstance(features, np.ndarray) else features.iloc[rows]


def _summary(values: Sequence[float]) -> dict[str, Any]:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": statistics.fmean(values), "std": spread, "values": list(values)}
