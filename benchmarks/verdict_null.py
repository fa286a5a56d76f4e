"""The verdict on simulated studies: how often it claims what is not so, and whether its probabilities are true.

    python -m benchmarks.verdict_null [--quick] [--json FILE]

Each study has menu and searched losses whose true differences are drawn: none at all (the null), or from a prior with
heavy tails and a scale between a fifth and three standard errors of test. Whether a model is right on a row depends on
the row, on how the loss suits the row, on the luck of the training and on all three together, so that the truth is
known exactly. Values of the search, re-evaluation (draws that share rows), confirmation and test are drawn from that;
the field, the finalists, the recommendation and the grade come from the product's own functions. Nothing is trained.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from benchmarks.report import Result, print_table, run_command
from losssearch.evaluation import get_metric
from losssearch.losses.spec import LossSpec, Part
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.study.context import Context
from losssearch.study.selecting.referee import MetricReferee
from losssearch.study.selecting.selection import SETTINGS, SIDES, Contender, incumbent_name, kept_places, rank_field
from losssearch.study.selecting.verdict import Reading, Verdict
from losssearch.study.settings import BASELINES, FIELDS, SEARCHED
from losssearch.tasks import get_task
from losssearch.training import Outcome

STUDIES, QUICK_STUDIES = (1000, 3000), (15, 25)
"""Studies under the null, and over the prior."""
MENU, OURS = 18, 18
"""Losses of either side that the search tried; half of its trials are the menu's."""
SEARCH_ROWS, VALIDATED, HELD_ROWS, SEEDS, SEARCH_DRAWS = 750, 150, 250, 5, 3
"""Rows that the search has, of which a draw validates some; rows of confirmation and of test; seeds and draws."""

LEVEL = 0.8
"""Accuracy of the plain loss."""
SHARES = {"row": 0.80, "loss and row": 0.05, "training": 0.002, "all": 0.148}
"""Of the variance of a latent score, above whose threshold a model is right on a row."""
TEST_ERROR = 0.012
"""Standard error of a difference of accuracy on test in these studies, about; the unit of the prior's scale."""
SCALES = (0.2, 3.0)
"""Least and largest scale of true differences, in that unit; their logarithm is uniform."""
TAILS = 4
"""Degrees of freedom of Student's t, which true differences have."""

BINS = np.linspace(0, 1, 11)
FARTHEST = 0.03
"""How far the share of studies in which the searched loss is better may be from the probability that was said."""


@dataclass(frozen=True)
class Told:
    """What a simulated study said, and the truth."""

    grade: str
    recommended: str
    probability: float
    truth: float
    inside: bool
    believed: float
    error: float
    test: float
    test_error: float


class _Drawn(MetricReferee):
    """A referee whose finalists were drawn instead of trained."""

    def take(self, readings: Sequence[Reading]) -> None:
        """Hold these finalists."""
        self._finalists = list(readings)


class _World:
    """The losses of a study with their true accuracies, and what trainings of them reach."""

    def __init__(self, scale: float, seed: int) -> None:
        self.draw = np.random.default_rng(seed)
        slope = math.exp(-(ndtri(LEVEL) ** 2) / 2) / math.sqrt(2 * math.pi)
        apart = self.draw.standard_t(TAILS, MENU + OURS) / math.sqrt(TAILS / (TAILS - 2))
        self.centre = ndtri(LEVEL) + scale * TEST_ERROR / slope * apart
        self.parts = {name: self._rows(rows) for name, rows in
                      (("search", SEARCH_ROWS), ("confirmation", HELD_ROWS), ("test", HELD_ROWS))}  # fmt: skip

    def accuracy(self, loss: int) -> float:
        """The true accuracy, over rows and trainings."""
        return float(ndtr(self.centre[loss]))

    def luck(self) -> float:
        """That of one training."""
        return float(self.draw.normal() * math.sqrt(SHARES["training"]))

    def right(self, loss: int, part: str, luck: float, rows: NDArray[np.int64] | None = None) -> NDArray[np.bool_]:
        """On which rows of a part one training is right."""
        score = self.parts[part][loss] if rows is None else self.parts[part][loss][rows]
        return np.asarray(score + luck + self.draw.normal(size=len(score)) * math.sqrt(SHARES["all"]) > 0)

    def utilities(self, losses: Iterable[int], draws: int) -> dict[int, tuple[float, ...]]:
        """Values on fresh draws of the search's rows, the same rows for all losses."""
        validated = [self.draw.choice(SEARCH_ROWS, VALIDATED, replace=False) for _ in range(draws)]
        return {
            loss: tuple(float(self.right(loss, "search", self.luck(), rows).mean()) for rows in validated)
            for loss in losses
        }

    def held(self, loss: int, target: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        """Logits of a few trainings on confirmation and test; the luck of a training is the same on both."""
        lucks = [self.luck() for _ in range(SEEDS)]
        sign = np.where(target == 1, 1.0, -1.0)
        return {
            part: np.stack([np.where(self.right(loss, part, luck), sign, -sign) for luck in lucks]).astype(np.float32)
            for part in ("confirmation", "test")
        }

    def _rows(self, rows: int) -> NDArray[np.float64]:
        common = self.draw.normal(size=(1, rows)) * math.sqrt(SHARES["row"])
        own = self.draw.normal(size=(MENU + OURS, rows)) * math.sqrt(SHARES["loss and row"])
        found: NDArray[np.float64] = self.centre[:, None] + common + own
        return found


def simulate(scale: float, seed: int) -> Told:
    """One study whose true differences have this scale."""
    world = _World(scale, seed)
    target = np.arange(HELD_ROWS) % 2
    first = world.utilities(range(MENU + OURS), SEARCH_DRAWS)
    everyone = [_contender(number, statistics.fmean(first[number])) for number in range(MENU + OURS)]
    field = {
        side: sorted((c for c in everyone if c.trial.origin == side), key=lambda c: -(c.trial.value or 0.0))
        for side in SIDES
    }
    for places, draws in FIELDS:
        field = {s: kept_places(own, places, 1, SETTINGS if s == "baseline" else places) for s, own in field.items()}
        found = world.utilities((c.trial.number for own in field.values() for c in own), draws)
        measured = {
            side: [replace(c, utilities=(*c.utilities, *found[c.trial.number])) for c in own]
            for side, own in field.items()
        }
        field = rank_field(measured, 1)
    menu = field["baseline"]
    chosen = [*(c for c in menu if c.trial.number in (0, 1)), *(c for c in menu if c.trial.number > 1)][:BASELINES]
    finalists = [*field["searched"][:SEARCHED], *(c for c in menu if c in chosen)]
    readings = [Reading(c, Outcome("completed", (0.0,), held=world.held(c.trial.number, target))) for c in finalists]
    referee = _Drawn(_context(target, seed))
    referee.take(readings)
    candidates, known = (referee.ranked([r for r in readings if r.contender.trial.origin == side])
                         for side in ("searched", "baseline"))  # fmt: skip
    return _told(world, referee.verdict(candidates[0], known[0], known[0]), candidates[0], known[0])


def _told(world: _World, verdict: Verdict, ours: Reading, theirs: Reading) -> Told:
    truth = world.accuracy(ours.contender.trial.number) - world.accuracy(theirs.contender.trial.number)
    low, high = verdict.test.interval
    probability = verdict.probability_better
    assert probability is not None
    assert verdict.belief is not None
    belief = (verdict.belief.difference, verdict.belief.error)
    test = (verdict.test.difference, verdict.test.standard_error)
    return Told(verdict.grade, verdict.recommended, probability, truth, low <= truth <= high, *belief, *test)


def _contender(number: int, value: float) -> Contender:
    """The incumbent is number 1, after the plain loss."""
    menu = number < MENU
    known = {0: "plain", 1: incumbent_name(get_task("binary"))}
    name = known.get(number, f"known-{number}") if menu else f"searched-{number}"
    spec = LossSpec((Part("binary_cross_entropy"),))
    side = "baseline" if menu else "searched"
    return Contender(TrialRecord(number, side, name, spec.to_json(), spec.key, TrialState.COMPLETED, value=value))


def _context(target: NDArray[np.int64], seed: int) -> Context:
    """As much of a study as the verdict reads."""
    rows = np.arange(HELD_ROWS)
    return cast(
        "Context",
        SimpleNamespace(
            keeper=None,
            task=get_task("binary"),
            metric=get_metric("accuracy", "binary"),
            constraints=(),
            dataset=SimpleNamespace(target=target, judged=target),
            partition=SimpleNamespace(confirmation=rows, test=rows),
            settings=SimpleNamespace(seed=seed, metric="accuracy", task="binary", prefer_known=False),
            clusters=lambda part: None,
            weights=lambda part: None,
        ),
    )


def reliability(told: Sequence[Told]) -> list[dict[str, Any]]:
    """Bins of the probability that was said: how many studies, its mean, and how often the searched loss was better."""
    found = []
    for low, high in pairwise(BINS):
        own = [one for one in told if low <= one.probability < high or one.probability == high == 1]
        if own:
            share = statistics.fmean(one.truth > 0 for one in own)
            found.append(
                {
                    "from": float(low),
                    "to": float(high),
                    "studies": len(own),
                    "said": statistics.fmean(one.probability for one in own),
                    "better": share,
                    "standard_error": math.sqrt(max(share * (1 - share), 0.25 / len(own)) / len(own)),
                }
            )
    return found


def measure(quick: bool) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The figures of both kinds of study."""
    begun = time.monotonic()
    nulls, others = QUICK_STUDIES if quick else STUDIES
    under_null = [simulate(0.0, seed) for seed in range(nulls)]
    draw = np.random.default_rng(0)
    scales = np.exp(draw.uniform(*np.log(SCALES), others))
    told = [simulate(float(scale), 100_000 + seed) for seed, scale in enumerate(scales)]
    bins = reliability(told)
    grades = {name: Counter(one.grade for one in group) for name, group in (("null", under_null), ("prior", told))}
    ours = [one for one in told if one.recommended == "searched"]
    figures = {
        "studies": {"null": nulls, "prior": others},
        "grades": {name: dict(found) for name, found in grades.items()},
        "recommended": {
            "null": statistics.fmean(one.recommended == "searched" for one in under_null),
            "prior": len(ours) / others,
            "prior_better": statistics.fmean(one.truth > 0 for one in ours) if ours else None,
        },
        "claims_true": _share(one.truth > 0 for one in told if one.grade == "better"),
        "probably_true": _share(one.truth > 0 for one in told if one.grade == "probably better"),
        "inside": {
            name: _share(one.inside for one in group) for name, group in (("null", under_null), ("prior", told))
        },
        "reliability": bins,
        "seconds": time.monotonic() - begun,
    }
    ratios = {
        "better under the null": grades["null"]["better"] / nulls,
        "better or worse under the null": (grades["null"]["better"] + grades["null"]["worse"]) / nulls,
        "calibration error": sum(b["studies"] * abs(b["said"] - b["better"]) for b in bins) / others,
    }
    return figures, ratios


def _share(hits: Iterable[bool]) -> float | None:
    there = list(hits)
    return statistics.fmean(there) if there else None


def show(result: Result) -> None:
    """Print the reliability table and what else was found."""
    figures, ratios = result["figures"], result["ratios"]
    rows = [
        [
            f"{b['from']:.1f} to {b['to']:.1f}",
            str(b["studies"]),
            f"{b['said']:.3f}",
            f"{b['better']:.3f}",
            f"{b['standard_error']:.3f}",
        ]
        for b in figures["reliability"]
    ]
    studies, recommended = figures["studies"], figures["recommended"]
    print_table(
        f"Probability that the searched loss is better, {studies['prior']} studies over the prior",
        ("said", "studies", "mean", "truly better", "error"),
        rows,
        [
            f"calibration error {ratios['calibration error']:.3f} (goal: at most {FARTHEST}, within errors)",
            f"null, {studies['null']} studies: better {ratios['better under the null']:.1%} (goal: at most 5 %)",
            f"grades under the null: {figures['grades']['null']}; over the prior: {figures['grades']['prior']}",
            f"truly better where said better: {figures['claims_true']}; probably better: {figures['probably_true']}",
            f"searched loss recommended under the null: {recommended['null']:.1%}",
            f"... over the prior: {recommended['prior']:.1%}, truly better in {recommended['prior_better']}",
            f"intervals that hold the truth: {figures['inside']}",
        ],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    return run_command("verdict_null", __doc__, measure, show, arguments)


if __name__ == "__main__":
    sys.exit(main())
