"""Shared by the measurements around the benchmark: scenarios in processes with one thread, one file for each.

A file of JSON lines that is there already is not measured again, so a run that was stopped continues.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.quality import scenarios
from benchmarks.quality.scenarios import Scenario, SkippedScenarioError
from benchmarks.quality.unit import Line, write_lines

Measure = Callable[[Scenario, int], list[Line]]
"""What is known of a scenario at one outer split, as lines; to be sent to a process."""


def make_parser(name: str, doc: str | None) -> argparse.ArgumentParser:
    """The options that all have."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.quality.{name}", description=str(doc).splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the files lie")
    parser.add_argument("--scenarios", nargs="+", default=[], metavar="GLOB", help="names or kinds; all if left out")
    parser.add_argument("--repeat", type=int, default=2, metavar="N", help="number of the outer split (default: 2)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes")
    return parser


def sweep(options: argparse.Namespace, measure: Measure) -> int:
    """Measure every scenario that was asked for and has no file, a line printed for each; how many failed."""
    everything = scenarios.read_scenarios()
    names = [s.name for pattern in options.scenarios or ["*"] for s in scenarios.choose(everything, [pattern])]
    options.out.mkdir(parents=True, exist_ok=True)
    left = [n for n in dict.fromkeys(names) if not file_of(options.out, n, options.repeat).is_file()]
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"  # read by the libraries when a worker starts
    with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        failed = 0
        for future in [pool.submit(examine, measure, name, options.repeat, options.out) for name in left]:
            said, sound = future.result()
            failed += not sound
            print(said, flush=True)
    return failed


def file_of(out: Path, name: str, repeat: int) -> Path:
    """Where the lines of a scenario lie."""
    return out / f"{name}-{repeat}.jsonl"


def examine(measure: Measure, name: str, repeat: int, out: Path) -> tuple[str, bool]:
    """Write the file of one scenario; what came of it in a few words, and whether nothing failed."""
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    begun = time.monotonic()
    try:
        lines = measure(next(s for s in scenarios.read_scenarios() if s.name == name), repeat)
    except SkippedScenarioError as reason:
        return f"{name}: skipped: {reason}", True
    except Exception:  # noqa: BLE001  (one scenario's fault must not end the others)
        return f"{name}: failed\n{traceback.format_exc(limit=-4)}", False
    write_lines(file_of(out, name, repeat), lines)
    return f"{time.strftime('%H:%M:%S')} {name}: {len(lines)} lines, {time.monotonic() - begun:.0f} s", True
