"""Compare the results of two checkouts to the last digit.

    python -m benchmarks.same_results --record DIR                  what this tree gives
    python -m benchmarks.same_results --against DIR                 what it gives now, and whether that is the same
    python -m benchmarks.same_results --before CHECKOUT --against DIR

``--before`` records what another checkout gives (with this one's studies), then compares. Every trial, stage and figure
of the result is compared as JSON, without what depends on time, place or version. Exits with 1 where something differs.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from benchmarks.same_results.studies import RESUMED, STUDIES

ROOT = Path(__file__).resolve().parents[2]
UNCOMPARED = frozenset(
    {"timing", "version", "mlflow", "export", "seconds", "created", "cpu_seconds", "report", "$seal"}
    | {"references", "private"}  # the one ends by the clock, the other draws its noise from the operating system
    | {"text", "notes", "unmet"}  # sentences: the figures in them are compared where they stand by themselves
)
"""What depends on time, place or version, by key at any depth."""


def main() -> int:
    """Record, compare, or both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--studies", default="*", help="names, with wildcards, divided by commas")
    given = parser.parse_args()
    wanted = given.studies.split(",")
    names = [n for n in (*STUDIES, *RESUMED) if any(fnmatch(n, pattern.strip()) for pattern in wanted)]
    if given.before:
        for name in names:
            _write(given.against, name, _facts(name, given.before.resolve()))
    differ = 0
    for name in names:
        began = time.monotonic()
        facts = _facts(name, ROOT)
        if given.record:
            _write(given.record, name, facts)
        lines = [] if given.against is None else list(differences(_read(given.against, name), facts))
        differ += bool(lines)
        compared = "recorded" if given.against is None else f"{len(lines)} differences" if lines else "same"
        print(f"{name}: {compared}, {time.monotonic() - began:.0f} s", flush=True)
        for line in lines[:8]:
            print(f"    {line}", flush=True)
    return 1 if differ else 0


def _facts(name: str, checkout: Path) -> Any:
    """Trials, stages and result of the study in a checkout."""
    with tempfile.TemporaryDirectory() as folder:
        # The product of the checkout runs the studies of this tree.
        studies = ROOT / "benchmarks/same_results/studies.py"
        done = subprocess.run(
            [sys.executable, "-P", str(studies), name, folder],
            env=os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{name} failed in {checkout}:\n{done.stderr[-3000:]}")
        with sqlite3.connect(Path(folder) / "study/study.db") as store:
            trials = store.execute(
                "select number, origin, name, key, state, body from losssearch_trial order by number"
            )
            rows = [[*row[:5], json.loads(row[5])] for row in trials]
        result = json.loads((Path(folder) / "study/result.json").read_text())
    return _compared({"trials": rows, "result": result})


def _compared(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _compared(own) for key, own in value.items() if key not in UNCOMPARED}
    return [_compared(own) for own in value] if isinstance(value, list | tuple) else value


def differences(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """Where two JSON values differ, one line each."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(set(before) | set(after)):
            if key not in before or key not in after:
                yield f"{place}.{key}: only {'after' if key in after else 'before'}"
            else:
                yield from differences(before[key], after[key], f"{place}.{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (own, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(own, other, f"{place}[{index}]")
    elif before != after and not (before != before and after != after):
        yield f"{place}: {before!r} -> {after!r}"


def _write(folder: Path, name: str, facts: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name.replace(' ', '-')}.json").write_text(json.dumps(facts, indent=1))


def _read(folder: Path, name: str) -> Any:
    return _compared(json.loads((folder / f"{name.replace(' ', '-')}.json").read_text()))


if __name__ == "__main__":
    sys.exit(main())
