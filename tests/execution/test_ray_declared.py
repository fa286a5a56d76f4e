"""What a program declares itself, as a notebook does, reaches Ray workers that cannot import it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

DECLARED = '''
import torch
import losssearch as ls

def grown(value, *, floor, share, seen):
    return seen + 1

@ls.weighting(formula="max({floor}, s) {part}", affine=True, floor=ls.Float(0.0, 1.0, default=0.1),
              share=ls.State((), 1.0), seen=ls.State((), 0.0, "update", grown))
def lifted(value, *, floor, share, seen):
    """A learned weight that never falls below a floor."""
    return torch.maximum(share, floor) * value

@ls.balance(formula="spread({part})", by=ls.Float(0.1, 2.0, default=1.0))
def spread(values, *, by):
    """The root of the sum of squares."""
    return values.square().sum().sqrt() * by

@ls.reduction(formula="root {part}", power=ls.Float(0.5, 2.0, default=1.0))
def root(losses, sample_weight, *, power):
    """A mean of powers."""
    return losses.clamp(min=1e-6).pow(power).mean()
'''

SPACE = """# Which?
task: binary
max_parts: 2
balances: [sum, spread]
slots:
  base:
    reductions: {mean: , root: [0.5, 1.5]}
    terms: {focal: , binary_cross_entropy: }
  more:
    required: true
    weighting: [lifted]
    terms: {soft_f1: , poly1: }
"""

SEARCH = """
for workers in (0, 1):
    ls.search("builtin:breast_cancer", target="target", space="space.yaml", trials=8, epochs=1, draws=1, rates=(0.01,),
              confirm_seeds=2, mlflow=False, verbose=0, workers=workers, out=f"by-{workers}")
"""


@pytest.mark.nightly
@pytest.mark.parametrize("where", ["main", "beside"])
def test_weightings_balances_and_reductions_are_sent_with_their_code(where: str, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(SPACE)
    (tmp_path / "beside.py").write_text(DECLARED)
    declared = DECLARED if where == "main" else "import losssearch as ls\nimport beside\n"
    (tmp_path / "program.py").write_text(f"{declared}\nif __name__ == '__main__':\n" + SEARCH.replace("\n", "\n    "))
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    here, there = ((tmp_path / f"by-{workers}" / "leaderboard.json").read_text() for workers in (0, 1))
    assert here == there
    assert "max(" in here
