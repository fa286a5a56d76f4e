"""Populations for the tests of executors, and what comes of them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from losssearch.execution import Executor, Job
from losssearch.training import Outcome, TrainingPlan

RATES = (3e-3, 3e-2)
SETS = ("search", "confirmation")
SPECS = [
    [{"term": "huber", "weight": {"learned": "uncertainty"}}, {"term": "absolute"}],
    [{"term": "squared"}],
    [{"term": "general_robust", "reduction": {"cvar": 0.8}}],
]


def a_job(number: int, *, model: Any = "mlp", replicas: str = "search", **changes: Any) -> Job:
    """A population of three, which differs from that of another number by its first loss."""
    specs = [{"parts": parts} for parts in ([{"term": "quantile", "quantile": 0.1 * number}], *SPECS)]
    return Job(
        number=number,
        replicas=replicas,
        candidates=tuple((spec, RATES, False) for spec in specs),
        task="regression",
        metric="mae",
        model=model,
        **{"plan": TrainingPlan(epochs=4, batch_size=32, rungs=(2,)), "hold": True, **changes},
    )


JOBS = [a_job(number, replicas=SETS[number % 2]) for number in range(1, 6)]


def gone(pid: int, patience: float = 20.0) -> bool:
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False


def check_equal(found: dict[int, list[Outcome]], expected: dict[int, list[Outcome]]) -> None:
    """To the bit."""
    assert found.keys() == expected.keys()
    for number, outcomes in found.items():
        for outcome, other in zip(outcomes, expected[number], strict=True):
            assert replace(outcome, held={}) == replace(other, held={})
            assert outcome.held.keys() == other.held.keys()
            for name, outputs in outcome.held.items():
                np.testing.assert_array_equal(outputs, other.held[name])


def run(executor: Executor, jobs: list[Job]) -> dict[int, list[Outcome]]:
    return {job.number: outcomes for job, outcomes in executor.run(jobs)}


def killer(folder: Path, deaths: int) -> Callable[[int, int], Any]:
    """A model whose worker is killed with SIGKILL in the middle of its training, the first ``deaths`` times.

    Made inside a function, so that a worker gets its code along with the job.
    """

    def factory(features: int, outputs: int) -> Any:

        from torch import nn

        class Mortal(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layer, self.calls = nn.Linear(features, outputs), 0

            def forward(self, x: Any) -> Any:
                self.calls += 1
                if self.training and self.calls == 20:
                    number = len(list(folder.iterdir()))
                    if number < deaths:
                        (folder / f"death-{number}").touch()
                        os.kill(os.getpid(), signal.SIGKILL)
                return self.layer(x)

        return Mortal()

    return factory
