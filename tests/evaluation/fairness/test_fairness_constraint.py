"""Constraints as a user writes them, and what is said of those that make no sense."""

from __future__ import annotations

import pickle

import pytest
import torch

from losssearch.errors import OptionError, UnknownNameError
from losssearch.evaluation.fairness import GAPS, gaps_for, get_gap, parse_constraint, parse_constraints


@pytest.mark.parametrize("text", ["{} <= 0.05", "{}<=0.05", "  {}  <=5e-2 ", "{} ≤ .05"])
def test_spaces_and_number_formats_do_not_matter(text: str) -> None:
    constraint = parse_constraint(text.format("demographic_parity_difference"), "binary")
    assert (constraint.name, constraint.op, constraint.limit) == ("demographic_parity_difference", "<=", 0.05)
    assert str(constraint) == "demographic_parity_difference <= 0.05"
    assert parse_constraint(str(constraint), "binary") == constraint


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_gap_of_a_task_can_be_limited_in_its_direction_alone(task: str) -> None:
    for name in gaps_for(task):
        gap = get_gap(name, task)
        wrong = {"<=": ">=", ">=": "<="}[gap.operator]
        constraint = parse_constraint(f"{name} {gap.operator} 0.5", task)
        assert constraint.name == name
        assert pickle.loads(pickle.dumps(constraint)) == constraint
        with pytest.raises(OptionError, match=f"limited by `{gap.operator}`"):
            parse_constraint(f"{name} {wrong} 0.5", task)


@pytest.mark.parametrize("gap", GAPS, ids=lambda gap: f"{gap.name}-{'-'.join(sorted(gap.tasks))}")
def test_every_record_states_its_facts(gap: object) -> None:
    record = vars(gap)
    assert record["statistic"]
    assert record["cells"]
    assert record["reference"]
    assert sum(record[name] is not None for name in ("shares", "values", "quality", "metric")) == 1
    assert record["low"] < record["high"]


def test_a_metric_of_the_worst_group_takes_the_metrics_numbers_and_direction() -> None:
    constraint = parse_constraint("worst_group_cost(fp=1,fn=5) <= 0.9", "binary")
    assert constraint.name == "worst_group_cost(fp=1,fn=5)"
    assert parse_constraint("worst_group_rmse <= 12", "regression").gap.operator == "<="
    assert parse_constraint("worst_group_mcc >= -0.2", "binary").limit == -0.2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("demographic_parity_difference", "GAP <= LIMIT"),
        ("<= 0.05", "GAP <= LIMIT"),
        ("", "GAP <= LIMIT"),
        ("demographic_parity_difference < 0.05", "limited by `<=`"),
        ("demographic_parity_difference == 0.05", "limited by `<=`"),
        ("demographic_parity_difference <= five", "must be a number"),
        ("demographic_parity_difference <= nan", r"must lie in \[0, 1\], got nan"),
        ("demographic_parity_difference <= -0.1", r"must lie in \[0, 1\]"),
        ("demographic_parity_difference <= 5", r"must lie in \[0, 1\], got 5"),
        ("demographic_parity_ratio <= 0.8", "a ratio must be limited by `>=`"),
        ("bounded_group_loss <= inf", "must lie in"),
        ("mae_difference <= 0.1", "fits regression, not binary"),
        ("worst_group_macro_f1 >= 0.5", "fits multiclass, not binary"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_rule(text: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        parse_constraint(text, "binary")


def test_an_unknown_name_brings_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="demographic_parity_difference"):
        parse_constraint("demografic_parity_diference <= 0.1", "binary")
    with pytest.raises(UnknownNameError, match="accuracy"):
        parse_constraint("worst_group_acuracy >= 0.1", "binary")
    with pytest.raises(UnknownNameError, match="binary"):
        parse_constraint("accuracy_difference <= 0.1", "binery")


def test_several_constraints_hold_at_once_but_none_twice() -> None:
    two = parse_constraints(["accuracy_difference <= 0.1", "demographic_parity_ratio >= 0.8"], "binary")
    assert [constraint.op for constraint in two] == ["<=", ">="]
    with pytest.raises(OptionError, match="two for accuracy_difference"):
        parse_constraints(["accuracy_difference <= 0.1", "accuracy_difference<=0.2"], "binary")


def test_excess_is_in_units_of_the_limit() -> None:
    below = parse_constraint("accuracy_difference <= 0.1", "binary")
    above = parse_constraint("demographic_parity_ratio >= 0.8", "binary")
    torch.testing.assert_close(below.excess(torch.tensor([0.05, 0.1, 0.2])), torch.tensor([-0.5, 0.0, 1.0]))
    torch.testing.assert_close(above.excess(torch.tensor([0.8, 0.4])), torch.tensor([0.0, 0.5]))
    assert below.met(0.1)
    assert not below.met(0.11)
    assert not below.met(float("nan"))
