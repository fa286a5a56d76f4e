"""A population is judged within its constraints, whatever the metric and the kind of task."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from losssearch.errors import OptionError
from losssearch.evaluation import evaluate, get_metric, metrics_for
from losssearch.evaluation.fairness import (
    bound,
    constrained_utility,
    evaluate_fairly,
    gaps_for,
    get_gap,
    parse_constraint,
    parse_constraints,
    value,
)

Make = Callable[..., Any]
CASES = [(task, name) for task in ("binary", "multiclass", "regression") for name in metrics_for(task)]
LIMITS = {
    "binary": ["demographic_parity_difference <= 0.2", "calibration_difference <= 0.3"],
    "multiclass": ["equalized_odds_difference <= 0.4", "worst_group_accuracy >= 0.3"],
    "regression": ["mae_difference <= 1.5", "mean_prediction_difference <= 3"],
}

LOOSE = {
    "binary": "demographic_parity_difference <= 1",
    "multiclass": "accuracy_difference <= 1",
    "regression": "mae_difference <= 1000",
}


def _judge(task: str, name: str, data: Any, **options: Any) -> Any:
    texts = options.pop("texts", LIMITS[task])
    prior = torch.tensor([0.5, 0.3, 0.2]) if task == "multiclass" else None
    arguments = (data.outputs, data.target, data.group, data.groups)
    constraints = parse_constraints(texts, task)
    options = {"tuned": True, "facts": {"class_prior": prior}, **options}
    return evaluate_fairly(get_metric(name, task), constraints, *arguments, **options)


@pytest.mark.parametrize(("task", "name"), CASES)
def test_values_gaps_and_bounds_are_those_of_the_adjusted_outputs(task: str, name: str, grouped: Make) -> None:
    data, metric = grouped(task), get_metric(name, task)
    found = _judge(task, name, data)
    torch.testing.assert_close(found.values, metric(found.adjustment.apply(data.outputs), data.target))
    excess = []
    for place, constraint in enumerate(parse_constraints(LIMITS[task], task)):
        read = found.adjustment.read(constraint, data.outputs)
        arguments = (constraint, read, data.target, data.group, 3)
        torch.testing.assert_close(found.gaps[place], value(*arguments))
        torch.testing.assert_close(found.bounds[place], bound(*arguments, z=1.0))
        excess.append(constraint.excess(bound(*arguments, z=1.0)))
    torch.testing.assert_close(found.excess, torch.stack(excess).amax(0))
    torch.testing.assert_close(found.utility, constrained_utility(metric, found.values, found.excess))


@pytest.mark.parametrize(("task", "name"), CASES)
def test_a_population_equals_its_members(task: str, name: str, grouped: Make) -> None:
    data = grouped(task)
    data.outputs[1, 3] = math.nan
    whole = _judge(task, name, data)
    assert whole.values[1].isnan()
    assert whole.utility[1].isnan()
    assert whole.excess[1].isnan()
    data.outputs = data.outputs[2:]
    alone = _judge(task, name, data)
    for field in ("values", "utility", "excess"):
        torch.testing.assert_close(getattr(alone, field)[0], getattr(whole, field)[2], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        whole.adjustment.select(slice(2, 3)).decide(data.outputs), alone.adjustment.decide(data.outputs)
    )


@pytest.mark.parametrize(("task", "name"), CASES)
def test_what_is_not_tuned_is_judged_as_it_is(task: str, name: str, grouped: Make) -> None:
    data = grouped(task)
    found = _judge(task, name, data, tuned=torch.tensor([False, True, False]))
    kept = found.adjustment.decide(data.outputs)[[0, 2]]
    torch.testing.assert_close(kept, data.outputs[[0, 2]], rtol=0, atol=0)
    torch.testing.assert_close(found.adjustment.apply(data.outputs)[[0, 2]], data.outputs[[0, 2]], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["average_precision", "roc_auc", "log_loss", "brier"])
def test_a_metric_without_decisions_is_untouched_by_the_threshold(name: str, grouped: Make) -> None:
    data, metric = grouped("binary"), get_metric(name, "binary")
    found = _judge("binary", name, data, texts=["demographic_parity_difference <= 0.05"], z=0.0)
    plain, _ = evaluate(metric, data.outputs, data.target, tuned=True)
    torch.testing.assert_close(found.values, plain)
    decided = found.adjustment.decide(data.outputs)
    parity = parse_constraint("demographic_parity_difference <= 0.05", "binary")
    assert (value(parity, decided, data.target, data.group, 3) <= 0.05).all()
    assert ((decided > 0).any(-1) & (decided <= 0).any(-1)).all()
    assert (found.excess <= 0).all()
    # The decision is a good one: the best of balanced accuracy (ranks) or accuracy (probabilities) within the limit.
    stand_in = "accuracy" if name in ("log_loss", "brier") else "balanced_accuracy"
    best = _judge("binary", stand_in, data, texts=["demographic_parity_difference <= 0.05"], z=0.0)
    torch.testing.assert_close(best.adjustment.decide(data.outputs), decided)


def test_without_a_limit_that_binds_it_is_the_plain_judgement(grouped: Make) -> None:
    for task, name in CASES:
        data = grouped(task)
        data.target = data.target.clamp(min=get_metric(name, task).lowest)
        found = _judge(task, name, data, texts=[LOOSE[task]], z=0.0)
        prior = torch.tensor([0.5, 0.3, 0.2]) if task == "multiclass" else None
        plain, _ = evaluate(get_metric(name, task), data.outputs, data.target, tuned=True, facts={"class_prior": prior})
        if (
            name == "poisson_deviance"
        ):  # several valleys: its own fit is nearly the best, and the grid may find a better
            assert (found.utility >= get_metric(name, task).utility(plain)).all()
            continue
        torch.testing.assert_close(found.values, plain)
        torch.testing.assert_close(found.utility, get_metric(name, task).utility(plain))


@pytest.mark.parametrize(
    ("task", "name", "text"),
    [
        ("regression", "rmse", "mae_difference <= {}"),
        ("multiclass", "balanced_accuracy", "demographic_parity_difference <= {}"),
    ],
)
def test_one_number_is_chosen_within_the_constraint(task: str, name: str, text: str, grouped: Make) -> None:
    data = grouped(task, rows=600)
    loose = _judge(task, name, data, texts=[text.format(1)], z=0.0)
    limit = loose.gaps[0].amax().item() * 0.9
    tight = _judge(task, name, data, texts=[text.format(limit)], z=0.0)
    assert (tight.gaps[0] <= loose.gaps[0] + 1e-9).all()
    assert (tight.gaps[0] < loose.gaps[0]).any()
    metric = get_metric(name, task)
    assert (metric.utility(tight.values) <= metric.utility(loose.values) + 1e-9).all()


def test_a_constraint_that_is_broken_puts_a_member_below_all_that_keep_it(grouped: Make) -> None:
    for task, name in CASES:
        metric = get_metric(name, task)
        values = torch.tensor([0.0, 1.0, 0.5, 0.5], dtype=torch.float64)
        excess = torch.tensor([0.0, -1.0, 0.1, 0.2], dtype=torch.float64)
        utility = constrained_utility(metric, values, excess)
        assert utility[:2].min() > utility[2] > utility[3]
        assert constrained_utility(metric, torch.tensor(math.nan), torch.tensor(0.0)).isnan()


def test_a_constant_decision_keeps_no_constraint(grouped: Make) -> None:
    data = grouped("binary")
    data.outputs[0] = 1.0
    found = _judge("binary", "accuracy", data, texts=["demographic_parity_difference <= 0.9"])
    assert found.gaps[0, 0] == 0
    assert found.excess[0] > 100
    assert (found.excess[1:] <= 0).all()
    untuned = _judge("binary", "accuracy", data, texts=["demographic_parity_difference <= 0.9"], tuned=False)
    assert untuned.excess[0] > 100
    # A gap of probabilities takes no decision.
    assert _judge("binary", "log_loss", data, texts=["calibration_difference <= 0.9"]).excess[0] <= 0


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_gap_can_be_limited_for_every_metric(task: str, grouped: Make) -> None:
    data = grouped(task, members=2, rows=90)
    gaps = gaps_for(task)
    for name in metrics_for(task):
        for gap in gaps:
            found = _judge(task, name, data, texts=[f"{gap} {get_gap(gap, task).operator} 0.3"])
            assert found.utility.isfinite().all()
            assert found.excess.isfinite().all()


def test_replicas_have_groups_of_their_own(grouped: Make) -> None:
    one, two = grouped("binary", seed=1), grouped("binary", seed=2)
    data = one.__class__(*(torch.stack(pair) for pair in zip(_parts(one), _parts(two), strict=True)), groups=3)
    both = _judge("binary", "f1", data)
    for r, part in enumerate((one, two)):
        torch.testing.assert_close(_judge("binary", "f1", part).utility, both.utility[r])


def _parts(data: Any) -> tuple[Any, ...]:
    return data.outputs, data.target, data.group


def test_ids_that_do_not_fit_are_refused(grouped: Make) -> None:
    data = grouped("binary")
    data.groups = 2
    with pytest.raises(OptionError, match="must lie in"):
        _judge("binary", "f1", data)
