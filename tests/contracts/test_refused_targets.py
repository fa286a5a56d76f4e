"""Targets and weights that no loss takes, composed or exported."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from losssearch.errors import SpecError
from losssearch.losses.spec import LossSpec
from tests.contracts.written_losses import (
    BATCH,
    facts_of,
    given,
    modules,
)

BAD: dict[str, tuple[str, Any, str]] = {
    "above one": ("binary", [2.5], "got 2.5"),
    "below zero": ("binary", [-1.0], "got -1"),
    "id below zero": ("binary", [-1], "class id from 0 to 1.*got -1"),
    "id too large": ("binary", [2], "class id from 0 to 1.*got 2"),
    "not a number": ("binary", [torch.nan], "got nan"),
    "no sum of one": ("binary", [[0.9, 0.3]], r"got \[0.9, 0.3\] in row 1"),
    "fraction of a class": ("multiclass", [2.5], "class id from 0 to 3.*got 2.5"),
    "ignored by PyTorch": ("multiclass", [-100], "got -100"),
    "beyond the classes": ("multiclass", [4], "got 4"),
    "class not a number": ("multiclass", [torch.nan], "got nan"),
    "shares below zero": ("multiclass", [[1.5, -0.5, 0.0, 0.0]], r"got \[1.5, -0.5, 0, 0\] in row 1"),
    "shares not a number": ("multiclass", [[torch.nan, 0.0, 0.0, 0.0]], "got .nan, 0, 0, 0."),
}


@pytest.mark.parametrize("case", list(BAD))
@pytest.mark.parametrize("term", ["cross_entropy", "soft_f1", "hinge"])
def test_what_is_neither_labels_nor_probabilities_is_refused(term: str, case: str) -> None:
    task, row, message = BAD[case]
    facts = facts_of(task, LossSpec.from_json({"parts": [{"term": term}]}))
    output, _, _ = given(facts)
    odd = torch.tensor(row)
    target = odd.expand(BATCH, *odd.shape[1:]).clone()
    target[0] = F.one_hot(torch.tensor(0), odd.shape[1]) if odd.dim() == 2 else 0
    for loss, kind in zip(modules(facts), (SpecError, ValueError), strict=True):
        with pytest.raises(kind, match=message):
            loss(output, target)
        compiled = torch.func.vmap(lambda o, t, loss=loss: loss(o, t))(output[None], target[None])
        assert bool(compiled.isnan().all())


@pytest.mark.parametrize("shape", [(BATCH + 1,), (BATCH, 3), (1, BATCH), (BATCH, 4, 1), ()])
def test_targets_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    facts = facts_of("multiclass", LossSpec.from_json({"parts": [{"term": "focal"}]}))
    output, _, _ = given(facts)
    for loss, kind in zip(modules(facts), (SpecError, ValueError), strict=True):
        with pytest.raises(kind, match=r"class ids \[15\] or probabilities \[15, 4\], got"):
            loss(output, torch.zeros(shape))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.ones(BATCH + 1), r"weight must be one number per sample, \[15\], got \[16\]"),
        (torch.full((BATCH,), -1.0), "finite numbers of 0 and above, got -1"),
        (torch.full((BATCH,), torch.nan), "finite numbers of 0 and above, got nan"),
        (torch.full((BATCH,), torch.inf), "finite numbers of 0 and above, got inf"),
    ],
)
def test_other_weights_are_refused(weight: Tensor, message: str) -> None:
    facts = facts_of("regression", LossSpec.from_json({"parts": [{"term": "squared"}]}))
    output, target, _ = given(facts)
    for loss, kind in zip(modules(facts), (SpecError, ValueError), strict=True):
        with pytest.raises(kind, match=message):
            loss(output, target, weight=weight)
