"""The verdict of a study under constraints: who keeps them comes before who is better."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from losssearch.data.batch import each
from losssearch.evaluation import Difference
from losssearch.evaluation.decision import Decision, Limit, Tuned
from losssearch.evaluation.fairness import Constraint, group_table, noise_floor, value
from losssearch.losses.spec import LossSpec, Part
from losssearch.study.context import Context
from losssearch.study.fairness.cross_fitting import DECISION, SCORE, CrossFitted, CrossFitting
from losssearch.study.fairness.group_pull import group_pull
from losssearch.study.fairness.group_thresholds import by_group
from losssearch.study.fairness.held import Held
from losssearch.study.selecting.claim import chance, stated
from losssearch.study.selecting.evidence import paired, spread_of
from losssearch.study.selecting.referee import MetricReferee
from losssearch.study.selecting.selection import Contender, incumbent_name
from losssearch.study.selecting.verdict import Reading, Verdict, learned_state
from losssearch.study.settings import derived_seed

MORE_ROOM = "A looser limit, coarser groups, more rows, more trials or a lower confidence leave more room."


class FairReferee:
    """A referee that looks at the constraints first. Gaps are those of the decisions that would be taken.

    Decisions are tuned by `CrossFitting`. What re-evaluation measured was ranked within softer limits, on few rows; so
    the evidence for a loss is how its own decisions fare on the search rows, training by training, and on confirmation.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self._metric = MetricReferee(context, self._cross_fitted)
        self._fitting = CrossFitting(context, context.constraints)
        self._fitted: dict[str, CrossFitted] = {}
        self._held: dict[str, tuple[Held, ...]] = {}
        self.plain: Reading | None = None
        """The plain loss, known from the verdict on."""

    def read(self, contenders: Sequence[Contender]) -> list[Reading]:
        """See `Referee.read`."""
        return self._metric.read(contenders)

    def measured(self, reading: Reading) -> dict[str, Any]:
        """See `Referee.measured`."""
        return self._metric.measured(reading) | {"constraints": [held.to_json() for held in self.held(reading)]}

    def finalists(self) -> list[dict[str, Any]]:
        """The ``finalists`` of ``result.json``: every confirmed loss, and whether it satisfies the constraints."""
        return [
            {"name": reading.name, "trial": reading.contender.trial.number, "origin": reading.contender.trial.origin}
            | {"promised": self.fitted(reading).promised}
            | self.measured(reading)
            for reading in self._metric.finalists
        ]

    def explained(self, reading: Reading) -> dict[str, Any]:
        """See `Referee.explained`: how each group fares, and what chance would show."""
        constraints = [held.to_json() | {"noise_floor": self._floor(reading, held)} for held in self.held(reading)]
        tables = group_table(
            torch.tensor(reading.outcome.held[f"test{DECISION}"]),
            *self._rows("test"),
            self.context.dataset.groups,
            self.context.settings.task,
            scores=torch.tensor(reading.outcome.held[f"test{SCORE}"]),
            classes=self.context.dataset.classes,
        )
        more = {}
        if self.context.settings.group_thresholds:
            more["group_thresholds"] = by_group(self.context, self._fitting, self.fitted(reading), reading)
        groups = {"test": tables, "pull": self._pull(reading)}
        return {"constraints": constraints, "groups": groups, "decision": self._decision(reading), **more}

    def _floor(self, reading: Reading, held: Held) -> dict[str, Any]:
        """What groups treated alike would show on test: means over seeds, as the gap itself is one."""
        outputs, target, group = self._part(reading, "test", held.constraint)
        floors = [
            noise_floor(held.constraint, one, target, group, self._groups, seed=self._seed("noise floor"))
            for one in outputs
        ]
        quantile = statistics.fmean(floor.quantile for floor in floors)
        # Decisions that are alike for everybody have no floor, and still prove nothing on so few rows.
        verifiable = held.constraint.met(quantile) and held.status != "not certifiable"
        return {
            "mean": statistics.fmean(floor.mean for floor in floors),
            "quantile": quantile,
            "verifiable": verifiable,
        }

    def _pull(self, reading: Reading) -> list[dict[str, Any]]:
        """How hard the loss pulls on each group, on confirmation rows."""
        context, facts = self.context, self.context.facts()
        labels = context.task.view.labels
        view = SCORE if labels else ""
        outputs, (target, group) = torch.tensor(reading.outcome.held[f"confirmation{view}"]), self._rows("confirmation")
        if not labels:
            outputs, target = ((one - facts["target_mean"]) / facts["target_scale"] for one in (outputs, target))
        spec, plain = reading.contender.spec, context.task.plain
        return group_pull(
            spec,
            LossSpec((Part(plain.term),)),
            outputs,
            target,
            group,
            context.dataset.groups,
            facts=each(facts, Tensor.float),
            learned=learned_state(reading.outcome),
            seed=self._seed("group pull"),
            attribute=self._attribute("confirmation"),
            offer=context.task.offer,
        )

    def ranked(self, readings: Sequence[Reading]) -> list[Reading]:
        """See `Referee.ranked`: whose limits are promised, then who is nearest to it."""
        return sorted(self._metric.ranked(readings), key=self.shortfall)

    def difference(self, first: Reading, second: Reading, part: str) -> Difference:
        """See `Referee.difference`."""
        return self._metric.difference(first, second, part)

    def verdict(self, searched: Reading | None, baseline: Reading, plain: Reading, missing: str = "") -> Verdict:
        """See `Referee.verdict`."""
        self.plain = plain
        found = self._metric.verdict(searched, baseline, plain, missing)
        if searched is None:
            winner, text = baseline, found.text
        elif self.shortfall(searched) != self.shortfall(baseline):
            winner = min((searched, baseline), key=self.shortfall)
            other = baseline if winner is searched else searched
            side = "searched loss" if winner is searched else f"baseline {baseline.name}"
            text = (
                f"Use the {side}: the {'best baseline' if winner is searched else 'searched loss'}, {other.name}, "
                f"{'is not closer to the limit' if self.shortfall(winner) else 'has too small a margin to promise'}. "
                f"{_compared(found)}"
            )
            found = replace(found, recommended="searched" if winner is searched else "baseline")
        else:
            winner, text = (searched if found.recommended == "searched" else baseline), found.text
        said = " ".join(held.text() for held in self.held(winner))
        unmet = self.unmet(winner)
        return replace(found, text=f"{unmet} {text} {said}".strip(), unmet=unmet)

    def plain_scores(self) -> dict[str, npt.NDArray[np.float32]]:
        """Outputs of the plain models ``[S, rows]`` on the held-out parts, as probabilities are read from them."""
        view = SCORE if self.context.task.view.labels else ""
        assert self.plain is not None  # noqa: S101  (the verdict comes first)
        return {part: self.plain.outcome.held[f"{part}{view}"] for part in ("confirmation", "test")}

    def unmet(self, winner: Reading) -> str:
        """The message if not even the recommended loss has the margin of a promise; empty if it has."""
        fitted = self.fitted(winner)
        if fitted.promised:
            return ""
        worst = max(self.held(winner), key=lambda held: float(held.constraint.excess(torch.tensor(held.bound))))
        if worst.promised:  # a decision that is the same for all rows has no gap
            return (
                f"No candidate satisfies {worst.constraint} with decisions that differ between rows: the closest is "
                f"{winner.name}, {winner.contender.spec.formula()}, and it is not promised. {MORE_ROOM}"
            )
        return (
            f"No candidate satisfies {worst.constraint}: the closest is {winner.name}, "
            f"{winner.contender.spec.formula()}, with {worst.gap:.4g} on {worst.rows:,} out-of-fold rows and "
            f"{worst.bound:.4g} with the margin for {worst.new_rows:,} new rows at "
            f"{self.context.settings.confidence:.0%}, {abs(worst.bound - worst.constraint.limit):.4g} beyond the "
            f"limit. It is not promised. {MORE_ROOM}"
        )

    def held(self, reading: Reading) -> tuple[Held, ...]:
        """Whether and how far the loss satisfies each constraint."""
        key = reading.contender.trial.key
        if key not in self._held:
            self._held[key] = tuple(
                self._measure(reading, place, constraint) for place, constraint in enumerate(self.context.constraints)
            )
        return self._held[key]

    def fitted(self, reading: Reading) -> CrossFitted:
        """The decision of a loss."""
        return self._fitted[reading.contender.trial.key]

    def shortfall(self, reading: Reading) -> float:
        """How far a loss is from a promise of all limits; 0 where it is made."""
        return self.fitted(reading).shortfall

    def _cross_fitted(self, readings: Sequence[Reading]) -> list[Reading]:
        """The readings with their decisions tuned on all rows, and the evidence of these."""
        found = []
        for reading in readings:
            if reading.outcome.state != "completed":
                found.append(reading)
                continue
            fitted = self._fitting.fit(reading.outcome, tuned=reading.contender.spec.decision == "tuned")
            self._fitted[reading.contender.trial.key] = fitted
            contender = replace(reading.contender, utilities=fitted.outcome.utilities)
            found.append(Reading(contender, fitted.outcome))
        spread = self._spread([reading for reading in found if reading.outcome.state == "completed"])
        return [replace(reading, contender=replace(reading.contender, spread=spread)) for reading in found]

    def _spread(self, readings: Sequence[Reading]) -> float:
        """How far the true differences of those lie apart whose limits are promised; of all, where none are."""
        own = [reading for reading in readings if self.fitted(reading).promised] or list(readings)
        name = incumbent_name(self.context.task)
        reference = next((reading for reading in own if reading.name == name), own[0] if own else None)
        if reference is None:
            return math.inf
        others = [reading.contender.utilities for reading in own if reading is not reference]
        return spread_of(paired(others, reference.contender.utilities))

    def _decision(self, reading: Reading) -> dict[str, Any]:
        """The ``decision`` of the recommended loss: what `losssearch.Decision.from_json` reads, and its promise."""
        fitted, settings = self.fitted(reading), self.context.settings
        limits = tuple(Limit(str(h.constraint), h.gap, h.bound, h.promised) for h in self.held(reading))
        found, value = fitted.fitted.adjustment, float(fitted.fitted.values)
        decision = Decision(
            settings.task, settings.metric, Tuned.of(found.score), Tuned.of(found.decision), value, limits
        )
        return decision.to_json() | {
            "promised": fitted.promised,
            "rows": len(self._fitting.pool.rows),
            "new_rows": len(self.context.partition.test),
            "confidence": settings.confidence,
            "standard_errors": fitted.spared,
            "thresholds": list(fitted.thresholds),
        }

    @property
    def _groups(self) -> int:
        """How many groups a gap compares; 1 for an attribute that is a number."""
        dataset = self.context.dataset
        return len(dataset.groups) if dataset.attribute is None else 1

    def _measure(self, reading: Reading, place: int, constraint: Constraint) -> Held:
        fitted = self.fitted(reading)
        outputs, target, group = self._part(reading, "test", constraint)
        seeds = len(outputs)
        shown = value(constraint, outputs, target.expand(seeds, -1), group.expand(seeds, -1), self._groups)
        return Held(
            constraint,
            float(fitted.fitted.gaps[place]),
            fitted.bounds[place],
            fitted.needed,
            len(self._fitting.pool.rows),
            len(self.context.partition.test),
            fitted.certificates[place],
            tuple(shown.tolist()),
        )

    def _part(self, reading: Reading, part: str, constraint: Constraint) -> tuple[Tensor, Tensor, Tensor]:
        """What the constraint reads: outputs ``[S, rows(, classes)]``, target and group ids or a number ``[rows]``."""
        view = ""
        if self.context.task.view.labels:
            view = DECISION if constraint.gap.reads == "decision" else SCORE
        outputs = torch.tensor(reading.outcome.held[f"{part}{view}"])
        target, group = self._rows(part)
        number = self._attribute(part)
        return outputs, target, group if number is None else number

    def _attribute(self, part: str) -> Tensor | None:
        """The sensitive number of each row of a held-out part, where the attribute is one."""
        number = self.context.dataset.attribute
        return None if number is None else torch.tensor(number.values[getattr(self.context.partition, part)])

    def _rows(self, part: str) -> tuple[Tensor, Tensor]:
        """Target and group ids of a held-out part."""
        dataset, rows = self.context.dataset, getattr(self.context.partition, part)
        assert dataset.group is not None  # noqa: S101  (a study under constraints has groups)
        return torch.tensor(dataset.target[rows]), torch.tensor(dataset.group[rows])

    def _seed(self, purpose: str) -> int:
        return derived_seed(self.context.settings.seed, purpose)


def _compared(found: Verdict) -> str:
    return (
        f"Differences in the metric, positive in favour of the searched loss: on confirmation "
        f"{found.confirmation.difference:+.3g} (standard error {found.confirmation.standard_error:.2g}), on test "
        f"{stated(found.test)} ({found.grade}, P = {chance(found.probability_better or 0.0)})."
    )
