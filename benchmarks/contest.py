"""What a contestant of the speed benchmark is told, and how it is timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.workload import Trial, Workload


class Stopwatch:
    """Takes time and CPU seconds of the part of a contest that counts; start-up is taken apart."""

    def __init__(self, read_cpu: Callable[[], float]) -> None:
        self._read_cpu, self._time = read_cpu, time.perf_counter()
        self.start_seconds = self.seconds = self.cpu_seconds = 0.0
        self.trials = 0

    def start(self) -> None:
        """From here on it counts."""
        self.start_seconds = time.perf_counter() - self._time
        self._cpu, self._time = self._read_cpu(), time.perf_counter()

    def stop(self, trials: int) -> None:
        """This number of trials has been trained since the start."""
        self.seconds = time.perf_counter() - self._time
        self.cpu_seconds = self._read_cpu() - self._cpu
        self.trials = trials


@dataclass(frozen=True)
class Assignment:
    """The trials that a contestant trains, in processes of one thread each."""

    workload: Workload
    trials: Sequence[Trial]
    workers: int
    population: int


Contestant = Callable[[Assignment, Stopwatch], Sequence[float]]
"""Trains all trials; gives the best validation accuracy of each, in order."""
