"""Certificates where rows come in clusters: as wide as so many clusters, not rows, allow."""

from __future__ import annotations

import pytest
import torch

from losssearch.evaluation.fairness import certificate, parse_constraint


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("demographic_parity_difference", "binary"),
        ("equal_opportunity_difference", "binary"),
        ("mean_prediction_difference", "regression"),
    ],
)
def test_rows_of_a_cluster_are_one_witness(name: str, task: str) -> None:
    generator = torch.Generator().manual_seed(0)
    few = 120
    target = (torch.rand(few, generator=generator) < 0.5).long()
    group = torch.arange(few) % 2
    outputs = torch.randn(few, generator=generator) + 0.4 * group
    if task == "regression":
        target = outputs + torch.randn(few, generator=generator)
    index = torch.arange(few).repeat_interleave(16)
    constraint = parse_constraint(f"{name} <= 0.1", task)
    given = (outputs[index], target[index], group[index], 2)
    single = certificate([constraint], outputs, target, group, 2)[0]
    rows = certificate([constraint], *given)[0]
    whole = certificate([constraint], *given, clusters=index)[0]
    assert whole.value == pytest.approx(single.value) == pytest.approx(rows.value)
    assert whole.bound - whole.value == pytest.approx(single.bound - single.value, rel=0.2)
    assert rows.bound - rows.value < (whole.bound - whole.value) / 3
    alone = certificate([constraint], outputs, target, group, 2, clusters=torch.arange(few))[0]
    assert alone.bound >= single.bound
    assert whole.smallest_limit > 3 * rows.smallest_limit
