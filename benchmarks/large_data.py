"""A table of ten million rows: memory, time and score of a study that trains on all of them, and on a sample.

    python -m benchmarks.large_data [--quick] [--rows N] [--json FILE]

The table is made piece by piece, in a temporary folder: numbers (some missing), whole numbers, a boolean, categories
and a date, and a binary target whose true probability is known, so that the best possible score is too. Both studies
are processes of their own; memory is the most that such a process and all that it started held at once. See
``docs/large-data.md``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe_machine
from benchmarks.report import Result, keep, make_parser, make_result, parse, print_table
from losssearch.errors import LossSearchError

ROWS, QUICK_ROWS = 10_000_000, 500_000
SAMPLE = 300_000
GROUP = 250_000
GOAL_BYTES = 2e9
METRIC = "roc_auc"
_NUMBERS = 6
_SCORED = 400_000


def make_table(path: Path, rows: int) -> float:
    """Write the table; the score of its true probabilities, which no model can beat but by chance."""
    import pyarrow as pa
    from pyarrow import parquet
    from sklearn.metrics import roc_auc_score

    truth, labels = [], []
    writer = None
    for piece, count in enumerate(_pieces(rows)):
        columns, probability, target = _piece(piece, count)
        table = pa.table(columns)
        if writer is None:
            writer = parquet.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=GROUP)
        if sum(map(len, labels)) < _SCORED:
            truth.append(probability)
            labels.append(target)
    assert writer is not None
    writer.close()
    return float(roc_auc_score(np.concatenate(labels), np.concatenate(truth)))


def _pieces(rows: int) -> Iterator[int]:
    for begin in range(0, rows, GROUP):
        yield min(GROUP, rows - begin)


def _piece(seed: int, rows: int) -> tuple[dict[str, Any], NDArray[np.float64], NDArray[np.int8]]:
    import pyarrow as pa

    generator = np.random.default_rng([20_011, seed])
    numbers = generator.normal(size=(rows, _NUMBERS)).astype(np.float32)
    counts = generator.poisson(4, rows)
    flag = generator.random(rows) < 0.3
    shop, town = generator.integers(0, 20, rows), generator.integers(0, 12, rows)
    day = generator.integers(18_262, 20_000, rows)
    effect = np.sin(np.arange(20) * 1.7)[shop] + np.cos(np.arange(12) * 2.3)[town]
    waves = np.sin(3 * numbers[:, 0]) * numbers[:, 1] + np.where(flag, 1.5, -1.0) * np.sin(2 * numbers[:, 2] + shop)
    logit = waves + 0.6 * effect * numbers[:, 3] + 0.3 * (counts - 4) * np.cos(town + numbers[:, 4]) - 2.0
    probability = 1 / (1 + np.exp(-2 * logit))
    target = (generator.random(rows) < probability).astype(np.int8)
    columns: dict[str, Any] = {f"number{index}": numbers[:, index] for index in range(_NUMBERS)}
    columns["number5"] = pa.array(numbers[:, 5], mask=generator.random(rows) < 0.05)
    columns |= {"count": counts, "flag": flag}
    columns["shop"] = pa.DictionaryArray.from_arrays(shop.astype(np.int32), [f"shop {i}" for i in range(20)])
    columns["town"] = pa.array(np.char.add("town ", town.astype(str)))
    columns["day"] = pa.array(day.astype(np.int32)).cast(pa.date32())
    return columns | {"bought": target}, probability, target


def study(path: Path, out: Path, options: Sequence[str], trials: int) -> dict[str, Any]:
    """Run a search in a process of its own; what it took and what it reached."""
    command = (
        *(sys.executable, "-m", "losssearch", "search", str(path), "--target", "bought", "--metric", METRIC),
        *("--trials", str(trials), "--workers", "0", "--no-mlflow", "--json"),
        *("--out", str(out), *options),
    )
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watch = Watch(process.pid)
    output, errors = process.communicate()
    peak = watch.stop()
    if process.returncode:
        raise LossSearchError(f"a study of the benchmark must end with code 0: {errors.strip()[-500:]}")
    result = json.loads(output)
    return {
        "rows": result["data"]["rows"],
        "peak_bytes": peak,
        "seconds": time.perf_counter() - begun,
        "score": result["best"]["test"]["mean"],
        "plain_score": next(b for b in result["baselines"] if b["name"] == "cross_entropy")["test"]["mean"],
        "notes": [note for note in result["data"]["notes"] if " rows are " in note],
    }


class Watch:
    """Follows the resident memory of a process and of all that it starts, ten times a second."""

    def __init__(self, root: int) -> None:
        self._root, self._peak, self._over = root, 0, threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """The most bytes held at once."""
        self._over.set()
        self._thread.join()
        return self._peak

    def _follow(self) -> None:
        while not self._over.wait(0.1):
            # The kernel's own peak of the first process misses nothing between two looks.
            self._peak = max(self._peak, sum(map(resident, tree(self._root))), resident(self._root, "VmHWM"))


def tree(root: int) -> list[int]:
    """A process and its descendants."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it ended meanwhile
                continue
    members = [root]
    for number in members:
        members += [child for child, parent in parents.items() if parent == number]
    return members


def resident(number: int, kind: str = "VmRSS") -> int:
    """Bytes of memory that a process holds, or with ``VmHWM`` has held at its peak; 0 where it is no more."""
    try:
        for line in Path(f"/proc/{number}/status").read_text().splitlines():
            if line.startswith(f"{kind}:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def measure(rows: int, quick: bool) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Figures of both studies, and their ratios."""
    trials = 2
    # Half a million rows fit memory; with a limit they are streamed all the same.
    limits = ("--data-memory", "100M", "--confirm-seeds", "2") if quick else ("--confirm-seeds", "2")
    sample_limits = ("--epochs", "1", "--confirm-seeds", "2") if quick else ("--confirm-seeds", "2")
    base = os.environ.get("TMPDIR") or "/var/tmp"
    with tempfile.TemporaryDirectory(dir=base) as folder:
        path = Path(folder, "table.parquet")
        begun = time.perf_counter()
        best = make_table(path, rows)
        figures: dict[str, Any] = {
            "rows": rows,
            "table": {"bytes": path.stat().st_size, "seconds": time.perf_counter() - begun},
            "best_possible_score": best,
            "goal_bytes": GOAL_BYTES,
        }
        figures["all_rows"] = study(path, Path(folder, "all"), ("--epochs", "1", *limits), trials)
        sample = min(SAMPLE, rows // (10 if quick else 5))
        figures["sample"] = study(path, Path(folder, "sample"), ("--max-rows", str(sample), *sample_limits), trials)
    streamed, sampled = figures["all_rows"], figures["sample"]
    return figures, {
        "peak_to_goal": streamed["peak_bytes"] / GOAL_BYTES,
        "peak_to_sample": streamed["peak_bytes"] / sampled["peak_bytes"],
        "seconds_to_sample": streamed["seconds"] / sampled["seconds"],
        "share_trained_on": streamed["rows"]["train"] / rows,
        "gap_to_best_possible": (best - streamed["score"]) / (best - sampled["score"]),
    }


def show(result: Result) -> None:
    """Print the result as a table."""
    figures, ratios = result["figures"], result["ratios"]
    rows = [
        [
            name,
            f"{found['rows']['train']:,}",
            f"{found['peak_bytes'] / 1e9:.2f}",
            f"{found['seconds']:.0f}",
            f"{found['score']:.4f}",
        ]
        for name, found in (("all rows", figures["all_rows"]), ("a sample", figures["sample"]))
    ]
    table = figures["table"]
    made = f"table: {figures['rows']:,} rows, {table['bytes'] / 1e6:.0f} MB, made in {table['seconds']:.0f} s"
    best = f"{METRIC} of the true probabilities {figures['best_possible_score']:.4f}; distance to it"
    notes = [
        f"{made}; peak {ratios['peak_to_goal']:.2f} of the goal of {figures['goal_bytes'] / 1e9:.0f} GB",
        f"{best} {ratios['gap_to_best_possible']:.2f} of the sample's",
        *figures["all_rows"]["notes"],
    ]
    headings = ("trained on", "training rows", "peak GB", "seconds", METRIC)
    print_table("a study of a large table", headings, rows, notes)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = make_parser("large_data", __doc__)
    parser.add_argument("--rows", type=int, help=f"rows of the table, {ROWS:,} by default")
    options = parse(parser, arguments)
    rows = options.rows or (QUICK_ROWS if options.quick else ROWS)
    if rows < 100_000:
        parser.error(f"--rows must be at least 100,000, got {rows}")
    machine = describe_machine(torch_threads=1)
    try:
        figures, ratios = measure(rows, options.quick)
    except LossSearchError as error:
        parser.error(str(error))
    result = make_result("large_data", figures, ratios, machine)
    show(result)
    keep(result, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
