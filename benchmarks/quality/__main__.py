"""Quality: does the searched loss beat what a good practitioner would have used, on rows that nobody has seen?

    python -m benchmarks.quality [--quick] [--json FILE] [--scenarios GLOB …] [--methods NAME …] [--repeats 5]
        [--budget 60 | --trials N] [--time-budget 30m] [--jobs 4] [--out runs/quality] [--again NAME …] [--report-only]

Scenario by scenario and repeat by repeat, every method chooses its loss on an outer training part within the same
processor time; then all are trained alike and read the outer test part once. Everything is kept in ``--out``: a run
that was stopped continues, ``--again losssearch`` measures a changed product against the rivals as they were, and
``--report-only`` makes the report again. ``docs/quality.md`` tells how it is measured.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine
from benchmarks.report import keep, make_parser, make_result, parse, print_table
from losssearch.errors import LossSearchError, OptionError
from losssearch.request import parse_duration

OUT = Path("runs/quality")
QUICK = ("digits-longtail", "synthetic-laplace")
QUICK_ROWS, QUICK_BUDGET, QUICK_LIMIT = 600, 4.0, 35.0
"""Rows of its scenarios, seconds of each search in a quick run, and of the whole run."""


def arguments() -> argparse.ArgumentParser:
    """The options."""
    parser = make_parser("quality", __doc__)
    parser.add_argument("--scenarios", nargs="+", default=[], metavar="GLOB", help="names or kinds; all by default")
    parser.add_argument("--methods", nargs="+", default=[], metavar="NAME", help="all by default")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="outer splits (default: 5)")
    parser.add_argument("--first-repeat", type=int, default=0, metavar="N", help="number of the first outer split")
    parser.add_argument("--budget", type=float, default=60.0, metavar="SECONDS", help="of each study (default: 60)")
    parser.add_argument("--trials", type=int, metavar="N", help="studies of N trials, however long they take")
    parser.add_argument("--own-budget", action="store_true", help="each known loss is tuned for the whole budget")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds of the final training (default: 3)")
    parser.add_argument("--time-budget", metavar="TIME", help="begin nothing that would not end by then, such as 30m")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), metavar="N", help="processes")
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"where all is kept (default: {OUT})")
    parser.add_argument(
        "--again", nargs="+", default=[], metavar="NAME", help="methods whose results are thrown away first"
    )
    parser.add_argument("--report-only", action="store_true", help="make the report of what is kept, train nothing")
    parser.add_argument("--list", action="store_true", help="show the scenarios and methods")
    return parser


def main(given: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 where all is done, 1 where units are left or failed, 2 for bad usage."""
    parser = arguments()
    options = parse(parser, given)
    try:
        if options.quick:
            with tempfile.TemporaryDirectory() as folder:
                return _run(options, options.out or Path(folder))
        return _run(options, options.out or OUT)
    except LossSearchError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("stopped; the same command continues", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace, folder: Path) -> int:
    from benchmarks.quality.ranks import NOTE, listed
    from benchmarks.quality.report import (
        HEADINGS,
        RIVAL_HEADINGS,
        figures,
        rival_rows,
        scenario_rows,
        table,
        write_report,
    )
    from benchmarks.quality.results import read_results
    from benchmarks.quality.running import run_units
    from benchmarks.quality.scenarios import choose, read_scenarios
    from benchmarks.quality.unit import forget
    from benchmarks.quality.verdicts import RELIABILITY_HEADINGS, reliability_rows

    scenarios = read_scenarios()
    if options.list:
        rows = [[s.name, s.kind, s.data, s.metric] for s in scenarios]
        print_table("Scenarios", ("name", "kind", "data", "metric"), rows)
        return 0
    machine = describe_machine(torch_threads=1)
    left = 0
    if not options.report_only:
        chosen = choose(scenarios, options.scenarios or (QUICK if options.quick else ()))
        units, limit = _units(options, chosen, folder)
        forget(units, options.again)
        left = run_units(units, options.jobs, limit, lambda line: print(time.strftime("%H:%M:%S"), line, flush=True))
    elif not (folder / "units").is_dir():
        raise OptionError(f"--report-only needs results, but {folder} holds none")
    results = read_results(folder, [s.name for s in scenarios])
    found = write_report(results, folder) if results.scenarios else figures(results)
    print("\n".join(table(HEADINGS, scenario_rows(results))))
    print_table(
        "losssearch against",
        RIVAL_HEADINGS,
        rival_rows(found),
        notes=[*(f"Mean ranks ({g}): {listed(r)}" for g, r in found["ranks"].items() if r), NOTE],
    )
    if found["reliability"]:
        print_table("Verdicts on the outer test", RELIABILITY_HEADINGS, reliability_rows(found["reliability"]))
    if left:
        print(f"{left} units are left: the same command continues")
    for line in results.failed:
        print(f"failed: {line['scenario']} repeat {line['repeat']}: {line['reason'].strip().splitlines()[-1]}")
    ratios = {
        rival: (entry["win"] + entry["tie"]) / max(1, entry["win"] + entry["tie"] + entry["loss"])
        for rival, entry in found["against"].items()
    }
    keep(make_result("quality", _plain(found), {"wins_or_ties": ratios}, machine), options.json)
    return 1 if left or results.failed else 0


def _units(options: argparse.Namespace, scenarios: Sequence[Any], folder: Path) -> tuple[list[Any], float | None]:
    """What there is to do, all scenarios of a repeat before the next repeat, and in which time."""
    from benchmarks.quality.families import FAMILIES, methods_for
    from benchmarks.quality.unit import Settings, Unit

    known = {method for task in FAMILIES for method in methods_for(task, fair=True)}
    if unknown := {*options.methods, *options.again} - known:
        raise OptionError(f"methods are {', '.join(sorted(known))}; got {', '.join(sorted(unknown))}")
    if options.jobs < 1 or options.repeats < 1 or options.seeds < 2 or not 0 < options.budget < math.inf:
        raise OptionError("--jobs and --repeats must be at least 1, --seeds at least 2, --budget above 0")
    limit = None if options.time_budget is None else parse_duration(options.time_budget)
    settings, repeats = Settings(options.budget, options.seeds, options.trials, options.own_budget), options.repeats
    if options.quick:
        settings, repeats, limit = Settings(QUICK_BUDGET, 2), 1, QUICK_LIMIT
        scenarios = [replace(scenario, rows=min(scenario.rows, QUICK_ROWS)) for scenario in scenarios]
    (folder / "units").mkdir(parents=True, exist_ok=True)
    note = folder / "settings.json"
    if note.is_file() and (kept := json.loads(note.read_text())) != settings.to_json():
        raise OptionError(f"{folder} holds results of other settings, {kept}: repeat them, or give another --out")
    note.write_text(json.dumps(settings.to_json()) + "\n")
    first = options.first_repeat
    methods = frozenset(options.methods)
    return [
        Unit(scenario, repeat, settings, folder, methods)
        for repeat in range(first, first + repeats)
        for scenario in scenarios
    ], limit


def _plain(value: Any) -> Any:
    """The value with null for what is no number, as JSON has it."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    sys.exit(main())
