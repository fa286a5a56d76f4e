"""The example of a loop of one's own, with a loss that remembers each row."""

from __future__ import annotations

import runpy
from pathlib import Path

import torch

import losssearch as ls

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "own_loop" / "plain.py"


def test_a_plain_loop_learns_more_with_a_loss_that_remembers_rows() -> None:
    example = runpy.run_path(str(EXAMPLE))
    features, labels, _ = example["noisy_rows"]()
    clean, _, truth = example["noisy_rows"](seed=1)
    right = {}
    for term in ("cross_entropy", "early_learning"):
        loss = ls.compose({"parts": [{"term": term}]}, classes=4, rows=len(labels))
        with torch.random.fork_rng():
            model = example["train"](loss, features, labels, epochs=20)
        right[term] = float((model(clean).argmax(1) == truth).float().mean())
    assert right["early_learning"] > right["cross_entropy"] + 0.05
