"""Hypervolume of every method's front of accuracy against unfairness, and whether its limits hold on test."""

from __future__ import annotations

import argparse
import fnmatch
import json
import multiprocessing
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.fairness.limits import show_limits
from benchmarks.fairness.methods import METHODS
from benchmarks.fairness.run import run_one
from benchmarks.fairness.scenarios import CRITERIA, DATA, SCENARIOS
from benchmarks.fairness.table import show, summary
from benchmarks.machine import describe_machine
from benchmarks.report import keep, make_parser, make_result, parse


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, keep it, and show all."""
    options = _options(arguments)
    done = _stored(options.out)
    wanted = [
        (scenario, criterion, method, seed)
        for seed in range(options.first, options.first + options.seeds)
        for scenario in SCENARIOS
        if fnmatch.fnmatch(scenario.name, options.scenarios)
        for criterion in CRITERIA
        if fnmatch.fnmatch(criterion, options.criteria)
        for method in METHODS
        if fnmatch.fnmatch(method, options.methods)
    ]
    missing = [task for task in wanted if (task[0].name, *task[1:]) not in done]
    if missing and not options.report_only:
        if not DATA.is_dir():
            print(f"the data folder {DATA} is not there; set LOSSSEARCH_DATA", file=sys.stderr)
            return 2
        _run(missing, options)
    lines = list(_stored(options.out).values())
    figures, ratios = summary(lines)
    result = make_result("fairness", figures, ratios, describe_machine(torch_threads=1))
    show(figures)
    show_limits(lines)
    keep(result, options.json)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser("fairness", __doc__)
    parser.add_argument("--scenarios", default="*", metavar="GLOB", help="scenarios by name")
    parser.add_argument("--methods", default="*", metavar="GLOB", help="methods by name")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="splits of each scenario")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the first split")
    parser.add_argument("--criteria", default="*", metavar="GLOB", help="gaps by name")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S", help="what a method may take on a split")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="splits worked on at once")
    parser.add_argument("--time-budget", type=float, default=float("inf"), metavar="S", help="start nothing after this")
    parser.add_argument("--out", type=Path, default=Path("benchmark-runs/fairness"), help="where results are kept")
    parser.add_argument("--report-only", action="store_true", help="show what is kept")
    options = parse(parser, arguments)
    if options.quick:
        options.scenarios, options.seeds, options.seconds = "german*", 1, 3.0
        options.out = options.out / "quick"
    return options


def _run(missing: Sequence[Any], options: argparse.Namespace) -> None:
    from rich.progress import Progress

    options.out.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + options.time_budget
    tasks = ((task, options.seconds) for task in missing if time.monotonic() < until)
    context = multiprocessing.get_context("spawn")
    with Progress() as progress, context.Pool(options.jobs) as pool, _lines(options.out).open("a") as file:
        bar = progress.add_task("fairness", total=len(missing))
        for line in map(run_one, tasks) if options.jobs == 1 else pool.imap_unordered(run_one, tasks):
            file.write(json.dumps(line) + "\n")
            file.flush()
            progress.advance(bar)


def _lines(out: Path) -> Path:
    return out / "results.jsonl"


def _stored(out: Path) -> dict[tuple[str, str, str, int], dict[str, Any]]:
    if not _lines(out).is_file():
        return {}
    lines = [json.loads(text) for text in _lines(out).read_text().splitlines() if text.strip()]
    return {(line["scenario"], line["criterion"], line["method"], line["seed"]): line for line in lines}


if __name__ == "__main__":
    sys.exit(main())
