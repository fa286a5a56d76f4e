"""A study of a trade-off: the best metric within every limit on a gap, and the losses that reach it.

A candidate is worth the mean, over limits, of the best metric that keeps each: the area under its own front. Those that
lead somewhere along the front are trained again on the whole search part; thresholds, and so places on the front, are
chosen on the confirmation part, and test is read at those places.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from losssearch.errors import ModelError
from losssearch.evaluation import Difference
from losssearch.storage.records import TrialRecord
from losssearch.study.context import FRONT_LIMITS, WHOLE, Context
from losssearch.study.fairness.references import add_references
from losssearch.study.front.field import field
from losssearch.study.front.places import (
    Place,
    Rows,
    TradeOff,
    area,
    area_differences,
    floor_of,
    front_of,
    moved,
    places_of,
    read_place,
)
from losssearch.study.loop import Loop
from losssearch.study.result import Finished, entry_of, result_of
from losssearch.study.selecting.claim import chance, claim, headline, stated, untrained
from losssearch.study.selecting.curves import train_longer
from losssearch.study.selecting.evidence import Evidence, believed, spread_of
from losssearch.study.selecting.selection import Contender, train
from losssearch.study.selecting.verdict import Verdict, learned_state, summary
from losssearch.study.settings import derived_seed
from losssearch.training import Outcome

MANY_ROWS = 20_000
"""From this number of training rows on, each candidate is trained once; below it, twice."""

SHOWN = 40
"""Places of a front whose area is resampled."""

TEST = "area under the front, bootstrap over rows"
HeldOut = Literal["confirmation", "test"]


@dataclass(frozen=True)
class Trained:
    """A candidate as it was trained again, and its places on confirmation."""

    contender: Contender
    outcome: Outcome
    places: tuple[Place, ...]

    @property
    def trial(self) -> TrialRecord:
        """The trial that it was in the search."""
        return self.contender.trial


def run_front_study(context: Context) -> Finished:
    """Search, train the leading candidates again, choose the front on confirmation, read test once.

    Raises `ModelError` if no candidate could be trained.
    """
    trials = Loop(context).run()
    begun = time.monotonic()
    leading = field(trials, context.task.plain.name)
    if not leading:
        raise context.hopeless(trials)
    front = _Front(context, leading)
    context.seconds["confirmation"] = time.monotonic() - begun
    verdict = front.verdict(trials)
    side = "searched" if verdict.recommended == "searched" else "baseline"
    winner = max((one for one in front.trained if one.trial.origin == side), key=front.own_area)
    best_of = {name: front.entry(one) for name, one in front.best_by_name().items()}
    searched = [one for one in front.trained if one.trial.origin == "searched"]
    best = front.entry(winner)
    longer = train_longer([best, *best_of.values()])
    context.remark(longer)
    result = result_of(
        context,
        trials,
        best=best | {"groups": {}},
        searched=front.entry(max(searched, key=front.own_area)) if searched else None,
        baselines=list(best_of.values()),
        verdict=replace(verdict, text=f"{verdict.text} {longer}".rstrip()),
    )
    result |= {
        "ablation": [],
        "front": front.to_json(),
        "objectives": [context.settings.metric, context.settings.front],
    }
    plain = next((one for one in front.trained if one.trial.name == context.task.plain.name), None)
    if plain is not None:
        result = add_references(context, result, dict(plain.outcome.held))
    spec = winner.contender.spec
    return Finished(result, spec, learned_state(winner.outcome), trials)


class _Front:
    """The candidates trained again, and the front that they make together."""

    def __init__(self, context: Context, leading: Sequence[Contender]) -> None:
        self.context = context
        settings = context.settings
        self.trade = TradeOff(context.metric, settings.front, settings.task)
        self.rows = {part: _rows(context, part) for part in ("confirmation", "test")}
        trainings = 1 if len(context.partition.search) >= MANY_ROWS else 2
        members = context.chunk * len(settings.rates) * settings.replicas  # as many as a population of the search has
        chunk = context.chunk if context.chunk == 1 else max(context.chunk, members // trainings)
        outcomes = train(context, WHOLE, leading, trainings, hold=True, chunk=chunk)
        self.trained: list[Trained] = []
        for contender, outcome in zip(leading, outcomes, strict=True):
            if outcome.state != "completed":
                continue
            outputs, number = torch.tensor(outcome.held["confirmation"]), len(self.trained)
            rows, by_group = self.rows["confirmation"], settings.group_thresholds
            places = tuple(front_of(list(places_of(self.trade, number, outputs, rows, by_group=by_group))))
            self.trained.append(Trained(contender, outcome, places))
        if not any(one.trial.origin == "baseline" for one in self.trained):
            raise ModelError("no baseline could be trained again for the front")
        self.floor = floor_of(self.trade, [p for one in self.trained for p in one.places], self.rows["confirmation"])

    def own_area(self, one: Trained) -> float:
        """The area under a candidate's own front on confirmation."""
        return self._area(one.places)

    def best_by_name(self) -> dict[str, Trained]:
        """The best setting of every baseline, best first."""
        best: dict[str, Trained] = {}
        for one in sorted(self.trained, key=self.own_area, reverse=True):
            if one.trial.origin == "baseline":
                best.setdefault(one.trial.name, one)
        return best

    def entry(self, one: Trained) -> dict[str, Any]:
        """An entry of ``result.json``: values are areas, the mean over limits of the best metric within each."""
        areas = {
            "confirmation": self.own_area(one),
            "test": self._area([self._tested(place) for place in front_of(one.places)]),
        }
        measured = {name: summary([self.context.value(found)]) for name, found in areas.items()}
        validation = {"mean": one.trial.value, "std": 0.0, "values": list(one.trial.values)}
        return entry_of(one.contender, one.outcome) | {"constraints": [], "validation": validation, **measured}

    def to_json(self) -> list[dict[str, Any]]:
        """The ``front`` of ``result.json``: places in the order of their gap on confirmation."""
        shown = []
        for place in front_of([place for one in self.trained for place in one.places]):
            one, tested = self.trained[place.candidate], self._tested(place)
            shown.append(
                {
                    "limit": place.gap,
                    "trial": one.trial.number,
                    "name": one.trial.name,
                    "origin": one.trial.origin,
                    "formula": one.contender.spec.formula(),
                    "training": place.training,
                    "thresholds": list(place.thresholds),
                    "validation": {"metric": self.context.value(place.utility), "gap": place.gap},
                    "test": {"metric": self.context.value(tested.utility), "gap": tested.gap},
                }
            )
        return shown

    def verdict(self, trials: Sequence[TrialRecord]) -> Verdict:
        """Whether the searched losses reach a better front than the menu's do."""
        sides = {
            origin: front_of([p for one in self.trained if one.trial.origin == origin for p in one.places])
            for origin in ("searched", "baseline")
        }
        best = next(iter(self.best_by_name()))
        plain = self.context.task.plain.name
        alone = [p for one in self.trained if one.trial.name == plain for p in one.places] or sides["baseline"]
        if not sides["searched"]:
            nothing = Difference(0.0, (0.0, 0.0), 0.0, 0.95, TEST)
            text = f"Use the menu's front: {untrained(trials)}."
            return Verdict("baseline", best, nothing, nothing, plain, nothing, text)
        confirmation = self._difference(sides["searched"], sides["baseline"], "confirmation")
        test = self._difference(sides["searched"], sides["baseline"], "test")
        above_plain = self._difference(sides["searched"], front_of(alone), "test")
        before, held = (Evidence(found.difference, found.standard_error) for found in (confirmation, test))
        spread = spread_of([before])
        everything = believed(spread, before, held)
        before = believed(spread, before)
        found = claim(before, test, everything, prefer_known=self.context.settings.prefer_known)
        metric, gap = self.context.settings.metric, self.context.settings.front
        figures = (
            f"differences in the mean {metric} over limits on {gap} from {FRONT_LIMITS[0]} to {FRONT_LIMITS[-1]}, "
            f"positive in favour of the searched losses: on test {stated(test)}; on confirmation "
            f"{confirmation.difference:+.3g} (standard error {confirmation.standard_error:.2g}); to plain {plain} on "
            f"test {stated(above_plain)}"
        )
        said = headline(found, "the menu's front", "the searched losses' front")
        text = (
            f"{said}: {figures}. By both, the searched losses are better with probability "
            f"{chance(found.probability)}. {found.why}"
        ).strip()
        return Verdict(
            found.recommended,
            best,
            confirmation,
            test,
            plain,
            above_plain,
            text,
            before,
            found.grade,
            found.probability,
            everything,
        )

    def _difference(self, first: Sequence[Place], second: Sequence[Place], part: HeldOut) -> Difference:
        rows = self.rows[part]
        first, second = (side[:: -(-len(side) // SHOWN)] for side in (first, second))
        seed = derived_seed(self.context.settings.seed, "front", part)
        one, other = (
            torch.stack([moved(self.trade, place, self._outputs(place, part), rows) for place in side])
            for side in (first, second)
        )
        clusters = self.context.clusters(part)
        found, drawn = area_differences(
            self.trade, one, other, rows, limits=FRONT_LIMITS, floor=self.floor, seed=seed, clusters=clusters
        )
        error = statistics.stdev(drawn)
        return Difference(found, (found - 1.96 * error, found + 1.96 * error), error, 0.95, TEST)

    def _area(self, places: Sequence[Place]) -> float:
        return area([p.utility for p in places], [p.gap for p in places], FRONT_LIMITS, self.floor)

    def _tested(self, place: Place) -> Place:
        return read_place(self.trade, place, self._outputs(place, "test"), self.rows["test"])

    def _outputs(self, place: Place, part: HeldOut) -> Tensor:
        return torch.tensor(self.trained[place.candidate].outcome.held[part][place.training])


def _rows(context: Context, part: str) -> Rows:
    dataset, rows = context.dataset, getattr(context.partition, part)
    assert dataset.group is not None  # noqa: S101  (a front is between groups)
    return Rows(torch.tensor(dataset.target[rows]), torch.tensor(dataset.group[rows]), len(dataset.groups))
