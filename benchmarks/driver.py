"""The driver alone: completed trials per second when training takes no time.

    python -m benchmarks.driver [--quick] [--json FILE]

A study with all its parts (menu, proposals, screening, dispatch, store, tracker) over an executor that answers at
once: the most that the driver can do, and so how many devices one driver can feed. It runs with SQLite; with MLflow in
addition; and with PostgreSQL if ``LOSSSEARCH_TEST_POSTGRES`` names a database. Rates are per CPU second of the driver's
process, which hardly depend on other work of the machine, and per second. ``docs/performance-benchmarks.md`` has more.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import Result, print_table, run_command

GOAL = 200.0
"""Trials a second."""

POSTGRES = "LOSSSEARCH_TEST_POSTGRES"
MEMBERS = 1_024
"""Trainings in one population on a device, for the estimate of how many devices one driver feeds."""
POPULATION_SECONDS = (1, 10, 60, 600)
REPLICAS = 3


@dataclass(frozen=True)
class Course:
    """One study: of how many trials, with which store and tracker. ``storage`` empty is SQLite."""

    name: str
    trials: int
    storage: str = ""
    mlflow: bool = False


def courses(quick: bool) -> list[Course]:
    """What is measured."""
    trials = 2_000 if quick else 20_000
    found = [Course("sqlite", trials)]
    if address := os.environ.get(POSTGRES):
        found.append(Course("postgresql", trials, storage=address))
    return [*found, Course("sqlite_mlflow", trials, mlflow=True)]


def measure(quick: bool) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Figures by course, and the rates over the goal."""
    return summarise({course.name: run(course) for course in courses(quick)})


def summarise(found: Mapping[str, Mapping[str, Any]]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Figures and ratios of the courses' figures."""
    rate = next(iter(found.values()))["searched"]["trials_per_cpu_second"]
    ratios = {
        "rate_to_goal": {name: own["searched"]["trials_per_cpu_second"] / GOAL for name, own in found.items()},
        "last_fifth_to_first": {name: own["last_fifth_to_first"] for name, own in found.items()},
    }
    return {"goal": GOAL, "courses": dict(found), "devices_fed": devices_fed(rate)}, ratios


def devices_fed(trials_per_second: float) -> dict[str, float]:
    """How many devices one driver keeps busy, by the seconds that a population of `MEMBERS` takes on one of them.

    A population holds as many trials as there are rates times replicas in `MEMBERS`; a device completes that many in
    that time.
    """
    from losssearch.training import RATES

    trials = MEMBERS / (len(RATES) * REPLICAS)
    return {str(seconds): trials_per_second * seconds / trials for seconds in POPULATION_SECONDS}


def run(course: Course) -> dict[str, Any]:
    """Run the trials of one study; what they took."""
    from benchmarks.driver_study import Recorder, make_context, timed
    from losssearch.study.loop import Loop

    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder()
        context = make_context(Path(folder), course.trials, REPLICAS, course.storage, recorder, mlflow=course.mlflow)
        with timed(context) as parts:
            loop = Loop(context)
            recorder.start()
            trials = loop.run()
        closing = time.perf_counter()
        context.tracker.close("FINISHED")
        closed = time.perf_counter() - closing
        context.store.close()
        found = recorder.figures(menu=sum(trial.origin == "baseline" for trial in trials))
        return found | {
            "trials": len(trials),
            "states": dict(Counter(trial.state.value for trial in trials)),
            "parts_seconds": {name: round(seconds, 3) for name, seconds in parts.items()},
            "close_seconds": closed,
            "problems": [problem.replace(folder, "…") for problem in context.tracker.problems],
        }


def show(result: Result) -> None:
    """Print the result as tables."""
    figures = result["figures"]
    names = list(figures["courses"])
    rows = []
    for name in names:
        own = figures["courses"][name]
        rows.append(
            [
                name,
                f"{own['trials']:,}",
                f"{own['menu']['trials_per_cpu_second']:,.0f}",
                f"{own['searched']['trials_per_cpu_second']:,.0f}",
                f"{own['searched']['trials_per_second']:,.0f}",
                f"{result['ratios']['rate_to_goal'][name]:.2f}",
                f"{own['last_fifth_to_first']:.2f}",
                f"{own['memory_mib'][0]:,.0f} → {own['memory_mib'][-1]:,.0f}",
                f"{own['close_seconds']:.1f}",
            ]
        )
    headings = ("", "trials", "menu / CPU-s", "searched / CPU-s", "searched / s", "of goal", "last : first fifth")
    notes = [
        f"{name}: seconds in " + ", ".join(f"{part} {spent:.1f}" for part, spent in own["parts_seconds"].items())
        for name, own in figures["courses"].items()
    ]
    fed = ", ".join(f"{count:,.1f} where one takes {s} s" for s, count in figures["devices_fed"].items())
    notes.append(f"devices that one driver feeds with populations of {MEMBERS:,}: {fed}")
    notes += [problem for own in figures["courses"].values() for problem in own["problems"]]
    title = f"the driver alone; goal {GOAL:.0f} trials a second"
    print_table(title, (*headings, "memory, MiB", "close, s"), rows, notes)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command("driver", __doc__, measure, show, arguments)


if __name__ == "__main__":
    sys.exit(main())
