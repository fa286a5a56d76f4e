"""Spaces whose ranges name the study's constraint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from losssearch.errors import SpaceError, SpecError
from losssearch.losses.domains import Choice, Float
from losssearch.space import RandomTrial, bind, check_space, load_space

FAIR = ("binary_fair", "multiclass_fair", "regression_fair")
STATISTICS = {"binary_fair": "equalized_odds", "multiclass_fair": "precision", "regression_fair": "mean_error"}


@pytest.mark.parametrize("name", FAIR)
def test_one_constraint_fixes_what_names_it(name: str) -> None:
    space = load_space(name)
    bound = bind(space, [{"statistic": STATISTICS[name], "limit": 0.08}])
    assert space.constrained
    assert not bound.constrained
    assert bound.hash != space.hash
    random = np.random.default_rng(0)
    for spec in [*bound.portfolio, *(bound.sample(RandomTrial(random)) for _ in range(50))]:
        (part,) = [part for part in spec.parts if part.term.family == "disparity"]
        assert part.hyperparameters["statistic"] == STATISTICS[name]
        assert 0 <= part.hyperparameters["limit"] <= 0.08
        assert bound.spec(bound.encode(spec) or {}) == spec
    assert all(part.hyperparameters.get("limit", 0.08) == 0.08 for spec in bound.portfolio for part in spec.parts)


def test_two_constraints_have_a_part_each() -> None:
    constraints = [{"statistic": "positive_rate", "limit": 0.05}, {"statistic": "accuracy", "limit": 0.02}]
    bound = bind(load_space("binary_fair"), constraints)
    assert [slot.name for slot in bound.slots] == ["base", "fairness", "fairness_2"]
    assert bound.max_parts == 3
    random = np.random.default_rng(0)
    for spec in [*bound.portfolio, *(bound.sample(RandomTrial(random)) for _ in range(50))]:
        found = {p.hyperparameters["statistic"]: p for p in spec.parts if p.term.family == "disparity"}
        assert set(found) == {"positive_rate", "accuracy"}
        assert found["accuracy"].hyperparameters["limit"] <= 0.02
        assert bound.spec(bound.encode(spec) or {}) == spec


def test_what_a_constraint_gives_beside_is_fixed_too() -> None:
    bound = bind(load_space("binary_fair"), [{"statistic": "positive_rate", "limit": 0.2, "violation": "ratio"}])
    ranges = bound.slots[1].terms["group_disparity"]
    assert ranges["violation"] == Choice("ratio", default="ratio")
    assert ranges["limit"] == Float(0.0, 0.2, default=0.2)
    assert {
        p.hyperparameters["violation"] for s in bound.portfolio for p in s.parts if p.term.family == "disparity"
    } == {"ratio"}


def test_a_space_without_constraint_stays_as_it_is() -> None:
    space = load_space("binary")
    assert bind(space, [{"statistic": "positive_rate", "limit": 0.05}]) is space


def test_a_value_that_is_missing_or_out_of_range_is_named() -> None:
    with pytest.raises(SpaceError, match="space binary_fair needs a constraint with limit"):
        bind(load_space("binary_fair"), [{"statistic": "positive_rate"}])
    with pytest.raises(SpecError, match=r"group_disparity\.statistic must be one of"):
        bind(load_space("binary_fair"), [{"statistic": "mean_error", "limit": 0.1}])


@pytest.mark.parametrize("name", FAIR)
def test_fairness_terms_need_a_sensitive_attribute(name: str) -> None:
    task = name.removesuffix("_fair")
    with pytest.raises(SpaceError, match="need a sensitive attribute, and the study names none"):
        load_space(name, task)
    assert load_space(name, task, grouped=True).name == name
    assert load_space(task, task).name == task


def test_required_is_true_or_false(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "# Why?\ntask: binary\nslots:\n  base: {terms: {focal: }}\n  second: {required: 3, terms: {soft_f1: }}\n"
    )
    assert check_space(file) == [f"{file}:5: required is true or false, got 3"]
