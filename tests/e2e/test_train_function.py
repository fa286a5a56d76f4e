"""A search with a user's training function and a user's own term: on Ray as in one process, and as a script."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

TERMS = """
import torch
from losssearch.losses import loss_term
from losssearch.losses.domains import Float

def sharpen(logits: torch.Tensor, power: torch.Tensor) -> torch.Tensor:
    return logits * power

@loss_term(reference="made up for a test", power=Float(0.5, 2.0, default=1.0))
def sharp_cross_entropy(logits: torch.Tensor, labels: torch.Tensor, *, power: torch.Tensor) -> torch.Tensor:
    "Cross-entropy of sharpened scores."
    return torch.nn.functional.cross_entropy(sharpen(logits, power), labels, reduction="none")
"""

SPACE = """
task: multiclass
slots:
  base:
    terms:
      sharp_cross_entropy: {}
"""

FUNCTION = """
import torch
from rows import drawn  # beside this file, where no worker would find it by name

def train(loss, trial):
    rows = drawn(120)
    target = (rows[:, :3] + 0.3 * torch.randn(120, 3)).argmax(dim=1)
    weights = torch.zeros(4, 3, requires_grad=True)
    for epoch in range(trial.epochs):
        (slope,) = torch.autograd.grad(loss(rows @ weights, target), weights)
        weights = (weights - 0.5 * slope).detach().requires_grad_()
        trial.report(epoch + 1, ((rows @ weights).argmax(dim=1) == target).double().mean())
        if trial.should_stop():
            break
"""

ROWS = """
import torch

def drawn(count):
    return torch.randn(count, 4)
"""

PROGRAM = """
import json
import my_terms
import my_function
import ray
import losssearch as ls

def scores(result):
    content = result.to_json()
    rows = [content["best"], *content["baselines"], *([content["searched"]] if content["searched"] else [])]
    return [[row["name"], row["formula"], row["validation"]["values"]] for row in rows], content["trials"]

found = []
for workers in (0, 2):
    if workers:  # one cluster for both searches
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    shared = {"trials": 6, "draws": 1, "epochs": 4, "confirm_seeds": 2, "mlflow": False, "workers": workers, "seed": 3}
    own = ls.search(
        train=my_function.train, metric="accuracy", task="multiclass", classes=3, space="space.yaml",
        resources={"num_cpus": 0.5}, out=f"function-{workers}", **shared,
    )
    data = ls.search(
        "builtin:wine", target="target", model="linear", space="space.yaml", out=f"data-{workers}", **shared
    )
    found.append([scores(own), scores(data)])
assert found[0] == found[1], found
print(json.dumps(found[0]))
"""


def python(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.slow
@pytest.mark.e2e
def test_workers_know_the_function_and_the_terms_and_find_what_one_process_finds(tmp_path: Path) -> None:
    files = {"my_terms.py": TERMS, "my_function.py": FUNCTION, "rows.py": ROWS, "program.py": PROGRAM}
    for name, text in (files | {"space.yaml": SPACE}).items():
        (tmp_path / name).write_text(text)
    done = python(tmp_path, "program.py")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "sharp_cross_entropy" in done.stdout


@pytest.mark.e2e
def test_the_example_runs_and_is_tracked(tmp_path: Path) -> None:
    script = str(ROOT / "examples/train_function.py")
    done = python(tmp_path, script, "--trials", "4", "--epochs", "2", "--out", "discs")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "measured by your function on 5 fresh seeds" in done.stdout
    assert (tmp_path / "discs/mlflow.db").is_file()
    checked = python(tmp_path, "discs/export/loss.py")
    assert checked.returncode == 0, checked.stderr
