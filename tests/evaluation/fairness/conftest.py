"""Small populations of every kind of task, with groups that are treated unequally."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

CLASSES = 3


@dataclass
class Grouped:
    outputs: Tensor
    target: Tensor
    group: Tensor
    groups: int


def make(task: str, members: int = 3, rows: int = 240, groups: int = 3, seed: int = 5) -> Grouped:
    generator = torch.Generator().manual_seed(seed)
    group = torch.randint(groups, (1, rows), generator=generator)
    noise = torch.randn(members, rows, generator=generator)
    if task == "regression":
        target = torch.randn(1, rows, generator=generator) * (1 + group) + group
        return Grouped(target + noise * (1 + 0.3 * group) + 0.4 * group, target, group, groups)
    if task == "binary":
        target = (torch.rand(1, rows, generator=generator) < 0.25 + 0.15 * group).long()
        # rounded, so that there are ties
        return Grouped(((noise + 1.2 * target + 0.3 * group - 0.8) * 8).round() / 8, target, group, groups)
    target = torch.randint(CLASSES, (1, rows), generator=generator)
    signal = torch.nn.functional.one_hot(target, CLASSES) + 0.3 * torch.nn.functional.one_hot(group % CLASSES, CLASSES)
    logits = torch.randn(members, rows, CLASSES, generator=generator) + signal
    return Grouped(logits, target, group, groups)


@pytest.fixture
def grouped() -> Callable[..., Grouped]:
    return make
