"""One method on one split: what is kept of it."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from benchmarks.fairness.front import front, hypervolume
from benchmarks.fairness.kept import LIMITS, answer
from benchmarks.fairness.methods import METHODS
from benchmarks.fairness.scenarios import split_of


def run_one(task: tuple[Any, float]) -> dict[str, Any]:
    """One method on one split; a failure is kept as one, with its reason."""
    import torch

    torch.set_num_threads(1)
    (scenario, criterion, name, seed), seconds = task
    method = METHODS[name]
    line: dict[str, Any] = {"scenario": scenario.name, "criterion": criterion, "method": name, "seed": seed}
    begun, used = time.monotonic(), time.process_time()
    try:
        split = split_of(scenario, seed, aware=method.sees)
        points = method.run(split, criterion, seconds)
        answers = method.answers(split, criterion, LIMITS) if method.answers else None
    except Exception as error:  # noqa: BLE001  (rivals fail in ways of their own; the reason is kept and shown)
        return line | {"error": f"{type(error).__name__}: {error}"[:300]}
    best = front(points)
    if answers is None:
        answers = [answer(points, limit) for limit in LIMITS]
    return line | {
        "sees": method.sees,
        "own": method.own,
        "seconds": time.monotonic() - begun,
        "cpu_seconds": time.process_time() - used,
        "hypervolume": hypervolume([(p.test_accuracy, p.test_gap) for p in best], scenario.box) if best else None,
        "front": [asdict(p) for p in best[:: max(1, len(best) // 40)]],
        "answers": [None if found is None else asdict(found) for found in answers],
    }
