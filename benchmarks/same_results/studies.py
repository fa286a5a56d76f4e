"""Small studies of every kind of task, demand and trainer, written for the public interface alone."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import losssearch as ls
from losssearch.errors import ConstraintUnmetError, InterruptedStudyError

Options = dict[str, Any]
LEARNED = """
task: binary
max_parts: 2
slots:
  base:
    terms:
      binary_cross_entropy:
      focal:
      ldam: {sharpness: 1.0}
  auxiliary:
    terms:
      soft_f1:
      pairwise_auc:
      generalised_cross_entropy: {q: [0.3, 0.9]}
    weight: [0.05, 5.0]
    weighting: [constant, warm_in, fade_out, uncertainty]
    reductions: {mean: , cvar: [0.3, 0.9]}
"""


def people(rows: int = 900, *, target: str = "hired") -> pd.DataFrame:
    """Rows of two groups, whose label depends on the group; ``goal`` is the same as a number."""
    random = np.random.default_rng(0)
    group = random.integers(0, 2, rows)
    age = random.uniform(18, 80, rows)
    skill = random.normal(size=rows) + (age - 50) / 40
    score = skill + group + 0.7 * random.normal(size=rows)
    frame = pd.DataFrame(
        {
            "skill": skill,
            "proxy": group + 0.5 * random.normal(size=rows),
            "age": age,
            "group": np.where(group == 1, "a", "b"),
            "weight": random.uniform(0.2, 3.0, rows).round(2),
            "unit": random.integers(0, rows // 5, rows),
        }
    )
    wanted = {"hired": (score > 0.5).astype(int), "goal": score, "rank": np.digitize(score, [0.0, 1.0])}
    return frame.assign(**{target: wanted[target]})


def _train(loss: Any, trial: Any) -> None:
    import torch

    generator = torch.Generator().manual_seed(trial.seed)
    rows = torch.randn(120, 4, generator=generator)
    target = (rows[:, :3] + 0.3 * torch.randn(120, 3, generator=generator)).argmax(dim=1)
    weights = torch.zeros(4, 3, requires_grad=True)
    for epoch in range(trial.epochs):
        (slope,) = torch.autograd.grad(loss(rows @ weights, target), weights)
        weights = (weights - 0.5 * slope).detach().requires_grad_()
        trial.report(epoch + 1, float(((rows @ weights).argmax(dim=1) == target).double().mean()))
        if trial.should_stop():
            break


def _space(folder: Path, text: str) -> str:
    path = folder / "space.yaml"
    path.write_text(text)
    return str(path)


def _parquet(folder: Path) -> str:
    path = folder / "people.parquet"
    people(30_000).drop(columns=["weight", "unit", "age"]).to_parquet(path, row_group_size=5_000)
    return str(path)


def _table(*without: str, target: str = "hired", rows: int = 900) -> pd.DataFrame:
    kept = {"age", "group", "weight", "unit"} - set(without)
    return people(rows, target=target).drop(columns=sorted(kept))


FEW: Options = {"trials": 14, "epochs": 4, "confirm_seeds": 2}
STUDIES: dict[str, Callable[[Path], Options]] = {
    "binary": lambda _: {"data": "builtin:breast_cancer", "target": "target", **FEW},
    "multiclass": lambda _: {"data": "builtin:wine", "target": "target", **FEW, "workers": 2},
    "regression": lambda _: {"data": "builtin:diabetes", "target": "target", **FEW},
    "learned weights": lambda folder: {
        "data": _table(), "target": "hired", "space": _space(folder, LEARNED), **FEW,
    },
    "regression learned": lambda folder: {
        "data": _table(target="goal"), "target": "goal", **FEW, "trials": 20, "metric": "mae",
    },
    "constrained": lambda _: {
        "data": _table("group"), "target": "hired", "sensitive": "group", "metric": "accuracy",
        "constraints": "equalized_odds_difference <= 0.2", **FEW,
    },
    "constrained classes": lambda _: {
        "data": _table("group", target="rank"), "target": "rank", "sensitive": "group", "metric": "accuracy",
        "constraints": "demographic_parity_difference <= 0.3", **FEW,
    },
    "constrained regression": lambda _: {
        "data": _table("group", target="goal"), "target": "goal", "sensitive": "group",
        "constraints": "mean_prediction_difference <= 0.6", **FEW,
    },
    "attribute": lambda _: {
        "data": _table("age"), "target": "hired", "sensitive": "age", "metric": "accuracy",
        "constraints": "attribute_correlation <= 0.3", **FEW,
    },
    "attribute regression": lambda _: {
        "data": _table("age", target="goal"), "target": "goal", "sensitive": "age", "metric": "mae",
        "constraints": "attribute_correlation <= 0.3", **FEW,
    },
    "front": lambda _: {
        "data": _table("group"), "target": "hired", "sensitive": "group",
        "objectives": ["accuracy", "demographic_parity_difference"], "trials": 12, "epochs": 4,
    },
    "worst cell": lambda _: {
        "data": _table("group", target="rank"), "target": "rank", "sensitive": "group",
        "metric": "worst_cell(accuracy)", **FEW,
    },
    "trees": lambda _: {"data": "builtin:breast_cancer", "target": "target", "model": "lightgbm", **FEW},
    "constrained trees": lambda _: {
        "data": _table("group"), "target": "hired", "sensitive": "group", "model": "xgboost", "metric": "accuracy",
        "constraints": "demographic_parity_difference <= 0.2", **FEW,
    },
    "function": lambda _: {
        "train": _train, "task": "multiclass", "classes": 3, "metric": "accuracy", "trials": 8, "epochs": 5,
    },
    "streamed": lambda folder: {
        "data": _parquet(folder), "target": "hired", "sensitive": "group", "metric": "accuracy",
        "constraints": "demographic_parity_difference <= 0.3", "data_memory": "2M", "trials": 8, "epochs": 2,
        "confirm_seeds": 2,
    },
    "weights": lambda _: {"data": _table("weight"), "target": "hired", "weight": "weight", **FEW},
    "units": lambda _: {"data": _table("unit"), "target": "hired", "group": "unit", "metric": "log_loss", **FEW},
    "private": lambda _: {
        "data": _table(), "target": "hired", "private_epsilon": 8.0, **FEW, "trials": 6,
    },
}  # fmt: skip
"""Options of `losssearch.search` by the name of the study."""

RESUMED = ("resumed binary", "resumed constrained", "resumed trees")


def run(name: str, folder: Path) -> None:
    """Run the study in ``folder``; one whose name begins with "resumed" is interrupted and resumed."""
    options = {"workers": 0, "mlflow": False, "verbose": 0, **STUDIES[name.removeprefix("resumed ")](folder)}
    options["out"] = folder / "study"
    if name.startswith("resumed "):
        # A shell starts what runs in its background with SIGINT ignored, and then a study leaves the signal alone.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            ls.search(**options, observer=_Enough(5))
        except InterruptedStudyError:
            options["resume"] = True
        else:
            raise RuntimeError(f"{name}: the study ended although it was interrupted")
    with suppress(ConstraintUnmetError):  # its result is written like any other
        ls.search(**options)


class _Enough:
    """An observer that interrupts the study as a person would, after a few trials."""

    def __init__(self, trials: int) -> None:
        self.left = trials

    def trials(self, records: Sequence[Any], best: float | None) -> None:
        self.left -= len(records)
        if self.left <= 0:
            signal.raise_signal(signal.SIGINT)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *given: None


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]))
