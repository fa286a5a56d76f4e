"""The benchmark of a loss's cost: that its contestants compute one loss, and that it runs."""

import json

import pytest
import torch

from benchmarks import loss_overhead
from benchmarks.loss_overhead import CASES, CLASSES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_contestants_compute_one_loss(case):
    torch.manual_seed(0)
    regression = case.task == "regression"
    target = torch.randn(40) if regression else torch.randint(CLASSES, (40,))
    found = {}
    for name, loss in loss_overhead.contestants(case).items():
        output = torch.randn(40, 1 if regression else CLASSES, generator=torch.Generator().manual_seed(1))
        output.requires_grad_()
        value = loss(output, target)
        found[name] = value.detach(), torch.autograd.grad(value, output)[0]
    for name in ("composed", "exported"):
        torch.testing.assert_close(found[name], found["hand_written"])


def test_ratios_are_those_over_the_loss_by_hand(capsys):
    figures, ratios = loss_overhead.run(CASES[:1], [8], blocks=1, steps=1)
    ((name, found),) = figures["cases"].items()
    assert ratios["composed"][name] == found["step_us"]["composed"] / found["step_us"]["hand_written"]
    assert set(ratios) == set(loss_overhead.GOALS)
    assert json.loads(json.dumps(figures)) == figures
    loss_overhead.show({"figures": figures, "ratios": ratios})
    assert "cross_entropy" in capsys.readouterr().out
