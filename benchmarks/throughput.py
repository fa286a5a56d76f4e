"""Speed: trials per minute and CPU seconds a trial of losssearch and of its rivals, for the same trainings.

    python -m benchmarks.throughput [--quick] [--json FILE] [--data digits|adult] [--workers N]

Every contestant trains the same list of trials (a focal loss and a learning rate each) with the same model,
data, epochs, batches and metric, in processes of one torch thread, one contestant after another in one run. Start-up
(imports, workers, a first training) is left out of the figures and shown apart. Slow rivals train the first
trials of the list only, as all figures are per trial. Each contestant's mean accuracy must agree with that of
losssearch on the same trials, or the run fails. ``docs/performance.md`` tells how it is measured.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from benchmarks.contest import Assignment, Contestant, Stopwatch
from benchmarks.machine import describe_machine
from benchmarks.meter import Meter
from benchmarks.report import keep, make_parser, parse
from benchmarks.workload import load_workload, make_trials
from losssearch.errors import LossSearchError

TOLERANCE = 0.02
"""Largest difference of mean accuracy between a contestant and losssearch on the same trials."""

QUICK_LIMIT = 38.0
"""Seconds after which a quick run starts no further contestant."""


@dataclass(frozen=True)
class Entry:
    """A contestant: where its function is, and what its figures are compared with (nothing: it is ours)."""

    label: str
    function: str
    on_ray: bool = True
    against: str | None = None


ENTRIES: Mapping[str, Entry] = {
    "losssearch": Entry("losssearch, in this process", "contestants:train_population", on_ray=False),
    "plain": Entry("plain PyTorch, one at a time", "contestants:train_plainly", on_ray=False, against="losssearch"),
    "losssearch_ray": Entry("losssearch, on Ray", "contestants:train_population_on_ray"),
    "actors": Entry("Ray actors + Optuna ask/tell", "rivals:train_on_actors", against="losssearch_ray"),
    "tune_reuse": Entry(
        "Ray Tune + OptunaSearch, reuse_actors=True", "rivals:tune_reusing_actors", against="losssearch_ray"
    ),
    "tune": Entry("Ray Tune + OptunaSearch, as documented", "rivals:tune_as_documented", against="losssearch_ray"),
}


@dataclass(frozen=True)
class Settings:
    """How much is trained: ``trials`` by contestant (those not named stay out), in populations of a size."""

    trials: Mapping[str, int]
    workers: int
    population: int
    data: str = "digits"
    epochs: int = 20
    limit: float = float("inf")
    reduced: tuple[str, ...] = ()


def full(workers: int, data: str = "digits") -> Settings:
    """The settings of the published figures."""
    trials = {
        "losssearch": 256,
        "plain": 64,
        "losssearch_ray": 128 * workers,
        "actors": 32 * workers,
        "tune_reuse": 16 * workers,
        "tune": 6 * workers,
    }
    return Settings(trials, workers, population=128, data=data)


def quick(workers: int, data: str = "digits") -> Settings:
    """Fewer trials, two workers; ends within a minute on `digits`."""
    workers = min(workers, 2)
    trials = {
        "losssearch": 64,
        "plain": 16,
        "losssearch_ray": 64 * workers,
        "actors": 8 * workers,
        "tune_reuse": 4 * workers,
        "tune": 3 * workers,
    }
    reduced: tuple[str, ...] = (
        f"{workers} workers at most, populations of 64 instead of 128",
        "trials: " + ", ".join(f"{name} {count}" for name, count in trials.items()),
    )
    epochs = 20
    if data == "adult":
        epochs = 1
        reduced += ("1 epoch instead of 20",)
    return Settings(trials, workers, population=64, data=data, epochs=epochs, limit=QUICK_LIMIT, reduced=reduced)


def run(settings: Settings) -> dict[str, Any]:
    """Let the contestants train, one after another; the result in the form of the JSON file."""
    import torch

    torch.set_num_threads(1)
    began = time.perf_counter()
    machine = describe_machine(torch_threads=1)
    workload = load_workload(settings.data, settings.epochs)
    contestants: dict[str, dict[str, Any]] = {}
    reduced = list(settings.reduced)
    ours: Sequence[float] = ()
    with ExitStack() as stack:
        meter, clustered = stack.enter_context(Meter()), False
        for name in (name for name in ENTRIES if name in settings.trials):
            entry, elapsed = ENTRIES[name], time.perf_counter() - began
            if elapsed > settings.limit:
                reduced.append(f"{name} left out, as {elapsed:.0f} s were over")
                continue
            if entry.on_ray and not clustered:
                stack.enter_context(import_module("benchmarks.rivals").cluster(settings.workers))
                clustered = True
            trials = make_trials(settings.trials[name])
            watch = Stopwatch(meter.read)
            workers = settings.workers if entry.on_ray else 1
            found = _function(entry)(Assignment(workload, trials, workers, settings.population), watch)
            ours = ours or found
            contestants[name] = _figures(entry, watch, workers, found, ours)
    return {
        "name": "throughput",
        "figures": {
            "workload": workload.describe(),
            "population": settings.population,
            "contestants": contestants,
            "reduced": reduced,
            "seconds": round(time.perf_counter() - began, 1),
        },
        "ratios": _ratios(contestants),
        "machine": machine,
    }


def _function(entry: Entry) -> Contestant:
    module, _, name = entry.function.partition(":")
    function: Contestant = getattr(import_module(f"benchmarks.{module}"), name)
    return function


def _figures(
    entry: Entry, watch: Stopwatch, workers: int, found: Sequence[float], ours: Sequence[float]
) -> dict[str, Any]:
    common = min(len(found), len(ours))
    return {
        "label": entry.label,
        "processes": workers,
        "trials": len(found),
        "trials_measured": watch.trials,
        "trials_per_minute": 60 * watch.trials / watch.seconds,
        "cpu_seconds_per_trial": watch.cpu_seconds / watch.trials,
        "seconds": watch.seconds,
        "cpu_seconds": watch.cpu_seconds,
        "start_seconds": watch.start_seconds,
        "mean_accuracy": sum(found) / len(found),
        "accuracy_difference": (sum(found[:common]) - sum(ours[:common])) / common,
    }


def _ratios(contestants: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """How many times more trials a minute, and fewer CPU seconds a trial, losssearch needs than each rival."""
    pairs = [(name, str(ENTRIES[name].against)) for name in contestants if ENTRIES[name].against in contestants]
    rate, cost = "trials_per_minute", "cpu_seconds_per_trial"
    return {
        rate: {rival: contestants[own][rate] / contestants[rival][rate] for rival, own in pairs},
        cost: {rival: contestants[rival][cost] / contestants[own][cost] for rival, own in pairs},
    }


def disagreeing(result: Mapping[str, Any]) -> list[str]:
    """Names of contestants that did not train what losssearch trained, by their mean accuracy."""
    contestants = result["figures"]["contestants"]
    return [name for name, found in contestants.items() if abs(found["accuracy_difference"]) > TOLERANCE]


def show(result: Mapping[str, Any]) -> None:
    """Print the result as a table."""
    from rich.console import Console
    from rich.table import Table

    figures, ratios = result["figures"], result["ratios"]
    work = figures["workload"]
    title = f"{work['data']}, {work['model']}, {work['epochs']} epochs, batches of {work['batch_size']}"
    table = Table("", title=f"{title}; populations of {figures['population']}")
    for heading in ("processes", "trials", "trials / min", "ours ×", "CPU-s / trial", "ours ×", "accuracy", "differs"):
        table.add_column(heading, justify="right")
    for name, found in figures["contestants"].items():
        rate, cost = (ratios[kind].get(name) for kind in ("trials_per_minute", "cpu_seconds_per_trial"))
        table.add_row(
            found["label"],
            str(found["processes"]),
            str(found["trials_measured"]),
            f"{found['trials_per_minute']:,.0f}",
            f"{rate:.1f}" if rate else "",
            f"{found['cpu_seconds_per_trial']:.3f}",
            f"{cost:.1f}" if cost else "",
            f"{found['mean_accuracy']:.4f}",
            f"{found['accuracy_difference']:+.4f}",
        )
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)
    console.print(
        "ours ×: by how much losssearch is ahead, with the same number of processes. "
        "differs: mean accuracy less that of losssearch on the same trials."
    )
    for line in figures["reduced"]:
        console.print(f"reduced: {line}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 1 where the contestants did not train alike, 2 for bad input."""
    parser = make_parser("throughput", __doc__)
    parser.add_argument("--data", choices=("digits", "adult"), default="digits")
    parser.add_argument("--workers", type=int, default=min(4, len(os.sched_getaffinity(0))), metavar="N")
    options = parse(parser, arguments)
    if options.workers < 1:
        parser.error(f"--workers must be at least 1, got {options.workers}")
    try:
        result = run((quick if options.quick else full)(options.workers, options.data))
    except LossSearchError as error:
        parser.error(str(error))
    show(result)
    keep(result, options.json)
    wrong = disagreeing(result)
    if wrong:
        print(f"accuracy must agree within {TOLERANCE}; it does not for {', '.join(wrong)}", file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
