"""A metric of the user's own: declared with ``@ls.metric``, or any function of one model's outputs and target."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

import losssearch as ls
from losssearch.errors import OptionError, SpecError, UnknownNameError
from losssearch.evaluation import declaring, evaluate, get_metric, metrics_for, paired_difference
from losssearch.evaluation.registry import asked_metric, kinds_of
from losssearch.evaluation.worst_cell import cells
from losssearch.losses.domains import Float
from losssearch.tasks.view import View, unchanged

ROWS = 60


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    """What a test declares is forgotten."""
    before = list(declaring._records)
    yield
    declaring._records[:] = before


def f1_of(decisions: Tensor, target: Tensor) -> Tensor:
    hits = (decisions * target).sum()
    return 2 * hits / (decisions.sum() + target.sum()).clamp(min=1)


def weighted_mae(outputs: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    error = (outputs - target).abs()
    return error.mean() if weight is None else (error * weight).sum() / weight.sum()


def _binary(members: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    target = (torch.rand(1, ROWS, generator=generator) < 0.3).long()
    return torch.randn(members, ROWS, generator=generator) + target - 1, target


def test_a_function_equals_the_metric_of_the_catalogue_in_values_and_resamples() -> None:
    own, known = asked_metric(f1_of, "binary", "maximize"), get_metric("f1", "binary")
    outputs, target = _binary()
    torch.testing.assert_close(own(outputs, target), known(outputs, target))
    pair = outputs[:2], outputs[1:], target.expand(2, -1)
    mine, theirs = (paired_difference(one, *pair, resamples=40, seed=1) for one in (own, known))
    assert mine.interval == pytest.approx(theirs.interval, rel=1e-6)


def test_what_it_reads_says_what_is_tuned() -> None:
    outputs, target = _binary()
    own, known = asked_metric(f1_of, "binary", "maximize"), get_metric("f1", "binary")
    assert own.adjustment == "threshold"
    tuned, _ = evaluate(own, outputs, target, tuned=True)
    best, _ = evaluate(known, outputs, target, tuned=True)
    assert (tuned > own(outputs, target)).any()
    assert (tuned >= own(outputs, target)).all()
    torch.testing.assert_close(tuned, best, rtol=0, atol=0.03)  # a grid against every threshold there is
    assert asked_metric(lambda_like, "multiclass", "minimize").adjustment == "temperature"
    assert asked_metric(weighted_mae, "regression", "minimize").adjustment == "none"


def lambda_like(probabilities: Tensor, labels: Tensor) -> Tensor:
    return (probabilities.argmax(-1) != labels).double().mean()


def test_a_function_may_read_the_batch() -> None:
    def from_batch(outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        assert set(batch) >= {"outputs", "target", "decisions", "probabilities"}
        return (batch["decisions"] == batch["target"]).double().mean()

    outputs, target = _binary()
    found = asked_metric(from_batch, "binary", "maximize")(outputs, target)
    torch.testing.assert_close(found, get_metric("accuracy", "binary")(outputs, target))


def worst_of_groups(decisions: Tensor, target: Tensor, group: Tensor) -> float:
    right = (decisions == target).double()
    return min(float(right[group == one].mean()) for one in group.unique())


def test_a_function_may_read_the_group_of_each_row() -> None:
    outputs, target = _binary()
    group = torch.arange(ROWS)[None] % 3
    own, known = asked_metric(worst_of_groups, "binary", "maximize"), get_metric("worst_group(accuracy)", "binary")
    assert own.cells
    torch.testing.assert_close(own(outputs, cells(target, group, 2)), known(outputs, cells(target, group, 2)))
    with pytest.raises(OptionError, match="reads group; in this kind of task it may read"):
        asked_metric(lambda_of_groups, "regression", "minimize")


def lambda_of_groups(outputs: Tensor, target: Tensor, group: Tensor) -> float:
    return 0.0


def pair_deviance(outputs: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    mean, log_variance = outputs[:, :2], outputs[:, 2:]
    found = ((target - mean).square() / log_variance.exp() + log_variance).sum(-1)
    return found.mean() if weight is None else (found * weight).sum() / weight.sum()


def test_a_target_of_several_columns_and_outputs_of_several_heads() -> None:
    view = View("pair", decide=unchanged, columns=True, target_columns=True)
    own = declaring.undeclared(pair_deviance, "minimize", "pair").make(view)
    outputs, target, weight = torch.randn(2, 3, ROWS, 4), torch.randn(2, 1, ROWS, 2), torch.rand(2, 1, ROWS) + 0.5
    expected = [[pair_deviance(outputs[r, k].double(), target[r, 0].double()) for k in range(3)] for r in range(2)]
    torch.testing.assert_close(own(outputs, target), torch.tensor(expected, dtype=torch.float64))
    expected = [
        [pair_deviance(outputs[r, k].double(), target[r, 0].double(), weight[r, 0]) for k in range(3)] for r in range(2)
    ]
    torch.testing.assert_close(own(outputs, target, weight), torch.tensor(expected, dtype=torch.float64))
    for rows in (target[0, 0], target[:, 0]):  # of all seeds, or one for each
        found = paired_difference(own, outputs[:, 0], outputs[:, 1], rows, resamples=20, seed=1)
        assert found.interval[0] < found.difference < found.interval[1]
    with pytest.raises(OptionError, match="same rows"):
        own(outputs, target[..., 0])


def of_other_names(foo: Tensor, bar: Tensor) -> float:
    return 0.0


def turned(y_true: Tensor, y_pred: Tensor) -> float:
    return 0.0


def misspelt(outputs: Tensor, targt: Tensor) -> float:
    return 0.0


def alone(y_pred: Tensor) -> float:
    return 0.0


@pytest.mark.parametrize(
    ("function", "got"),
    [(of_other_names, "foo, bar"), (turned, "y_true, y_pred"), (misspelt, "targt"), (alone, "y_pred")],
)
def test_a_parameter_of_another_name_is_refused_where_the_metric_is_declared(
    function: Callable[..., float], got: str
) -> None:
    said = f"may read outputs, target, labels, batch, decisions, .*; got {got}: name them so"
    for task in ("binary", "regression", "a_kind_of_its_own"):
        with pytest.raises(SpecError, match=said):
            ls.metric(direction="minimize", task=task)(function)
    with pytest.raises(OptionError, match=said):
        asked_metric(function, "regression", "minimize")


def test_a_metric_may_read_what_the_view_of_its_kind_of_task_offers() -> None:
    view = View("hazards", decide=unchanged, reads={"hazard": unchanged})

    def of_hazards(hazard: Tensor, target: Tensor) -> float:
        return float((hazard - target).abs().mean())

    ls.metric(direction="minimize", task=view)(of_hazards)
    with pytest.raises(SpecError, match="got hazard"):
        ls.metric(direction="minimize", task="binary")(of_hazards)


def test_a_weight_is_given_where_the_function_takes_one() -> None:
    outputs, target, weight = torch.randn(2, ROWS), torch.randn(1, ROWS), torch.rand(1, ROWS) + 0.5
    own = asked_metric(weighted_mae, "regression", "minimize")
    torch.testing.assert_close(own(outputs, target, weight), get_metric("mae", "regression")(outputs, target, weight))
    own.check_weights()
    with pytest.raises(OptionError, match="has no parameter named weight"):
        asked_metric(f1_of, "binary", "maximize").check_weights()


def test_a_declared_metric_is_found_by_its_name() -> None:
    @ls.metric(direction="maximize", task="binary", unit="share", beta=Float(0.1, 10.0, default=2.0))
    def fbeta(decisions: Tensor, target: Tensor, *, beta: float) -> Tensor:
        hits = (decisions * target).sum()
        return (1 + beta**2) * hits / (decisions.sum() + beta**2 * target.sum()).clamp(min=1)

    outputs, target = _binary()
    assert metrics_for("binary")[-1] == "fbeta(beta=2)"
    assert kinds_of("fbeta(beta=1)") == ("binary",)
    found = get_metric("fbeta(1)", "binary")
    torch.testing.assert_close(found(outputs, target), get_metric("f1", "binary")(outputs, target))
    assert asked_metric(fbeta, "binary").name == "fbeta(beta=2)"
    assert found.source.endswith("test_own_metrics:test_a_declared_metric_is_found_by_its_name.<locals>.fbeta")
    with pytest.raises(OptionError, match=r"fbeta's beta must lie in \[0.1, 10\]"):
        get_metric("fbeta(beta=99)", "binary")
    with pytest.raises(OptionError, match="fbeta fits binary, not regression"):
        get_metric("fbeta(beta=1)", "regression")


def test_a_metric_of_a_module_survives_pickling() -> None:
    own = asked_metric(f1_of, "binary", "maximize")
    outputs, target = _binary()
    torch.testing.assert_close(pickle.loads(pickle.dumps(own))(outputs, target), own(outputs, target))


def test_a_broken_member_is_left_out_and_no_value_is_nan() -> None:
    def ratio(decisions: Tensor, target: Tensor) -> float:
        return math.nan if not target.any() else float(decisions.double().mean())

    outputs, target = _binary()
    outputs[1, 3] = math.nan
    found = asked_metric(ratio, "binary", "maximize")(outputs, target)
    assert found.isnan().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda_like, "needs a direction"),
        (lambda outputs, target: 0.0, "needs a name"),
    ],
)
def test_what_is_missing_is_told(function: object, said: str) -> None:
    direction = None if function is lambda_like else "maximize"
    with pytest.raises(OptionError, match=said):
        asked_metric(function, "multiclass", direction)  # type: ignore[arg-type]


def test_a_function_that_cannot_serve_is_told_in_one_line() -> None:
    def f1(outputs: Tensor, target: Tensor) -> float:
        return 0.0

    def by_row(outputs: Tensor, target: Tensor) -> Tensor:
        return outputs

    def broken(outputs: Tensor, target: Tensor) -> float:
        return 1 / 0

    outputs, target = _binary()
    with pytest.raises(OptionError, match="f1 is the name of a metric for binary"):
        asked_metric(f1, "binary", "maximize")
    with pytest.raises(OptionError, match=r"must return one number, got values of shape \[60\]"):
        asked_metric(by_row, "binary", "maximize")(outputs, target)
    with pytest.raises(OptionError, match="metric broken raised ZeroDivisionError: division by zero"):
        asked_metric(broken, "binary", "maximize")(outputs, target)
    with pytest.raises(OptionError, match="reads decisions; in this kind of task it may read"):
        asked_metric(f1_of, "regression", "maximize")
    with pytest.raises(OptionError, match="is a metric to maximize, got direction=minimize"):
        asked_metric("f1", "binary", "minimize")
    with pytest.raises(UnknownNameError, match="unknown metric"):
        asked_metric("f3", "binary")


def test_a_declaration_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(SpecError, match="must be unique in its kind of task, got a second 'f1'"):
        ls.metric(direction="maximize", task="binary", name="f1")(f1_of)
    with pytest.raises(SpecError, match="direction must be maximize or minimize, got 'up'"):
        ls.metric(direction="up", task="binary")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=r"keyword-only parameters \[\] must be declared"):
        ls.metric(direction="maximize", task="binary", beta=Float(0, 1, default=0))(f1_of)
    ls.metric(direction="maximize", task="binary", tuned="shift")(f1_of)
    with pytest.raises(OptionError, match="may be tuned by none, threshold, temperature"):
        get_metric("f1_of", "binary")


def test_a_function_declared_again_takes_the_place_of_the_first() -> None:
    for unit in ("first", "second"):
        ls.metric(direction="maximize", task="binary", unit=unit)(f1_of)
    assert get_metric("f1_of", "binary").unit == "second"


def test_a_decision_is_tuned_for_it() -> None:
    outputs, target = _binary(1)
    decision = ls.tune_decision(outputs[0], target[0], metric=f1_of, task="binary", direction="maximize")
    assert decision.score.kind == "threshold"
    assert decision.value == pytest.approx(float(f1_of(decision.decide(outputs[0]), target[0])))


def test_constraints_need_counts_of_decisions() -> None:
    outputs, target = _binary(1)
    group = ["a", "b"] * (ROWS // 2)
    with pytest.raises(OptionError, match="cannot be held to constraints on decisions"):
        ls.tune_decision(
            outputs[0], target[0], metric=f1_of, task="binary", direction="maximize", group=group,
            constraints=["demographic_parity_difference <= 0.2"],
        )  # fmt: skip
