"""Request on groups, against each other and the kind of task."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from losssearch.assembly.fairness import bound_space, read_fairness
from losssearch.data.groups import SensitiveNumber
from losssearch.errors import InputError
from losssearch.request import Request
from losssearch.space import load_space
from losssearch.tasks import TASKS

GAP = "demographic_parity_difference"


def _read(kind: str = "binary", **options: Any) -> Any:
    return read_fairness(Request(data="x.csv", **options), TASKS[kind])


def test_without_a_sensitive_attribute_nothing_is_demanded() -> None:
    assert not _read().demanded


def test_a_constraint_is_kept_in_one_form() -> None:
    found = _read(sensitive=["sex"], constraints=[f"{GAP}<=0.05"])
    assert found.constraints == (f"{GAP} <= 0.05",)
    assert found.statistics("binary") == ["positive_rate"]


def test_objectives_are_a_metric_and_a_gap_in_any_order() -> None:
    found = _read(sensitive=["sex"], objectives=[GAP, "f1"])
    assert (found.metric, found.front) == ("f1", GAP)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"constraints": [f"{GAP} <= 0.05"]}, "needs sensitive"),
        ({"sensitive_as_feature": True}, "sensitive_as_feature=True needs sensitive"),
        ({"sensitive": ["sex"], "constraints": [f"{GAP} >= 0.05"]}, "must be limited by `<=`"),
        ({"sensitive": ["sex"], "constraints": ["demografic_parity <= 0.05"]}, "did you mean demographic_parity"),
        ({"sensitive": ["sex"], "constraints": [f"{GAP} <= 0.05"], "objectives": [GAP]}, "give one of them"),
        ({"sensitive": ["sex"], "objectives": [GAP, "equalized_odds_difference"]}, "one metric and one gap"),
        ({"sensitive": ["sex"], "objectives": ["acuracy", GAP]}, "did you mean accuracy"),
        ({"sensitive": ["sex"], "objectives": ["f1", GAP], "metric": "mcc"}, "must name one metric"),
        ({"sensitive": ["sex"], "objectives": ["f1", "demographic_parity_ratio"]}, "must be a difference"),
        ({"sensitive": ["sex"], "group_thresholds": True}, "needs constraints"),
        ({"sensitive": ["sex"], "confidence": 0.9}, "confidence says how surely a constraints"),
    ],
)
def test_what_does_not_fit_together_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        _read(**options)
    assert "\n" not in str(caught.value)


AGE = SensitiveNumber("age", np.zeros(2, dtype=np.float32), 40.0, 10.0, 37.0)


@pytest.mark.parametrize(
    ("options", "attribute", "message"),
    [
        ({"constraints": ["attribute_correlation <= 0.1"]}, None, "needs a sensitive attribute that is a number"),
        (
            {"constraints": [f"{GAP} <= 0.1"]},
            AGE,
            r"needs groups, and 'age' is a number: give a cut.*sensitive='age>=37'",
        ),
        ({"objectives": ["f1", GAP]}, AGE, "needs groups"),
        (
            {"constraints": ["attribute_correlation <= 0.1"], "group_thresholds": True},
            AGE,
            "group_thresholds=True needs",
        ),
        ({"constraints": ["attribute_correlation >= 0.1"]}, AGE, "limited by `<=`"),
        ({"constraints": ["attribute_correlation <= 1.5"]}, AGE, r"must lie in \[0, 1\]"),
    ],
)
def test_groups_and_numbers_have_gaps_of_their_own(
    options: dict[str, Any], attribute: SensitiveNumber | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_fairness(Request(data="x.csv", sensitive=["age"], **options), TASKS["binary"], attribute)


@pytest.mark.parametrize("kind", sorted(kind for kind, task in TASKS.items() if not (task.shared or task.by_size)))
def test_a_correlation_is_a_constraint(kind: str) -> None:
    options = Request(data="x.csv", sensitive=["age"], constraints=["attribute_correlation <= 0.1"])
    fairness = read_fairness(options, TASKS[kind], AGE)
    assert fairness.demanded
    space = load_space(f"{kind}_attribute", kind, grouped=True)
    assert bound_space(space, fairness, TASKS[kind]) == space


@pytest.mark.parametrize(("constraint", "limit"), [(f"{GAP} <= 0.05", 0.05), ("demographic_parity_ratio >= 0.8", 0.2)])
def test_the_space_aims_at_the_limit_of_the_constraint(constraint: str, limit: float) -> None:
    fairness = _read(sensitive=["sex"], constraints=[constraint])
    space = bound_space(load_space("binary_fair", "binary", grouped=True), fairness, TASKS["binary"])
    for spec in space.portfolio:
        for part in spec.parts:
            if part.name == "group_disparity":
                assert part.hyperparameters["statistic"] == "positive_rate"
                assert part.hyperparameters["limit"] == pytest.approx(limit)
