"""How hard a loss pulls on each group: known answers."""

from __future__ import annotations

import pytest
import torch

from losssearch.losses.spec import LossSpec
from losssearch.study.fairness.group_pull import group_pull

PLAIN = LossSpec.from_json({"parts": [{"term": "binary_cross_entropy"}]})
GROUP = torch.arange(200) % 2


def disparity(limit: float) -> dict[str, object]:
    return {"term": "group_disparity", "statistic": "positive_rate", "limit": limit, "mechanism": "penalty"}


def test_the_gradient_of_cross_entropy_is_probability_less_label() -> None:
    # |sigmoid(z) - 1|: 0.5 at z = 0, 0.1192 at z = 2, so 1.615 and 0.385 of their mean
    outputs = torch.where(GROUP == 0, 0.0, 2.0)[None]
    (found,) = group_pull(PLAIN, PLAIN, outputs, torch.ones(200, dtype=torch.long), GROUP, ("a", "b"))
    assert found["part"] == "binary_cross_entropy(smoothing=0)"
    assert found["pull"] == pytest.approx({"a": 1.6150, "b": 0.3850}, abs=1e-4)


def test_parts_the_whole_and_the_plain_loss() -> None:
    spec = LossSpec.from_json({"parts": [{"term": "binary_cross_entropy"}, disparity(0.0)]})
    outputs = torch.where(GROUP == 0, -1.0, 1.0).repeat(2, 1)
    found = group_pull(spec, PLAIN, outputs, torch.arange(200) // 2 % 2, GROUP, ("a", "b"))
    assert [row["part"].partition("(")[0] for row in found] == [
        *(part.term.name for part in spec.parts),
        "whole",
        "plain",
    ]
    for row in found:
        assert sum(row["pull"].values()) == pytest.approx(2.0, abs=1e-4)  # groups of equal size


def test_a_penalty_whose_limit_is_kept_is_at_rest() -> None:
    spec = LossSpec.from_json({"parts": [disparity(0.9)]})
    outputs = torch.zeros(1, 200)
    found = group_pull(spec, PLAIN, outputs, torch.arange(200) // 2 % 2, GROUP, ("a", "b", "nobody"))
    assert found[0]["pull"] == {"a": None, "b": None, "nobody": None}
    assert found[1]["part"] == "plain"
    assert found[1]["pull"]["nobody"] is None


def test_regression_reads_predictions() -> None:
    spec = LossSpec.from_json({"parts": [{"term": "squared"}]})
    outputs = torch.where(GROUP == 0, 1.0, 3.0)[None]  # of a target of 0: slopes 2 and 6
    (found,) = group_pull(spec, spec, outputs, torch.zeros(200), GROUP, ("a", "b"))
    assert found["pull"] == pytest.approx({"a": 0.5, "b": 1.5})


def test_several_classes_and_their_prior() -> None:
    spec = LossSpec.from_json({"parts": [{"term": "logit_adjustment"}]})
    plain = LossSpec.from_json({"parts": [{"term": "cross_entropy"}]})
    outputs = torch.randn(2, 200, 3, generator=torch.Generator().manual_seed(1))
    found = group_pull(
        spec,
        plain,
        outputs,
        torch.arange(200) % 3,
        GROUP,
        ("a", "b"),
        facts={"class_prior": torch.tensor([0.5, 0.3, 0.2])},
    )
    assert [row["part"] for row in found][1:] == ["plain"]
    assert all(0.5 < value < 1.5 for row in found for value in row["pull"].values())


def test_a_part_is_looked_at_with_the_scalars_that_it_has_learned() -> None:
    robust = {"term": "general_robust"}
    spec = LossSpec.from_json({"parts": [robust, {"term": "absolute"}]})
    place = next(index for index, part in enumerate(spec.parts) if part.name == "general_robust")
    outputs = torch.where(GROUP == 0, 0.2, 3.0)[None]
    arguments = (outputs, torch.zeros(200), GROUP, ("a", "b"))
    state = {"shape": -3.0, "log_scale": -2.0}
    found = group_pull(spec, spec, *arguments, learned={f"{place}_{name}": value for name, value in state.items()})
    alone = LossSpec.from_json({"parts": [robust]})
    (expected,) = group_pull(alone, alone, *arguments, learned={f"0_{name}": value for name, value in state.items()})
    (initial,) = group_pull(alone, alone, *arguments)
    assert found[place]["pull"] == pytest.approx(expected["pull"])
    assert found[place]["pull"] != pytest.approx(initial["pull"], rel=0.1)
