"""The worker process of the Ray executor."""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from losssearch.errors import ModelError
from losssearch.execution.arrays import unpack
from losssearch.execution.errand import Errand
from losssearch.execution.job import job_course
from losssearch.execution.resources import keep_to_share
from losssearch.plugins import load_installed
from losssearch.training import Outcome

KEPT = 2
"""Sets of replicas that a worker holds ready: that of the stage before may still be asked for."""


class Worker:
    """Trains one population after another, on one thread."""

    def __init__(self) -> None:
        import torch

        torch.set_num_threads(1)
        self._held: OrderedDict[tuple[str, bool, str], Any] = OrderedDict()
        self._own: dict[str, tuple[str, Any]] = {}
        self._terms: set[str] = set()

    def ready(self) -> int:
        """This process's number, as a sign that it has started."""
        return os.getpid()

    def run(self, errand: Errand) -> list[Outcome]:
        """Train the population of an errand's job."""
        *_, outcomes = self.stream(errand)
        assert isinstance(outcomes, list)  # noqa: S101  (outcomes come last)
        return outcomes

    def stream(self, errand: Errand) -> Iterator[float | list[Outcome]]:
        """The same, with what `job_course` gives on the way before the outcomes."""
        job = errand.job
        for folder in errand.folders:
            # On this machine, what a user's code imports only when it runs is in the same folder.
            if folder not in sys.path and os.path.isdir(folder):
                sys.path.append(folder)
        load_installed(lambda problem: None)  # the driver has told it
        for plugin in job.imports:
            plugin.load()
        self._enter(errand.terms)
        own = errand.model is not None
        job = replace(job, model=self._loaded(errand.model, "model or training function")) if own else job
        if errand.metric is not None:
            job = replace(job, metric=self._loaded(errand.metric, "metric"))
        if job.rules is None:  # a user's training function keeps house itself
            keep_to_share(job.share, job.device)
        # A user's module may write to its input, so it gets a copy; the built-in ones read the object store itself.
        data = self._replicas(errand.replicas, own, job.device)
        outcomes = yield from job_course(job, data)
        yield outcomes

    def _loaded(self, reference: Any, what: str) -> Any:
        """Something of a user's, loaded once."""
        import ray

        if self._own.get(what, ("", None))[0] != reference.hex():
            try:
                self._own[what] = reference.hex(), ray.get(reference)
            except Exception as error:
                said = " ".join(str(error).split())[-300:]
                raise ModelError(f"a user's {what} must load in a worker, where it raised: {said}") from error
        return self._own[what][1]

    def _enter(self, terms: Sequence[Any]) -> None:
        import ray

        for reference in terms:
            if reference.hex() not in self._terms:
                self._terms.add(reference.hex())
                ray.get(reference).enter()

    def _replicas(self, reference: Any, copy: bool, device: str) -> Any:
        import ray

        key = reference.hex(), copy, device
        if key not in self._held:
            while len(self._held) >= KEPT:
                self._held.popitem(last=False)
            self._held[key] = unpack(ray.get(reference), copy=copy).to(device)
        self._held.move_to_end(key)
        return self._held[key]
