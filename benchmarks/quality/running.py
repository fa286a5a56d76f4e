"""Runs units in processes of one thread each, in rounds over the scenarios, within a time budget; resumes."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from benchmarks.quality.stages import run_unit
from benchmarks.quality.unit import Settings, Unit

Said = Callable[[str], None]
GRACE = 20.0
"""Seconds past the time budget after which what still runs is ended: its finished choices are kept."""


def expected_seconds(settings: Settings) -> float:
    """How long a unit may take before one was seen."""
    searches = 10 if settings.own_budget else 3
    return (searches + 0.5) * settings.budget + 15


def run_units(units: Sequence[Unit], jobs: int, time_budget: float | None, said: Said) -> int:
    """Run what is not done; how many units are left. No unit is begun that would not end within the time budget."""
    begun = time.monotonic()
    waiting = [unit for unit in units if not unit.done()]
    total = len(waiting)
    if not waiting:
        return 0
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"  # read by the libraries when a worker starts
    longest, finished = expected_seconds(waiting[0].settings), 0
    seen: list[float] = []
    running: dict[Future[tuple[str, float]], Unit] = {}
    pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))
    try:
        while waiting or running:
            left = None if time_budget is None else time_budget - (time.monotonic() - begun)
            while waiting and len(running) < jobs and (left is None or left > longest):
                unit = waiting.pop(0)
                running[pool.submit(run_unit, unit)] = unit
            if not running:
                break
            patience = None if left is None else max(0.0, left + GRACE)
            ended, _ = wait(running, timeout=patience, return_when=FIRST_COMPLETED)
            if not ended:
                said(f"{len(running)} units are ended unfinished: the time is over")
                break
            for future in ended:
                unit = running.pop(future)
                try:
                    what, seconds = future.result()
                except BrokenProcessPool as error:
                    said(f"a worker died: {error}")
                    raise
                finished += 1
                seen.append(seconds)
                longest = sorted(seen)[int(0.9 * (len(seen) - 1))] if len(seen) >= jobs else longest
                place = f"{finished} of {total}"
                said(f"{unit.scenario.name} repeat {unit.repeat}: {what}, {seconds:.0f} s ({place})")
    finally:
        _end(pool, unfinished=bool(running))
    return sum(not (unit.done() or unit.skipped()) for unit in units)


def _end(pool: ProcessPoolExecutor, *, unfinished: bool) -> None:
    # Only the pool's own processes are ended, and only where one of them still works.
    workers = list((getattr(pool, "_processes", None) or {}).values()) if unfinished else []
    pool.shutdown(wait=not unfinished, cancel_futures=True)
    for worker in workers:
        worker.terminate()
