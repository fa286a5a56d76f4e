"""The judges of a study with groups: what they call better, and what else they tell."""

from __future__ import annotations

import torch

from losssearch.data.batch import Groups
from losssearch.data.replicas import Replicas
from losssearch.judging.fair import Demands, fair_judge
from losssearch.training import Detailed

GAP = "demographic_parity_difference"


def _replicas(rows: int = 400) -> tuple[Replicas, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    group = torch.randint(2, (1, rows), generator=generator)
    target = (torch.rand(1, rows, generator=generator) < 0.3 + 0.4 * group).long()
    batch = {"features": torch.zeros(1, rows, 1), "target": target, "group": group}
    prior = {"class_prior": torch.tensor([[0.5, 0.5]])}
    replicas = Replicas(batch, batch, prior, (0,), classes=2, sensitive=Groups(2))
    noise = torch.randn(1, rows, generator=generator)
    unfair = 2.0 * target + 2.0 * group + noise
    fair = 2.0 * target - 1.2 * group + noise
    return replicas, torch.stack((unfair, fair), dim=1)


def test_within_a_limit_the_fair_model_is_better() -> None:
    replicas, outputs = _replicas()
    tuned = torch.tensor([True, True])
    judge = fair_judge("accuracy", "binary", Demands((f"{GAP} <= 0.08",), z=0.0), replicas, lambda values: values)
    utility, adjust = judge(outputs, replicas.validation["target"], tuned)
    assert utility[0, 1] > utility[0, 0]
    assert isinstance(adjust, Detailed)
    decided = (adjust(outputs) > 0).double()[0]
    group = replicas.validation["group"][0]
    gaps = (decided[:, group == 1].mean(1) - decided[:, group == 0].mean(1)).abs()
    torch.testing.assert_close(adjust.details[0, :, 2].double(), gaps, atol=1e-6, rtol=0)
    assert bool((gaps <= 0.08 + 1e-9).all())


def test_a_wider_margin_costs_accuracy() -> None:
    replicas, outputs = _replicas()
    found = [
        fair_judge("accuracy", "binary", Demands((f"{GAP} <= 0.2",), z=z), replicas, lambda values: values)(
            outputs, replicas.validation["target"], torch.tensor([True, True])
        )[0]
        for z in (0.0, 2.0)
    ]
    assert bool((found[1] <= found[0]).all())
    assert bool((found[1] < found[0]).any())


def test_a_front_is_worth_the_mean_over_its_limits() -> None:
    replicas, outputs = _replicas()
    demands = Demands(front=GAP, limits=(0.05, 0.2, 0.6), z=0.0)
    utility, adjust = fair_judge("accuracy", "binary", demands, replicas, lambda values: values)(
        outputs, replicas.validation["target"], torch.tensor([True, True])
    )
    assert isinstance(adjust, Detailed)
    profile = adjust.details[0]
    torch.testing.assert_close(utility[0], profile.mean(-1))
    assert bool((profile.diff(dim=-1) >= 0).all()), "a wider limit never costs"
    assert profile[1, 0] > profile[0, 0]


def test_what_is_not_tuned_is_ranked_by_its_metric() -> None:
    replicas, outputs = _replicas()
    better = outputs[:, :1] + 1.5 * (2 * replicas.validation["target"][:, None] - 1)  # more accurate, and still unfair
    judge = fair_judge("accuracy", "binary", Demands((f"{GAP} <= 0.01",), z=1.0), replicas, lambda values: values)
    utility, adjust = judge(
        torch.cat((outputs[:, :1], better), 1), replicas.validation["target"], torch.tensor([False] * 2)
    )
    assert utility[0, 1] > utility[0, 0]
    assert isinstance(adjust, Detailed)
    assert bool((adjust.details[0, :, 1] > 0).all())
    assert float(utility.max()) < -2, "below whatever keeps the limit"


def test_few_rows_do_not_make_a_constant_decision() -> None:
    replicas, outputs = _replicas(60)
    judge = fair_judge("accuracy", "binary", Demands((f"{GAP} <= 0.05",), z=3.0), replicas, lambda values: values)
    _, adjust = judge(outputs, replicas.validation["target"], torch.tensor([True, True]))
    assert isinstance(adjust, Detailed)
    share = (adjust(outputs) > 0).double().mean(-1)
    assert bool(((share > 0.1) & (share < 0.9)).any())
