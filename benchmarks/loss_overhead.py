"""What a loss costs a training step: a composed and an exported loss against the same loss written by hand.

    python -m benchmarks.loss_overhead [--quick] [--json FILE]

A plain training step of one model (MLP 64-64, fused AdamW, one thread): forward, loss, backward, update. The steps of
the contestants alternate in small blocks, and the ratio is that of the medians of CPU time over many blocks, so that
what else the machine does strikes all alike. ``docs/performance-benchmarks.md`` tells what was found.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.report import Result, print_table, run_command

if TYPE_CHECKING:
    from torch import Tensor

    Loss = Callable[[Tensor, Tensor], Tensor]

GOALS = {"composed": 1.1, "exported": 1.02}
BATCHES = (64, 1024)
FEATURES, CLASSES = 64, 10


@dataclass(frozen=True)
class Case:
    """A spec and the function of `benchmarks.hand_written` that computes the same."""

    name: str
    task: str
    parts: tuple[Mapping[str, Any], ...]


CASES = (
    Case("cross_entropy", "multiclass", ({"term": "cross_entropy"},)),
    Case("focal", "multiclass", ({"term": "focal", "gamma": 2.0, "scale": 0.4},)),
    Case(
        "two_parts",
        "multiclass",
        (
            {"term": "cross_entropy", "weight": 0.7, "scale": 0.9},
            {"term": "soft_f1", "weight": 0.3, "scale": 0.02},
        ),
    ),
    Case("huber", "regression", ({"term": "huber", "delta": 0.7, "scale": 0.5},)),
)


def measure(quick: bool) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Microseconds a step by case and batch, and the ratios over the loss written by hand."""
    return run(CASES, BATCHES, blocks=40 if quick else 200, steps=20)


def run(
    cases: Sequence[Case], batches: Sequence[int], *, blocks: int, steps: int
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Measure each case at each batch size, over ``blocks`` blocks of ``steps`` steps a contestant."""
    figures = {
        f"{case.name}, batches of {batch}": _case(case, batch, blocks, steps) for case in cases for batch in batches
    }
    ratios = {
        kind: {name: found["step_us"][kind] / found["step_us"]["hand_written"] for name, found in figures.items()}
        for kind in GOALS
    }
    return {"goals": GOALS, "cases": figures}, ratios


def _case(case: Case, batch: int, blocks: int, steps: int) -> dict[str, Any]:
    import torch

    losses = contestants(case)
    torch.manual_seed(0)
    features = torch.randn(batch, FEATURES)
    regression = case.task == "regression"
    target = torch.randn(batch) if regression else torch.randint(0, CLASSES, (batch,))
    trainers = {name: _trainer(loss, 1 if regression else CLASSES) for name, loss in losses.items()}
    outputs = torch.randn(batch, 1 if regression else CLASSES)
    values = {name: float(loss(outputs, target)) for name, loss in losses.items()}
    for step in trainers.values():
        _block(step, features, target, 3 * steps)
    times: dict[str, list[float]] = {name: [] for name in trainers}
    for turn in range(blocks):
        order = list(trainers)
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            times[name].append(_block(trainers[name], features, target, steps))
    return {"step_us": {name: 1e6 * median(own) for name, own in times.items()}, "value": values}


def contestants(case: Case) -> dict[str, Loss]:
    """The three ways to the same loss."""
    import torch

    from benchmarks import hand_written
    from losssearch.export.bundle import write_bundle
    from losssearch.losses.compose import compose
    from losssearch.losses.spec import LossSpec

    spec = LossSpec.from_json({"parts": [dict(part) for part in case.parts], "decision": "fixed"})
    prior = None if case.task == "regression" else torch.full((CLASSES,), 1 / CLASSES)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder, "bundle")
        write_bundle(bundle, spec, task=case.task, classes=CLASSES, class_prior=prior)
        names: dict[str, Any] = {"__name__": "exported"}
        exec(compile(Path(bundle, "loss.py").read_text(), "loss.py", "exec"), names)
    composed: Loss = compose(spec, class_prior=prior)
    by_hand: Loss = getattr(hand_written, case.name)
    return {"hand_written": by_hand, "composed": composed, "exported": names["Loss"]()}


def _trainer(loss: Loss, width: int) -> Callable[[Tensor, Tensor], None]:
    import torch
    from torch import nn

    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, width))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step(features: Tensor, target: Tensor) -> None:
        optimiser.zero_grad()
        loss(model(features), target).backward()
        optimiser.step()

    return step


def _block(step: Callable[[Tensor, Tensor], None], features: Tensor, target: Tensor, steps: int) -> float:
    begun = time.process_time()
    for _ in range(steps):
        step(features, target)
    return (time.process_time() - begun) / steps


def show(result: Result) -> None:
    """Print the result as a table."""
    rows = []
    for name, found in result["figures"]["cases"].items():
        times = found["step_us"]
        ratios = [f"{result['ratios'][kind][name]:.3f}" for kind in GOALS]
        rows.append([name, *(f"{times[kind]:,.0f}" for kind in ("hand_written", *GOALS)), *ratios])
    headings = ("", "by hand, µs", "composed, µs", "exported, µs", "composed ×", "exported ×")
    print_table(
        "a training step", headings, rows, [f"goals: at most {limit} × {kind}" for kind, limit in GOALS.items()]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command("loss_overhead", __doc__, measure, show, arguments)


if __name__ == "__main__":
    sys.exit(main())
