"""Headroom: how much could a better choice among losses gain at all?

    python -m benchmarks.quality.headroom --out DIR [--scenarios GLOB …] [--repeat 2] [--jobs 2] [--report-only]

For each scenario all losses of the menu at several settings, and those that the search space tries first, get the
instrument's final training on four draws and are read on the outer test part. Then choices are compared without
training anything: the best on validation by one draw, two or four, out of the menu or out of all; and a clairvoyant,
who chooses by the outer test part itself on half of the seeds and is read on the other half. What the clairvoyant
gains is what no choice by validation can be asked for: it has seen the very rows that judge it. Validation values
come from the trainings that are tested, so a training's luck counts for both; the clairvoyant is read on others.

Gains are over the plain loss with its decision tuned, in standard errors of one difference on the outer test part
(the median over the losses), at most `MOST`: one is what a test part shows by chance.
"""

from __future__ import annotations

import itertools
import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.scenarios import Scenario, SkippedScenarioError
from benchmarks.quality.sweep import make_parser, sweep
from benchmarks.quality.unit import Line, read_lines
from losssearch.errors import LossSearchError

SETTINGS = 24
"""Losses of the menu, as many as a study of 48 trials tries."""
SEEDS = 4
MOST = 4.0
MENU, PORTFOLIO = "menu", "portfolio"
HEADINGS = ("chosen", "binary", "multiclass", "regression")

Values = NDArray[np.float64]


def main(given: Sequence[str] | None = None) -> int:
    """Measure what is missing and print the table; 1 where a scenario failed or there is nothing to show."""
    parser = make_parser("headroom", __doc__)
    parser.add_argument("--report-only", action="store_true", help="train nothing")
    options = parser.parse_args(given)
    failed = 0 if options.report_only else sweep(options, measure)
    found = [lines for file in sorted(Path(options.out).glob("*.jsonl")) if (lines := read_lines(file))]
    if not found:
        print(f"{options.out} holds no results", file=sys.stderr)
        return 1
    from benchmarks.report import print_table

    print_table("Gain over plain tuned, in standard errors of one outer test", HEADINGS, rows(found))
    return int(failed > 0)


def measure(scenario: Scenario, repeat: int) -> list[Line]:
    """Every loss with its utilities on validation and on the outer test part, a number a draw."""
    from benchmarks.quality import fitting
    from benchmarks.quality.problem import make_problem
    from losssearch.space import aim, load_space
    from losssearch.study.proposing.menu import menu_entries
    from losssearch.study.selecting.selection import incumbent_name

    if scenario.constraint:
        raise SkippedScenarioError("a limit between groups narrows the choice: what remains is another question")
    problem = make_problem(scenario, repeat)
    numbers = dict(problem.metric.aims)
    task, space = problem.task.aimed(numbers), aim(load_space(problem.task.space, problem.task.kind), numbers)
    entries = {entry.spec: (entry.name, MENU) for entry in reversed(menu_entries(task, 2 * SETTINGS, repeat))}
    entries = {spec: (f"portfolio-{n}", PORTFOLIO) for n, spec in enumerate(space.portfolio)} | entries
    plain = next(spec for spec, (name, _) in entries.items() if name == incumbent_name(task))
    fitted = fitting.fit_all(problem, {spec.key: spec for spec in entries}, SEEDS)
    sign = 1 if problem.metric.direction == "maximize" else -1
    reference = fitted[plain.key]
    if isinstance(reference, str):
        raise LossSearchError(f"the plain loss could not be trained, and all is measured against it: {reference}")
    lines: list[Line] = []
    for spec, (name, origin) in entries.items():
        own = fitted[spec.key]
        if isinstance(own, str):
            continue
        lines.append(
            {
                "type": "loss",
                "name": name,
                "origin": origin,
                "formula": spec.formula(),
                "plain": spec == plain,
                "validation": [sign * value for value in own.validation],
                "test": [sign * value for value in own.values(problem)],
                "standard_error": fitting.compare(problem, own, reference).get("standard_error"),
            }
        )
    return [{"type": "scenario", "scenario": scenario.name, "task": problem.task.kind, "repeat": repeat}, *lines]


def rows(found: Sequence[Sequence[Line]]) -> list[list[str]]:
    """The table's lines: a way of choosing, and its mean gain with the error of that by kind of task."""
    gains = {task: [gained(lines[1:]) for lines in found if lines[0]["task"] == task] for task in HEADINGS[1:]}
    ways = dict.fromkeys(way for own in gains.values() for one in own for way in one)
    counts = ["scenarios", *(str(len(own)) for own in gains.values())]
    return [counts, *([way, *(_stated([one[way] for one in own]) for own in gains.values())] for way in ways)]


def gained(losses: Sequence[Line]) -> dict[str, float]:
    """What each way of choosing gains in one scenario."""
    whole = [
        loss for loss in losses if len(loss["validation"]) == SEEDS and all(map(math.isfinite, loss["validation"]))
    ]
    test, validation = (np.array([loss[part] for loss in whole]) for part in ("test", "validation"))
    plain = next(place for place, loss in enumerate(whole) if loss["plain"])
    errors = [loss["standard_error"] for loss in whole if loss["standard_error"]]
    error = statistics.median(errors) if errors else math.inf
    above = (test - test[plain]) / error  # [losses, seeds]

    def by_draws(places: Sequence[int], count: int) -> float:
        """The mean over all choices of a number of the draws."""
        subsets = map(list, itertools.combinations(range(SEEDS), count))
        chosen = [places[_best(validation[places][:, draws])] for draws in subsets]
        return statistics.fmean(_clipped(above[place]) for place in chosen)

    def clairvoyant(places: Sequence[int]) -> float:
        halves = [list(half) for half in itertools.combinations(range(SEEDS), SEEDS // 2)]
        others = [[seed for seed in range(SEEDS) if seed not in half] for half in halves]
        return statistics.fmean(
            _clipped(above[places[_best(above[places][:, half])], other])
            for half, other in zip(halves, others, strict=True)
        )

    everything = range(len(whole))
    menu = [place for place in everything if whole[place]["origin"] == MENU]
    return {
        "menu, any of it": statistics.fmean(_clipped(above[place]) for place in menu),
        **{f"menu, by {count} draw{'s' * (count > 1)}": by_draws(menu, count) for count in (1, 2, SEEDS)},
        "menu, by a clairvoyant": clairvoyant(menu),
        f"menu and portfolio, by {SEEDS} draws": by_draws(everything, SEEDS),
        "menu and portfolio, by a clairvoyant": clairvoyant(everything),
    }


def _best(values: Values) -> int:
    return int(np.argmax(values.mean(axis=1)))


def _clipped(gains: Values) -> float:
    return float(np.clip(gains.mean(), -MOST, MOST))


def _stated(values: Sequence[float]) -> str:
    if not values:
        return ""
    error = f" ± {statistics.stdev(values) / math.sqrt(len(values)):.2f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):+.2f}{error}"


if __name__ == "__main__":
    sys.exit(main())
