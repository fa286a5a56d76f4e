"""Metrics are looked up by names that a person types."""

from __future__ import annotations

import numpy as np
import pytest

from losssearch.errors import DataError, OptionError, UnknownNameError
from losssearch.evaluation import get_metric, metrics_for


@pytest.mark.parametrize(
    ("written", "task", "name"),
    [
        ("f1", "binary", "f1"),
        (" f1 ", "binary", "f1"),
        ("cost(fp=1,fn=5)", "binary", "cost(fp=1,fn=5)"),
        ("cost( fn = 5 , fp = 1.0 )", "binary", "cost(fp=1,fn=5)"),
        ("cost(1, 5)", "binary", "cost(fp=1,fn=5)"),
        ("cost(1,fn=0)", "binary", "cost(fp=1,fn=0)"),
        ("pinball(0.9)", "regression", "pinball(q=0.9)"),
        ("pinball(q=.25)", "regression", "pinball(q=0.25)"),
    ],
)
def test_a_name_is_read_in_its_canonical_form(written: str, task: str, name: str) -> None:
    assert get_metric(written, task).name == name


@pytest.mark.parametrize(
    "written",
    [
        "cost",
        "cost()",
        "cost(1)",
        "cost(1,2,3)",
        "cost(fp=1,fp=2)",
        "cost(1,fp=2)",
        "cost(fn=5,1)",
        "cost(fp=1,tn=5)",
        "cost(fp=one,fn=5)",
        "cost(fp=1,fn=)",
    ],
)
def test_a_call_with_wrong_arguments_is_refused_with_an_example(written: str) -> None:
    with pytest.raises(OptionError, match=r"takes fp, fn, such as cost\(fp=1,fn=5\)"):
        get_metric(written, "binary")


@pytest.mark.parametrize("written", ["cost(-1,5)", "cost(0,0)", "cost(inf,1)", "cost(nan,1)"])
def test_a_cost_out_of_range_is_refused(written: str) -> None:
    with pytest.raises(OptionError, match="finite fp and fn"):
        get_metric(written, "binary")


@pytest.mark.parametrize("written", ["pinball(0)", "pinball(1)", "pinball(nan)", "pinball(q=-0.5)"])
def test_a_quantile_out_of_range_is_refused(written: str) -> None:
    with pytest.raises(OptionError, match="between 0 and 1"):
        get_metric(written, "regression")


def test_a_metric_without_numbers_takes_none() -> None:
    with pytest.raises(OptionError, match="takes no numbers"):
        get_metric("f1(0.5)", "binary")


@pytest.mark.parametrize("written", ["balanced_acuracy", "balanced_accurcy(1)"])
def test_an_unknown_metric_gets_the_nearest_names(written: str) -> None:
    with pytest.raises(UnknownNameError, match="balanced_accuracy"):
        get_metric(written, "binary")


@pytest.mark.parametrize("written", ["", "()", "f1(", "f1)", "f1((1))", "f 1"])
def test_what_is_no_name_is_an_unknown_metric(written: str) -> None:
    with pytest.raises(UnknownNameError, match="unknown metric"):
        get_metric(written, "binary")


def test_a_metric_of_another_task_is_refused_with_those_that_fit() -> None:
    with pytest.raises(OptionError, match=r"rmse fits regression, not binary; metrics for binary: .*roc_auc.*cost\("):
        get_metric("rmse", "binary")
    with pytest.raises(OptionError, match="log_loss fits binary and multiclass, not regression"):
        get_metric("log_loss", "regression")
    with pytest.raises(OptionError, match="pinball fits regression, not multiclass"):
        get_metric("pinball(0.5)", "multiclass")


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean regression"):
        get_metric("rmse", "regresion")
    with pytest.raises(UnknownNameError, match="unknown task"):
        metrics_for("")


def test_the_metrics_of_each_task() -> None:
    assert metrics_for("binary") == (
        *("accuracy", "balanced_accuracy", "f1", "mcc", "roc_auc", "average_precision", "log_loss", "brier", "ece"),
        "cost(fp=1,fn=5)",
    )
    assert metrics_for("multiclass") == (
        *("accuracy", "balanced_accuracy", "macro_f1", "worst_class_recall", "log_loss", "ece"),
    )
    assert metrics_for("regression") == ("rmse", "mae", "medae", "mape", "poisson_deviance", "r2", "pinball(q=0.9)")


def test_a_deviance_of_counts_refuses_targets_below_zero() -> None:
    metric = get_metric("poisson_deviance", "regression")
    metric.check_target(np.array([0.0, 3.0]))
    with pytest.raises(DataError, match="at least 0, but the target goes down to -1"):
        metric.check_target(np.array([-1.0, 3.0]))
    get_metric("rmse", "regression").check_target(np.array([-1.0]))


@pytest.mark.parametrize("name", ["cost(fp=1", "cost((1,2)", "cost(1,2))"])
def test_an_unfinished_call_is_refused_by_its_rule(name: str) -> None:
    with pytest.raises(OptionError, match=r"written as a call, such as cost\(fp=1,fn=5\), got"):
        get_metric(name, "binary")
