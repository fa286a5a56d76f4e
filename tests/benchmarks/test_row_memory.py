"""The step that remembers rows is the step of the product, and what is printed is what was measured."""

from __future__ import annotations

import pytest
import torch

from benchmarks import row_memory


def test_both_losses_are_stepped_and_one_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_memory, "MEMBERS", 2)
    monkeypatch.setattr(row_memory, "FEATURES", 4)
    members = row_memory._members("early_learning")
    (batch,) = row_memory._batches(1)
    facts = {"class_prior": torch.full((row_memory.REPLICAS, row_memory.CLASSES), 1 / row_memory.CLASSES)}
    members.step(batch, facts, progress=0.5, factor=1.0, seed=0)
    (first, second) = members.states.values()
    for replica, rows in enumerate(batch["index"]):
        seen = torch.zeros(row_memory.ROWS, dtype=torch.bool)
        seen[rows] = True
        assert torch.equal(first[replica].any(-1), seen)
    assert torch.equal(first, second)  # two members of one loss
    assert not row_memory._members("cross_entropy").states
