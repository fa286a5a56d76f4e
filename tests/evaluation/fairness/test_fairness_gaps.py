"""What every gap of the registry promises, and that its value is fairlearn's where that has one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import fairlearn.metrics as fairlearn
import pytest
import sklearn.metrics as sk
import torch

from losssearch.errors import OptionError
from losssearch.evaluation import get_metric, members
from losssearch.evaluation.fairness import GAPS, Constraint, bound, gaps_for, get_gap, value
from losssearch.tasks import LOGIT

CASES = [(task, name) for task in ("binary", "multiclass", "regression") for name in gaps_for(task)]
Make = Callable[..., Any]


def _limited(task: str, name: str) -> Constraint:
    gap = get_gap(name, task)
    return Constraint(name, gap.operator, 0.5, task, gap)


def _worse(constraint: Constraint, a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether ``a`` is nowhere better than ``b``."""
    slack = 1e-9
    return bool((a >= b - slack).all() if constraint.op == "<=" else (a <= b + slack).all())


@pytest.mark.parametrize(("task", "name"), CASES)
def test_groups_may_be_named_in_any_order(task: str, name: str, grouped: Make) -> None:
    data, constraint = grouped(task), _limited(task, name)
    order = torch.tensor([2, 0, 1])
    for judge in (value, bound):
        plain = judge(constraint, data.outputs, data.target, data.group, 3)
        torch.testing.assert_close(judge(constraint, data.outputs, data.target, order[data.group], 3), plain)


@pytest.mark.parametrize(("task", "name"), CASES)
def test_a_bound_is_never_better_than_the_gap_and_meets_it_at_zero(task: str, name: str, grouped: Make) -> None:
    data, constraint = grouped(task), _limited(task, name)
    arguments = (constraint, data.outputs, data.target, data.group, 3)
    seen = value(*arguments)
    assert seen.shape == (3,)
    torch.testing.assert_close(bound(*arguments, z=0.0), seen)
    one, two = bound(*arguments, z=1.0), bound(*arguments, z=2.0)
    assert _worse(constraint, one, seen)
    assert _worse(constraint, two, one)
    assert not torch.equal(one, seen)


@pytest.mark.parametrize(("task", "name"), CASES)
def test_a_population_equals_its_members_and_skips_broken_ones(
    task: str, name: str, grouped: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, constraint = grouped(task), _limited(task, name)
    data.outputs[1, 4] = math.nan
    monkeypatch.setattr(members, "CHUNK", 2 * data.outputs[0].numel())
    for judge in (value, bound):
        whole = judge(constraint, data.outputs, data.target, data.group, 3)
        assert whole[1].isnan()
        for k in (0, 2):
            alone = judge(constraint, data.outputs[k], data.target[0], data.group[0], 3)
            torch.testing.assert_close(alone, whole[k])


@pytest.mark.parametrize(("task", "name"), CASES)
def test_a_group_without_rows_is_left_out(task: str, name: str, grouped: Make) -> None:
    data, constraint = grouped(task), _limited(task, name)
    for judge in (value, bound):
        seen = judge(constraint, data.outputs, data.target, data.group, 3)
        torch.testing.assert_close(judge(constraint, data.outputs, data.target, data.group, 5), seen)


@pytest.mark.parametrize(("task", "name"), [case for case in CASES if not case[1].startswith(("worst", "bounded"))])
def test_groups_that_are_drawn_by_lot_show_no_gap(task: str, name: str, grouped: Make) -> None:
    data, constraint = grouped(task, rows=60_000), _limited(task, name)
    lot = torch.randint(3, data.group.shape, generator=torch.Generator().manual_seed(1))
    seen = value(constraint, data.outputs, data.target, lot, 3)
    none = 1.0 if constraint.gap.compare == "ratio" else 0.0
    torch.testing.assert_close(seen, torch.full_like(seen, none), atol=0.06, rtol=0)


@pytest.mark.parametrize("name", [gap.name for gap in GAPS if gap.fits("binary", LOGIT) and gap.fairlearn])
def test_a_binary_gap_is_that_of_fairlearn(name: str, grouped: Make) -> None:
    data, gap = grouped("binary"), get_gap(name, "binary")
    seen = value(_limited("binary", name), data.outputs, data.target, data.group, 3)
    oracle = getattr(fairlearn, gap.fairlearn, None)
    for k in range(3):
        decided = (data.outputs[k] > 0).long().numpy()
        truth, group = data.target[0].numpy(), data.group[0].numpy()
        if oracle is None:
            metric = getattr(sk, gap.fairlearn.removesuffix("_difference"))
            frame = fairlearn.MetricFrame(metrics=metric, y_true=truth, y_pred=decided, sensitive_features=group)
            expected = frame.difference(method="between_groups")
        else:
            expected = oracle(truth, decided, sensitive_features=group)
        assert seen[k].item() == pytest.approx(expected, abs=1e-12)


def _frame(metric: Callable[..., float], data: Any, k: int, decided: torch.Tensor) -> Any:
    truth, group = data.target[0].numpy(), data.group[0].numpy()
    return fairlearn.MetricFrame(metrics=metric, y_true=truth, y_pred=decided.numpy(), sensitive_features=group)


@pytest.mark.parametrize(
    ("task", "name", "metric"),
    [
        ("regression", "mean_prediction_difference", fairlearn.mean_prediction),
        ("regression", "mae_difference", sk.mean_absolute_error),
        ("regression", "rmse_difference", sk.root_mean_squared_error),
        ("regression", "mean_error_difference", lambda truth, seen: (seen - truth).mean()),
        ("multiclass", "accuracy_difference", sk.accuracy_score),
    ],
)
def test_other_gaps_are_those_of_a_metric_frame(task: str, name: str, metric: Any, grouped: Make) -> None:
    data = grouped(task)
    seen = value(_limited(task, name), data.outputs, data.target, data.group, 3)
    for k in range(3):
        decided = data.outputs[k].argmax(-1) if task == "multiclass" else data.outputs[k]
        assert seen[k].item() == pytest.approx(_frame(metric, data, k, decided).difference(), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("demographic_parity_difference", "demographic_parity_difference"),
        ("equalized_odds_difference", "equalized_odds_difference"),
        ("demographic_parity_ratio", "demographic_parity_ratio"),
    ],
)
def test_a_multiclass_gap_is_the_worst_of_each_class_against_the_rest(name: str, oracle: str, grouped: Make) -> None:
    data = grouped("multiclass")
    seen = value(_limited("multiclass", name), data.outputs, data.target, data.group, 3)
    for k in range(3):
        decided, group = data.outputs[k].argmax(-1), data.group[0].numpy()
        gaps = [
            getattr(fairlearn, oracle)(
                (data.target[0] == c).long().numpy(), (decided == c).long().numpy(), sensitive_features=group
            )
            for c in range(3)
        ]
        assert seen[k].item() == pytest.approx(min(gaps) if "ratio" in name else max(gaps), abs=1e-12)


@pytest.mark.parametrize(("task", "name"), [case for case in CASES if case[1].startswith("worst")])
def test_the_worst_group_is_the_worst_of_the_metric_on_its_rows(task: str, name: str, grouped: Make) -> None:
    data, metric = grouped(task), get_metric(name.removeprefix("worst_group_"), task)
    seen = value(_limited(task, name), data.outputs, data.target, data.group, 3)
    rows = [data.group[0] == g for g in range(3)]
    each = torch.stack([metric(data.outputs[:, of], data.target[:, of]) for of in rows])
    expected = each.amin(0) if metric.direction == "maximize" else each.amax(0)
    torch.testing.assert_close(seen, expected)


def test_equal_loss_bound_is_the_mean_loss_of_the_worst_group(grouped: Make) -> None:
    data = grouped("binary")
    seen = value(_limited("binary", "bounded_group_loss"), data.outputs, data.target, data.group, 3)
    worst = value(_limited("binary", "worst_group_log_loss"), data.outputs, data.target, data.group, 3)
    torch.testing.assert_close(seen, worst)


@pytest.mark.parametrize(
    ("group", "groups", "said"),
    [
        (torch.tensor([0, 1, 2, 3]), 3, r"must lie in \[0, 2\], got 0 to 3"),
        (torch.tensor([0, -1, 1, 1]), 2, "must lie in"),
        (torch.tensor([0, 0, 0, 0]), 1, "at least two"),
        (torch.tensor([0, 1, 1]), 2, "the same 4 rows"),
        (torch.tensor([0.0, 1.0, 1.0, 0.0]), 2, "int64"),
    ],
)
def test_group_ids_that_do_not_fit_are_refused(group: torch.Tensor, groups: int, said: str) -> None:
    constraint = _limited("binary", "demographic_parity_difference")
    with pytest.raises(OptionError, match=said):
        value(constraint, torch.zeros(4), torch.tensor([0, 1, 0, 1]), group, groups)
