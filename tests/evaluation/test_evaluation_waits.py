"""How often an evaluation waits for a device, counted on a pretended one: a few times, whatever is judged."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from losssearch.evaluation import Adjustment, evaluate, get_metric, metrics_for
from losssearch.evaluation.worst_cell import EXAMPLES
from tests.pretended import DEVICE, Pretended

CASES = [(task, name) for task in ("binary", "multiclass", "regression") for name in metrics_for(task)]
CASES += [(task, name) for task in ("binary", "multiclass") for name in EXAMPLES]
MOST = 8
"""Whom to judge, twice; who has settled, every eighth step; what cells and ties there are."""


def population(task: str, name: str, members: int, rows: int, classes: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(members)
    spread = torch.logspace(-1, 1, members)[None, :, None]
    if task == "multiclass":
        target = torch.randint(classes, (2, 1, rows), generator=generator)
        noise = torch.randn(2, members, rows, classes, generator=generator)
        outputs = noise * spread[..., None] + torch.nn.functional.one_hot(target, classes)
    elif task == "binary":
        target = (torch.rand(2, 1, rows, generator=generator) < 0.3).long()
        outputs = (torch.randn(2, members, rows, generator=generator) + target - 1) * spread
    else:
        target = (torch.randn(2, 1, rows, generator=generator) * 3 + 5).clamp(min=get_metric(name, task).lowest)
        outputs = target + torch.randn(2, members, rows, generator=generator) + 0.8
    prior = torch.rand(2, 1, classes, generator=generator) + 0.1
    return [outputs, target, prior / prior.sum(-1, keepdim=True)]


def judged(task: str, name: str, given: list[torch.Tensor]) -> tuple[torch.Tensor, Adjustment]:
    outputs, target, prior = given
    tuned = torch.ones((), dtype=torch.bool).to(outputs.device)
    return evaluate(get_metric(name, task), outputs, target, tuned=tuned, facts={"class_prior": prior})


@pytest.mark.parametrize(("task", "name"), CASES)
def test_an_evaluation_waits_a_few_times_and_says_the_same(task: str, name: str) -> None:
    """More members, rows and classes are waited for no longer; oracle of the values: the CPU."""
    counts: list[Counter[str]] = []
    for members, rows, classes in ((2, 60, 3), (5, 1500, 6)):
        given = population(task, name, members, rows, classes)
        values, adjustment = judged(task, name, given)
        with Pretended() as device:
            there = [tensor.to(DEVICE) for tensor in given]
            device.waits.clear()
            found, its = judged(task, name, there)
            counts.append(Counter(device.waits))
            torch.testing.assert_close(found.cpu(), values, rtol=1e-6, atol=1e-9, equal_nan=True)
            torch.testing.assert_close(its.parameter.cpu(), adjustment.parameter, rtol=1e-4, atol=1e-6)
    assert max(sum(count.values()) for count in counts) <= MOST, counts
