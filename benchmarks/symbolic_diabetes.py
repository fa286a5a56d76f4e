"""Formulas bred for diabetes in the protocol of EvoMAL, next to the squared error, with and without early stopping.

    python -m benchmarks.symbolic_diabetes [--quick] [--json FILE]

Clean splits of 265, 88 and 89 rows, targets standardised by the training rows, MLP 64-64, batches of 64, plain gradient
descent at a rate of 0.01 for 10,000 steps. Formulas are bred and chosen on the validation rows, in trainings of 1,000
steps at a rate of 0.1; the best four are trained in full, and validation chooses one. Test mean squared errors: of the
weights after the last step, and of those that were best on validation (early stopping). CPU time of one thread.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any, TypeAlias

from benchmarks.report import Result, print_table, run_command

if TYPE_CHECKING:
    from torch import Tensor

    Losses: TypeAlias = Callable[[Tensor, Tensor], Tensor]

GOALS = {"without_early_stopping": 0.536, "with_early_stopping": 0.474, "search_cpu_s": 100.0}
"""At most; EvoMAL's own loss reaches 0.536 in 914 to 1,368 CPU-seconds."""
MEMBERS, HIDDEN, BATCH, EVERY = 32, 64, 64, 50


def measure(quick: bool) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Test errors of each split, and the means over the goals."""
    runs = [one_split(seed, 2 if quick else 14, 500 if quick else 10_000) for seed in range(1 if quick else 3)]
    means = {name: mean(run[name] for run in runs) for name in GOALS}
    return {"goals": GOALS, "splits": runs}, {name: means[name] / goal for name, goal in GOALS.items()}


def one_split(seed: int, generations: int, steps: int) -> dict[str, Any]:
    """Breed on one split, train the best in full, and the squared error next to them."""
    import torch

    parts = _parts(seed)
    begun = time.process_time()
    best = _bred(parts, seed, generations, max(50, steps // 10))
    last, stopped, scores = _train(parts, _formulas(best), len(best), seed, steps, 0.01)
    seconds = time.process_time() - begun
    squared = _train(parts, lambda output, target: (output - target).square(), 1, seed, steps, 0.01)
    chosen, chosen_stopped = int(scores[0].argmin()), int(scores[1].argmin())
    return {
        "seed": seed,
        "formula": best[chosen],
        "without_early_stopping": float(last[chosen]),
        "with_early_stopping": float(stopped[chosen_stopped]),
        "mse_without": float(squared[0][0]),
        "mse_with": float(squared[1][0]),
        "search_cpu_s": seconds,
        "torch": torch.__version__,
    }


def _parts(seed: int) -> list[tuple[Tensor, Tensor]]:
    """Standardised features and targets of training, validation and test."""
    import numpy as np
    import torch
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))
    rows = np.split(order, [265, 353])
    centre, spread = x[rows[0]].mean(0), x[rows[0]].std(0)
    middle, scale = y[rows[0]].mean(), y[rows[0]].std()
    made = [((x[own] - centre) / spread, (y[own] - middle) / scale) for own in rows]
    return [(torch.tensor(a, dtype=torch.float32), torch.tensor(b, dtype=torch.float32)) for a, b in made]


def _bred(parts: list[tuple[Tensor, Tensor]], seed: int, generations: int, steps: int) -> list[str]:
    """The four formulas of the least validation error after their trainings."""
    import numpy as np

    from losssearch.space import load_space
    from losssearch.study.proposing.evolution import bred

    space, random = load_space("symbolic", "regression"), np.random.default_rng(seed)
    known: dict[str, float] = {}
    keys: set[str] = set()
    specs = list(space.portfolio)
    for _ in range(generations):
        ranked = [{"base.symbolic.tree": text} for text in sorted(known, key=lambda text: known[text])]
        specs += bred(space, ranked, MEMBERS - len(specs), random, keys)
        keys |= {spec.key for spec in specs}
        texts = [str(spec.parts[0].hyperparameters["tree"]) for spec in specs]
        _, _, scores = _train(parts, _formulas(texts), len(texts), seed, steps, 0.1)
        known |= dict(zip(texts, scores[0].nan_to_num(1e9).tolist(), strict=True))
        specs = []
    return sorted(known, key=lambda text: known[text])[:4]


def _formulas(texts: Sequence[str]) -> Losses:
    from losssearch.losses.trees.program import Program
    from losssearch.losses.trees.tree import read

    return Program([read(text) for text in texts], range(len(texts)))


def _train(
    parts: list[tuple[Tensor, Tensor]], losses: Losses, members: int, seed: int, steps: int, rate: float
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Test errors after the last step and at the best on validation, and both validation errors, each [members]."""
    import torch

    source = torch.Generator().manual_seed(seed)
    sizes = [(parts[0][0].shape[1], HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, 1)]
    weights: list[Tensor] = []
    for fan_in, fan_out in sizes:
        for shape in ((fan_in, fan_out), (1, fan_out)):
            start = (torch.rand(shape, generator=source) * 2 - 1) / fan_in**0.5
            weights.append(start.expand(members, *shape).clone().requires_grad_())

    def output(x: Tensor) -> Tensor:
        hidden = x.expand(members, *x.shape)
        for place in range(0, 6, 2):
            hidden = torch.baddbmm(weights[place + 1], hidden, weights[place])
            hidden = hidden.relu() if place < 4 else hidden
        return hidden[..., 0]

    def error(part: int) -> Tensor:
        with torch.no_grad():
            return (output(parts[part][0]) - parts[part][1]).square().mean(-1)

    best, at_best = torch.full((members,), torch.inf), torch.full((members,), torch.inf)
    x, y = parts[0]
    for step in range(steps):
        rows = torch.randint(len(y), (BATCH,), generator=source)
        values = losses(output(x[rows]), y[rows].expand(members, -1)).mean(-1)
        gradients = torch.autograd.grad(values.sum(), weights)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.sub_(gradient, alpha=rate)
        if (step + 1) % EVERY == 0:
            now = error(1)
            better = now < best
            best, at_best = torch.where(better, now, best), torch.where(better, error(2), at_best)
    return error(2), at_best, (error(1), best)


def show(result: Result) -> None:
    """Print the result as a table."""
    runs = result["figures"]["splits"]
    names = ("without_early_stopping", "mse_without", "with_early_stopping", "mse_with", "search_cpu_s")
    rows = [[f"split {run['seed']}", *(f"{run[name]:.3f}" for name in names)] for run in runs]
    if len(runs) > 1:
        spread = {name: stdev(run[name] for run in runs) / len(runs) ** 0.5 for name in names}
        rows.append(["mean", *(f"{mean(run[name] for run in runs):.3f} ± {spread[name]:.3f}" for name in names)])
    rows.append(["goal, at most", *(f"{GOALS[name]:g}" if name in GOALS else "" for name in names)])
    headings = ("", "formula, last step", "mse, last step", "formula, stopped", "mse, stopped", "CPU-s")
    print_table("diabetes, test mean squared error", headings, rows, [run["formula"] for run in runs])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command("symbolic_diabetes", __doc__, measure, show, arguments)


if __name__ == "__main__":
    sys.exit(main())
