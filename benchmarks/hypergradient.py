"""Whether the validation loss finds the best loss where that is known, and what a step costs that it takes part in.

    python -m benchmarks.hypergradient [--draws 5] [--quick] [--json FILE]

Two Gaussians of equal spread, of which one is up to 50 times as frequent, and a linear model: the loss that is best for
balanced accuracy is cross-entropy with the logits shifted by the logarithm of the class prior (`logit_adjustment` with
tau = 1). `auto_balance` starts as cross-entropy and has to find that shift. Its learned shift is regressed on the true
one, over the ratios and the draws. The time is that of a training step of 64 members × 3 replicas, against
cross-entropy alone, the two by turns, in CPU seconds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median

import numpy as np
import torch
from torch import Tensor

from benchmarks.machine import describe_machine
from benchmarks.report import keep, make_parser, make_result, parse, print_table
from losssearch.data.replicas import Replicas
from losssearch.judging.surrogate import surrogate
from losssearch.losses.inputs import STANDARD
from losssearch.losses.population import PopulationLoss
from losssearch.losses.spec import LossSpec, Part
from losssearch.models import build_model
from losssearch.training import Candidate, TrainingPlan, train_population
from losssearch.training.bilevel import Bilevel
from losssearch.training.levels import Levels
from losssearch.training.members import Members

RATIOS = (50.0, 20.0, 5.0, 1.0, 1 / 5, 1 / 20, 1 / 50)
ROWS, FEATURES, APART = 10_000, 4, 1.5
MEMBERS, REPLICAS, BATCH = 64, 3, 128


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables and keep the result."""
    parser = make_parser("hypergradient", __doc__)
    parser.add_argument("--draws", type=int, default=5, metavar="N", help="draws of each ratio (default: 5)")
    options = parse(parser, arguments)
    if options.draws < 1:
        parser.error(f"--draws must be at least 1, got {options.draws}")
    machine = describe_machine(torch_threads=1)
    torch.set_num_threads(1)
    draws, ratios = (1, RATIOS[::3]) if options.quick else (options.draws, RATIOS)
    true, found = [], []
    for ratio in ratios:
        for draw in range(draws):
            true.append(math.log(ratio))
            found.append(learned_shift(ratio, draw))
    slope, r = regression(true, found)
    rows = [
        (f"{ratio:g} : 1", f"{math.log(ratio):+.2f}", f"{np.mean(own):+.2f}", f"{np.std(own):.2f}")
        for ratio, own in zip(ratios, np.reshape(found, (len(ratios), draws)), strict=True)
    ]
    plain, bilevel = step_seconds(steps=40 if options.quick else 200)
    notes = (
        f"slope {slope:.3f}, r {r:.4f} over {len(found)} trainings",
        f"a step of {MEMBERS} × {REPLICAS}: {1e3 * plain:.2f} ms, with the hypergradient {1e3 * bilevel:.2f} ms",
    )
    headings = ("ratio", "log prior", "learned shift", "spread")
    print_table("Learned shift of two Gaussians", headings, rows, notes)
    figures = {"slope": slope, "r": r, "true": true, "found": found, "step_s": plain, "step_bilevel_s": bilevel}
    keep(make_result("hypergradient", figures, {"step": bilevel / plain}, machine), options.json)
    return 0


def learned_shift(ratio: float, draw: int) -> float:
    """The shift of class 1 less that of class 0 at the end of one training."""
    replicas = gaussians(ratio, draw)
    plan = TrainingPlan(epochs=40, batch_size=256, patience=40, weight_decay=0.0)
    (outcome,) = train_population(
        build_model("linear", FEATURES, 2),
        [Candidate(LossSpec((Part("auto_balance"),)), (0.03,))],
        replicas,
        plan,
        _later(),
        objective=surrogate("balanced_accuracy", "multiclass"),
    )
    shift = outcome.learned["0_shift"]
    return float(shift[1] - shift[0])


def gaussians(ratio: float, draw: int) -> Replicas:
    """A replica of rows of two Gaussians; class 1 is ``ratio`` times as frequent as class 0."""
    source = torch.Generator().manual_seed(draw)
    positives = round(ROWS * ratio / (1 + ratio))
    target = (torch.arange(ROWS) < positives).long()[torch.randperm(ROWS, generator=source)]
    means = APART * (target - 0.5)[:, None] * torch.tensor([1.0, 1.0] + [0.0] * (FEATURES - 2))
    features = means + torch.randn(ROWS, FEATURES, generator=source)
    train = {"features": features[None], "target": target[None]}
    prior = torch.bincount(target, minlength=2) / ROWS
    held = {name: value[:, :64] for name, value in train.items()}
    return Replicas(train, held, {"class_prior": prior[None]}, (draw,), classes=2)


def _later() -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Callable[[Tensor], Tensor]]]:
    """A judge to which each epoch is better than the last, so that the end of a training counts."""
    epochs: list[int] = []

    def judge(outputs: Tensor, target: Tensor, tuned: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        epochs.append(len(epochs))
        return torch.full(outputs.shape[:2], float(len(epochs))), lambda other: other

    return judge


def regression(true: Sequence[float], found: Sequence[float]) -> tuple[float, float]:
    """Slope and correlation of what was found against what is true."""
    slope, _ = np.polyfit(true, found, 1)
    return float(slope), float(np.corrcoef(true, found)[0, 1])


def step_seconds(steps: int) -> tuple[float, float]:
    """Median CPU seconds of a round of four steps over four, of cross-entropy and with a hypergradient among them."""
    rows, columns, classes = 40 * BATCH, 32, 10
    source = torch.Generator().manual_seed(0)
    train = {
        "features": torch.randn(REPLICAS, rows, columns, generator=source),
        "target": torch.arange(rows).expand(REPLICAS, -1) % classes,
    }
    prior = torch.full((REPLICAS, classes), 1 / classes)
    replicas = Replicas(train, train, {"class_prior": prior}, tuple(range(REPLICAS)), classes=classes)
    objective = surrogate("balanced_accuracy", "multiclass")
    levels = Levels(replicas, objective, BATCH)
    turns = [turn for turn in levels.turns(2, 8, 3) if turn.upper is not None][:1]
    due, batch = turns[0], {name: value[:, :BATCH] for name, value in train.items()}

    def members(term: str) -> Members:
        return Members(
            build_model("mlp", columns, classes),
            PopulationLoss([LossSpec((Part(term),))] * MEMBERS, sizes=replicas.sizes),
            torch.arange(MEMBERS),
            torch.full((MEMBERS,), 1e-3),
            replicas.seeds,
            weight_decay=1e-4,
            clip=None,
            device=torch.device("cpu"),
            bilevel=Bilevel(objective, replicas.sizes, STANDARD, levels.units),
        )

    both = members("cross_entropy"), members("auto_balance")
    taken = list[float](), list[float]()
    for _ in range(max(2, steps // 4) + 1):
        for own, times in zip(both, taken, strict=True):
            begun = time.process_time()
            for number in range(4):
                turn = due if number == 0 else replace(due, upper=None)
                own.step(batch, replicas.facts, progress=0.5, factor=0.5, seed=number, turn=turn)
            times.append((time.process_time() - begun) / 4)
    plain, bilevel = (median(times[1:]) for times in taken)  # the first records
    return plain, bilevel


if __name__ == "__main__":
    raise SystemExit(main())
