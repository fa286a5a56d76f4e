"""What it costs a population to remember rows: a step of 64 members with early learning against one with cross-entropy.

    python -m benchmarks.row_memory [--quick] [--json FILE]

Three replicas of 4,000 rows of 784 features and ten classes, as of MNIST, the default network, batches of 64. A few
steps of each loss in turn; processor time of one thread.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.machine import describe_machine
from benchmarks.report import keep, make_parser, make_result, parse, print_table

MEMBERS, REPLICAS, ROWS, CLASSES, FEATURES, BATCH = 64, 3, 4000, 10, 784, 64
WARM = 5


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print; always 0."""
    options = parse(make_parser("row_memory", __doc__), given)
    torch.set_num_threads(1)
    rounds = 5 if options.quick else 20
    stepping = {name: _members(name) for name in ("cross_entropy", "early_learning")}
    times: dict[str, list[float]] = {name: [] for name in stepping}
    batches = _batches(WARM + 10)
    facts = {"class_prior": torch.full((REPLICAS, CLASSES), 1 / CLASSES)}
    for turn in range(1 + rounds):
        for name, members in stepping.items():
            begun = time.process_time()
            for place, batch in enumerate(batches if turn == 0 else batches[WARM:]):
                members.step(batch, facts, progress=0.5, factor=1.0, seed=place)
            if turn:
                times[name].append((time.process_time() - begun) / (len(batches) - WARM))
    figures = {f"{name}_ms": 1e3 * statistics.median(own) for name, own in times.items()}
    ratio = statistics.median(
        kept / plain for kept, plain in zip(times["early_learning"], times["cross_entropy"], strict=True)
    )
    rows = [[name, f"{value:.1f}"] for name, value in figures.items()]
    print_table("A step of 64 members in 3 replicas", ("loss", "ms"), [*rows, ["ratio", f"{ratio:.3f}"]])
    result = make_result("row_memory", figures, {"early_learning": ratio}, describe_machine(torch_threads=1))
    keep(result, options.json)
    return 0


def _members(name: str) -> Any:
    from losssearch.data.batch import Sizes
    from losssearch.losses.population import PopulationLoss
    from losssearch.losses.spec import LossSpec
    from losssearch.models import build_model
    from losssearch.training.members import Members

    spec = LossSpec.from_json({"parts": [{"term": name}]})
    loss = PopulationLoss([spec] * MEMBERS, sizes=Sizes(CLASSES, rows=ROWS))
    rates = torch.full((MEMBERS,), 1e-3)
    model = build_model("mlp", FEATURES, CLASSES)
    place, seeds = torch.device("cpu"), list(range(REPLICAS))
    return Members(model, loss, torch.arange(MEMBERS), rates, seeds, weight_decay=0.0, clip=None, device=place)


def _batches(count: int) -> list[dict[str, torch.Tensor]]:
    draw = torch.Generator().manual_seed(0)
    orders = torch.stack([torch.randperm(ROWS, generator=draw) for _ in range(REPLICAS)])
    return [
        {
            "features": torch.randn(REPLICAS, BATCH, FEATURES, generator=draw),
            "target": torch.randint(CLASSES, (REPLICAS, BATCH), generator=draw),
            "index": orders[:, step * BATCH : (step + 1) * BATCH],
        }
        for step in range(count)
    ]


if __name__ == "__main__":
    sys.exit(main())
