"""Losses on purpose: workers and nodes of a cluster, killed at random while a study trains on them."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from losssearch.execution.ray import RayExecutor


class Chaos:
    """Kills workers with SIGKILL, and one node, at random moments while `on` an executor of a cluster of this machine.

    ``killed`` counts what it did.
    """

    def __init__(self, cluster: Any, *, seed: int, workers: int, pause: float) -> None:
        self._cluster, self._random = cluster, random.Random(seed)
        self._workers, self._pause = workers, pause
        self.killed = {"workers": 0, "nodes": 0}
        self._stop = threading.Event()

    @contextmanager
    def on(self, executor: RayExecutor) -> Iterator[None]:
        """Kill while this context is open."""
        self._executor = executor
        thread = threading.Thread(target=self._run, name="chaos", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        for number in range(self._workers):
            self._stop.wait(self._pause * self._random.uniform(0.5, 1.5))
            if number == self._workers // 2 and not self._stop.is_set():
                self._kill_node()
            self._kill_worker()

    def _kill_node(self) -> None:
        node = self._random.choice(sorted(self._cluster.worker_nodes, key=lambda node: str(node.unique_id)))
        self._cluster.remove_node(node, allow_graceful=False)
        self.killed["nodes"] += 1

    def _kill_worker(self) -> None:
        """Wait for one that has started, where none has."""
        while not self._stop.wait(0.05):
            if numbers := self._executor.processes():
                with suppress(ProcessLookupError):
                    os.kill(self._random.choice(numbers), signal.SIGKILL)
                    self.killed["workers"] += 1
                    return
