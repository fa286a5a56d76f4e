"""How long a user waits: for help, for the import, and for the first trained trial.

    python -m benchmarks.start [--quick] [--json FILE]

Every figure is the median of several fresh processes on a warm disk, in seconds and in CPU seconds. The first trial
counts when the study's store says that it ended. ``docs/performance-benchmarks.md`` tells more.
"""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.report import Result, print_table, run_command

GOALS = {"help": 0.3, "import": 0.2, "first_trial": 5.0, "first_trial_mlflow": 5.0}
_PROGRAM = (sys.executable, "-m", "losssearch")
_COMMANDS = {
    "help": (*_PROGRAM, "--help"),
    "import": (sys.executable, "-c", "import losssearch"),
}
_SEARCH = (*_PROGRAM, "search", "builtin:wine", "--target", "target", "--workers", "0", "--silent", "--out")
_LONGEST = 120.0
_ENVIRONMENT = os.environ | {"COLUMNS": "100"}


def measure(quick: bool) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Seconds until each is there, and those over the goals."""
    return run(repeats=5 if quick else 15, trials=2 if quick else 5)


def run(repeats: int, trials: int) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Start every command ``repeats`` times, and every search ``trials`` times, after one that warms the disk."""
    found = {
        name: _figures([_time_command(command) for _ in range(repeats + 1)][1:]) for name, command in _COMMANDS.items()
    }
    bare = _figures([_time_command((sys.executable, "-c", "pass")) for _ in range(repeats + 1)][1:])
    for name, options in (("first_trial", ("--no-mlflow",)), ("first_trial_mlflow", ())):
        found[name] = _figures([_time_first_trial(options) for _ in range(trials + 1)][1:])
    ratios = {name: own["seconds"] / GOALS[name] for name, own in found.items()}
    return {"goals": GOALS, "starts": found, "bare_python": bare}, {"to_goal": ratios}


def _figures(times: Sequence[tuple[float, float]]) -> dict[str, Any]:
    seconds, cpu = zip(*times, strict=True)
    return {"runs": len(times), "seconds": median(seconds), "cpu_seconds": median(cpu), "all_seconds": list(seconds)}


def _time_command(command: Sequence[str]) -> tuple[float, float]:
    begun, used = time.perf_counter(), _children_cpu()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=_ENVIRONMENT)
    return time.perf_counter() - begun, _children_cpu() - used


def _time_first_trial(options: Sequence[str]) -> tuple[float, float]:
    """Seconds from the command to the first trial that was trained, and CPU seconds of the program until then."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "study")
        begun, used = time.perf_counter(), _children_cpu()
        process = subprocess.Popen([*_SEARCH, str(out), *options], stdout=subprocess.DEVNULL, env=_ENVIRONMENT)
        try:
            while not _trained(out / "study.db"):
                if process.poll() is not None or time.perf_counter() - begun > _LONGEST:
                    raise RuntimeError(f"a search must train a trial, this one did not: code {process.returncode}")
                time.sleep(0.01)
            seconds = time.perf_counter() - begun
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        return seconds, _children_cpu() - used


def _trained(store: Path) -> bool:
    if not store.exists():
        return False
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        found = connection.execute("SELECT 1 FROM losssearch_trial WHERE state IN ('completed', 'pruned') LIMIT 1")
        return found.fetchone() is not None
    return False


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def show(result: Result) -> None:
    """Print the result as a table."""
    figures = result["figures"]
    rows = [
        [
            name,
            str(found["runs"]),
            f"{found['seconds']:.3f}",
            f"{found['cpu_seconds']:.3f}",
            f"{figures['goals'][name]:.1f}",
            f"{result['ratios']['to_goal'][name]:.2f}",
        ]
        for name, found in figures["starts"].items()
    ]
    bare = figures["bare_python"]
    notes = [f"of these, {bare['seconds']:.3f} s ({bare['cpu_seconds']:.3f} CPU-s) are Python's own start"]
    print_table("from the command to", ("", "runs", "seconds", "CPU-s", "goal, s", "of goal"), rows, notes)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command("start", __doc__, measure, show, arguments)


if __name__ == "__main__":
    sys.exit(main())
