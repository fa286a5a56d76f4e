"""The roofline benchmark: what it counts, and that it runs."""

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import roofline
from benchmarks.roofline import Shape

TINY = Shape("tiny", features=6, outputs=3, batch=8)


@pytest.fixture(scope="module")
def found():
    return roofline.run(["cpu"], [TINY], members=2, steps=2, rounds=1, size=32)


def test_products_are_counted_as_pytorch_counts_them():
    """Oracle: torch.utils.flop_counter on a plain model, whose first layer needs no gradient of its input."""
    model = torch.nn.Sequential(
        torch.nn.Linear(6, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 3)
    )
    with FlopCounterMode(display=False) as counter:
        model(torch.randn(8, 6)).sum().backward()
    biases = 2 * 8 * (64 + 64 + 3)
    ours = TINY.step_flops()
    assert ours["forward"] + ours["backward"] - biases == counter.get_total_flops()
    assert TINY.parameters == sum(parameter.numel() for parameter in model.parameters())


def test_share_is_that_of_the_product(found):
    figures, ratios = found
    (run,) = figures["runs"].values()
    total = sum(run["flops"].values())
    assert run["trainer_gflops"] == pytest.approx(total / run["step_ms"] / 1e6)
    assert ratios["of_product"] == {"tiny, cpu": run["trainer_gflops"] / run["product_gflops"]}
    assert ratios["of_quick_product"] == {"tiny, cpu": run["trainer_gflops"] / run["quick_product_gflops"]}
    assert json.loads(json.dumps(figures)) == figures


def test_table_shows_the_device(found, capsys):
    roofline.show({"figures": found[0], "ratios": found[1]})
    assert "one CPU thread" in capsys.readouterr().out
