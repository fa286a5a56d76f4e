"""How fast formulas are evaluated and screened, and what screening them before any training costs the best one.

    python -m benchmarks.symbolic_speed [--quick] [--json FILE]

4,096 random trees on 64 rows, values with gradients, all at once and one at a time; random trees through the whole
screening of a study of ``builtin:diabetes``; and the best of 512 random trees trained with and without that screening,
for the same seeds. CPU time of one thread.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.report import Result, print_table, run_command

if TYPE_CHECKING:
    from losssearch.data.replicas import Replicas
    from losssearch.losses.spec import LossSpec

GOALS = {
    "values_per_cpu_s": 15_000.0,
    "times_one_at_a_time": 3.0,
    "screened_per_cpu_s": 500.0,
    "share_never_trained": 0.95,
}
"""At least."""
ROWS = 64


def measure(quick: bool) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Figures of evaluation, screening and rejection, and their ratios over the goals."""
    figures = evaluation(1024 if quick else 4096) | screening(512 if quick else 2048)
    figures |= rejection(*((64, 1, 3) if quick else (512, 3, 20)))
    return {"goals": GOALS, **figures}, {name: figures[name] / goal for name, goal in GOALS.items()}


def random_texts(count: int, seed: int) -> list[str]:
    """Different trees at random."""
    import numpy as np

    from losssearch.losses.trees.variation import random_tree

    random, found = np.random.default_rng(seed), dict[str, None]()
    while len(found) < count:
        found[random_tree(random, 31)] = None
    return list(found)


def evaluation(count: int) -> dict[str, float]:
    """Trees per CPU-second, compiled and evaluated with gradients, and how much slower one at a time is."""
    import torch

    from losssearch.losses.trees.operators import evaluated
    from losssearch.losses.trees.program import Program
    from losssearch.losses.trees.tree import read

    trees = [read(text) for text in random_texts(count, 0)]
    output, target = torch.randn(2, 1, ROWS, generator=torch.Generator().manual_seed(0))
    Program(trees[:64], [0] * 64).with_slopes(output, target)
    begun = time.process_time()
    Program(trees, [0] * count).with_slopes(output, target)
    together = time.process_time() - begun
    begun = time.process_time()
    for tree in trees:
        leaf = output[0].clone().requires_grad_()
        torch.autograd.grad(evaluated(tree, leaf, target[0]).sum(), leaf)
    alone = time.process_time() - begun
    return {"trees": count, "values_per_cpu_s": count / together, "times_one_at_a_time": alone / together}


def screening(count: int) -> dict[str, float]:
    """Random trees screened per CPU-second, and the share of them that would never be trained."""
    specs = _specs(random_texts(count, 1))
    screen = _screen(_replicas())
    screen(specs[:8])
    begun = time.process_time()
    answers = screen(specs)
    seconds = time.process_time() - begun
    trained = len({answer.signature for answer in answers if not answer.reason})
    return {"screened_per_cpu_s": count / seconds, "share_never_trained": 1 - trained / count}


def rejection(count: int, seeds: int, epochs: int) -> dict[str, Any]:
    """The best validation score (a negative root mean square error) of random trees: of all, and of those screened."""
    found: dict[str, list[float]] = {"best_of_all": [], "best_of_screened": []}
    for seed in range(seeds):
        specs = _specs(random_texts(count, 100 + seed))
        replicas = _replicas(seed)
        answers = _screen(replicas)(specs)
        scores = _trained([answer.spec for answer in answers], replicas, epochs)
        kept = [score for score, answer in zip(scores, answers, strict=True) if not answer.reason]
        found["best_of_all"].append(max(scores))
        found["best_of_screened"].append(max(kept, default=float("-inf")))
    return found


def _specs(texts: Sequence[str]) -> list[LossSpec]:
    from losssearch.losses.spec import LossSpec

    return [LossSpec.from_json({"parts": [{"term": "symbolic", "tree": text}]}) for text in texts]


def _replicas(seed: int = 0) -> Replicas:
    from losssearch.data import draws, load, make_replicas, partition

    dataset = load("builtin:diabetes")
    parts = partition(dataset, seed=seed)
    return make_replicas(dataset, draws(dataset, parts.search, seed=seed, count=1, purpose="symbolic"))


def _screen(replicas: Replicas) -> Any:
    from losssearch.models import build_model
    from losssearch.study.proposing.screening import Screen

    return Screen(build_model("mlp", replicas.train["features"].shape[-1], 1), replicas, "rmse", "regression")


def _trained(specs: Sequence[LossSpec], replicas: Replicas, epochs: int) -> list[float]:
    """The best validation score of each loss over three rates and all epochs; worst where training failed."""
    import math

    from losssearch.judging.metric import MetricJudge
    from losssearch.models import build_model
    from losssearch.tasks import get_task
    from losssearch.training import Candidate, TrainingPlan, train_population

    model = build_model("mlp", replicas.train["features"].shape[-1], 1)
    judge = MetricJudge("rmse", "regression", replicas)
    plan = TrainingPlan(epochs=epochs, batch_size=32)
    scores: list[float] = []
    for first in range(0, len(specs), 32):
        candidates = [Candidate(spec, (1e-3, 3e-3, 1e-2)) for spec in specs[first : first + 32]]
        for outcome in train_population(model, candidates, replicas, plan, judge, offer=get_task("regression").offer):
            own = outcome.utilities[0] if outcome.utilities else float("-inf")
            scores.append(own if math.isfinite(own) else float("-inf"))
    return scores


def show(result: Result) -> None:
    """Print the result as a table."""
    figures = result["figures"]
    rows = [[name.replace("_", " "), f"{figures[name]:,.3g}", f"{goal:,.3g}"] for name, goal in GOALS.items()]
    best = zip(figures["best_of_all"], figures["best_of_screened"], strict=True)
    notes = [f"best validation RMSE: of all {-a:.2f}, of those that screening lets through {-b:.2f}" for a, b in best]
    print_table(f"formulas, {ROWS} rows", ("", "found", "goal, at least"), rows, notes)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command("symbolic_speed", __doc__, measure, show, arguments)


if __name__ == "__main__":
    sys.exit(main())
