"""The verdict of a study under constraints: who keeps them comes before who is better."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from losssearch.evaluation import Difference
from losssearch.evaluation.fairness import Certificate, Constraint, certificate, group_table, noise_floor, value
from losssearch.execution.fair_judge import DECISION, SCORE
from losssearch.losses.spec import LossSpec, Part
from losssearch.search.claim import chance, stated
from losssearch.search.context import Context
from losssearch.search.group_pull import group_pull
from losssearch.search.group_thresholds import by_group
from losssearch.search.selection import Contender
from losssearch.search.settings import derived_seed
from losssearch.search.verdict import Reading, Referee, Verdict, learned_state

MORE_ROOM = "A looser limit, coarser groups, more rows, more --trials or less --confidence leave more room."


@dataclass(frozen=True)
class Held:
    """How one loss stands to one constraint: mean gap over the seeds on each part, and what confirmation certifies."""

    constraint: Constraint
    validation: float
    confirmation: tuple[float, ...]
    test: tuple[float, ...]
    certificates: tuple[Certificate, ...]

    @property
    def gap(self) -> float:
        """The mean gap on confirmation."""
        return statistics.fmean(self.confirmation)

    @property
    def kept(self) -> bool:
        """Whether the mean gap on confirmation keeps the limit."""
        return self.constraint.met(self.gap)

    @property
    def excess(self) -> float:
        """How far the mean gap is beyond the limit, in units of it; at most 0 where it is kept."""
        return float(self.constraint.excess(torch.tensor(self.gap)))

    @property
    def bound(self) -> float:
        """The mean confidence bound on confirmation."""
        return statistics.fmean(found.bound for found in self.certificates)

    @property
    def status(self) -> str:
        """``met`` where the mean bound keeps the limit; else ``not certifiable`` or ``not met``, as most seeds say."""
        if self.constraint.met(self.bound):
            return "met"
        return statistics.mode([found.status for found in self.certificates if found.status != "met"] or ["not met"])

    def to_json(self) -> dict[str, Any]:
        """An entry of ``constraints`` in ``result.json``."""
        return {
            "name": self.constraint.name,
            "op": self.constraint.op,
            "limit": self.constraint.limit,
            "validation": self.validation,
            "confirmation": {
                "value": self.gap,
                "bound": self.bound,
                "status": self.status,
                "level": self.certificates[0].level,
            },
            "test": statistics.fmean(self.test),
            "test_values": list(self.test),
            "met": self.constraint.met(statistics.fmean(self.test)),
        }


class FairReferee:
    """A referee that looks at the constraints first. Gaps are those of the decisions that would be taken."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._metric = Referee(context)
        self._held: dict[int, tuple[Held, ...]] = {}
        self.plain: Reading | None = None
        """The plain loss, known from the verdict on."""

    def read(self, contenders: Sequence[Contender]) -> list[Reading]:
        """See `losssearch.search.verdict.Judgement.read`."""
        return self._metric.read(contenders)

    def measured(self, reading: Reading) -> dict[str, Any]:
        """See `losssearch.search.verdict.Judgement.measured`."""
        return self._metric.measured(reading) | {"constraints": [held.to_json() for held in self.held(reading)]}

    def explained(self, reading: Reading) -> dict[str, Any]:
        """See `losssearch.search.verdict.Judgement.explained`: how each group fares, and what chance would show."""
        constraints = [held.to_json() | {"noise_floor": self._floor(reading, held)} for held in self.held(reading)]
        tables = group_table(
            torch.tensor(reading.outcome.held[f"test{DECISION}"]),
            *self._rows("test"),
            self.context.dataset.groups,
            self.context.settings.task,
            scores=torch.tensor(reading.outcome.held[f"test{SCORE}"]),
            classes=self.context.dataset.classes,
        )
        more = {"group_thresholds": by_group(self.context, reading)} if self.context.settings.group_thresholds else {}
        return {"constraints": constraints, "groups": {"test": tables, "pull": self._pull(reading)}, **more}

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
        view = "" if context.settings.task == "regression" else SCORE
        outputs, (target, group) = torch.tensor(reading.outcome.held[f"confirmation{view}"]), self._rows("confirmation")
        if context.settings.task == "regression":
            outputs, target = ((one - facts.target_mean) / facts.target_scale for one in (outputs, target))
        spec, plain = reading.contender.spec, context.task.plain
        return group_pull(
            spec,
            LossSpec((Part(plain.term),)),
            outputs,
            target,
            group,
            context.dataset.groups,
            class_prior=None if facts.class_prior is None else facts.class_prior.float(),
            learned=learned_state(spec, reading.outcome),
            seed=self._seed("group pull"),
            attribute=self._attribute("confirmation"),
            zero=facts.zero,
        )

    def ranked(self, readings: Sequence[Reading]) -> list[Reading]:
        """See `losssearch.search.verdict.Judgement.ranked`: those that keep the constraints, then the nearest to it."""
        return sorted(self._metric.ranked(readings), key=lambda reading: max(0.0, self.excess(reading)))

    def difference(self, first: Reading, second: Reading, part: str) -> Difference:
        """See `losssearch.search.verdict.Judgement.difference`."""
        return self._metric.difference(first, second, part)

    def verdict(self, searched: Reading | None, baseline: Reading, plain: Reading, missing: str = "") -> Verdict:
        """See `losssearch.search.verdict.Judgement.verdict`."""
        self.plain = plain
        found = self._metric.verdict(searched, baseline, plain, missing)
        if searched is None:
            winner, text = baseline, found.text
        elif max(self.excess(searched), 0) != max(self.excess(baseline), 0):
            winner = min((searched, baseline), key=self.excess)
            other = baseline if winner is searched else searched
            side = "searched loss" if winner is searched else f"baseline {baseline.name}"
            text = (
                f"Use the {side}: the {'best baseline' if winner is searched else 'searched loss'}, {other.name}, "
                f"is {'no nearer to' if self.excess(winner) > 0 else 'beyond'} the limit. {_compared(found)}"
            )
            found = replace(found, recommended="searched" if winner is searched else "baseline")
        else:
            winner, text = (searched if found.recommended == "searched" else baseline), found.text
        said = " ".join(self._said(held) for held in self.held(winner))
        unmet = self.unmet(winner)
        return replace(found, text=f"{unmet} {text} {said}".strip(), unmet=unmet)

    def plain_scores(self) -> dict[str, npt.NDArray[np.float32]]:
        """Outputs of the plain models ``[S, rows]`` on the held-out parts, as probabilities are read from them."""
        view = "" if self.context.settings.task == "regression" else SCORE
        assert self.plain is not None  # noqa: S101  (the verdict comes first)
        return {part: self.plain.outcome.held[f"{part}{view}"] for part in ("confirmation", "test")}

    def unmet(self, winner: Reading) -> str:
        """What to say where even the recommended loss keeps a constraint not; empty where all are kept."""
        beyond = [held for held in self.held(winner) if not held.kept]
        if not beyond:
            return ""
        worst = max(beyond, key=lambda held: held.excess)
        return (
            f"No candidate meets {worst.constraint}: the closest is {winner.name}, "
            f"{winner.contender.spec.formula()}, with {worst.gap:.4g} on confirmation, "
            f"{abs(worst.gap - worst.constraint.limit):.4g} beyond the limit. {MORE_ROOM}"
        )

    def held(self, reading: Reading) -> tuple[Held, ...]:
        """How the loss stands to each constraint."""
        number = reading.contender.trial.number
        if number not in self._held or len(self.context.constraints) != len(self._held[number]):
            self._held[number] = tuple(
                self._measure(reading, place, constraint) for place, constraint in enumerate(self.context.constraints)
            )
        return self._held[number]

    def excess(self, reading: Reading) -> float:
        """The worst excess of a loss over the constraints, on confirmation."""
        return max(held.excess for held in self.held(reading))

    @property
    def _groups(self) -> int:
        """How many groups a gap is between; 1 stands for an attribute that is a number."""
        dataset = self.context.dataset
        return len(dataset.groups) if dataset.attribute is None else 1

    def _measure(self, reading: Reading, place: int, constraint: Constraint) -> Held:
        gaps = {}
        for part in ("confirmation", "test"):
            outputs, target, group = self._part(reading, part, constraint)
            seeds = len(outputs)
            found = value(constraint, outputs, target.expand(seeds, -1), group.expand(seeds, -1), self._groups)
            gaps[part] = tuple(found.tolist())
        outputs, target, group = self._part(reading, "confirmation", constraint)
        certificates = tuple(
            certificate([constraint], one, target, group, self._groups, level=self.context.settings.confidence)[0]
            for one in outputs
        )
        validation = statistics.fmean(row[2 + place] for row in reading.outcome.details)
        return Held(constraint, validation, gaps["confirmation"], gaps["test"], certificates)

    def _part(self, reading: Reading, part: str, constraint: Constraint) -> tuple[Tensor, Tensor, Tensor]:
        """What the constraint reads: outputs ``[S, rows(, classes)]``, target and group ids or a number ``[rows]``."""
        view = ""
        if self.context.settings.task != "regression":
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

    def _said(self, held: Held) -> str:
        """A sentence on one constraint: what is certified, and what test shows."""
        level = f"{self.context.settings.confidence:.0%}"
        certain = {
            "met": f"confirmation certifies it at {level}",
            "not met": f"confirmation does not certify it at {level}",
            "not certifiable": f"so many rows cannot certify it at {level}",
        }[held.status]
        figures = f"(gap {_figure(held.gap)}, bound {_figure(held.bound)})"
        return f"{held.constraint}: {certain} {figures}; test shows {_figure(statistics.fmean(held.test))}."

    def _seed(self, purpose: str) -> int:
        return derived_seed(self.context.settings.seed, purpose)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def _compared(found: Verdict) -> str:
    return (
        f"In the metric alone, above zero in favour of the searched loss: on confirmation "
        f"{found.confirmation.difference:+.3g} (standard error {found.confirmation.standard_error:.2g}), on test "
        f"{stated(found.test)} ({found.grade}, P = {chance(found.probability_better or 0.0)})."
    )
