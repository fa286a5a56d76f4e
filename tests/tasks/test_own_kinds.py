"""A kind of task of one's own: what is refused when it is declared, and what data make of several target columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from losssearch.assembly.question import _metric, refuse_heads
from losssearch.data import draws, load, make_replicas, partition
from losssearch.data.target_kind import Numbers, _entries
from losssearch.errors import DataError, OptionError, SpecError
from losssearch.execution.portable import PortableKind
from losssearch.losses import loss_term
from losssearch.losses.offer import Provider
from losssearch.losses.term import _registry as terms  # to take out what a test declares
from losssearch.losses.term import registry
from losssearch.space import load_space
from losssearch.tasks import KINDS, TaskKind, get_kind, get_task, task_kind
from losssearch.tasks.kind import _adopted, _kinds

ROWS = 400


@pytest.fixture
def pair() -> Iterator[TaskKind]:
    """Two target columns, a mean for each and one common spread."""

    @loss_term(reference="made up for a test")
    def pair_error(means: torch.Tensor, spread: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Squared error, one value per sample; means and target [batch, 2], spread [batch]."""
        return (means - target).square().sum(-1) + spread.square()

    yield task_kind(
        "test_pair",
        target=Numbers(columns=2),
        heads={"means": 2, "spread": 1},
        menu=["pair_error"],
        metric="rmse",
        own_unit=lambda outputs, mean, scale: outputs[..., :2].double() * scale + mean,
    )
    del _kinds["test_pair"], _entries["test_pair"], terms["pair_error"]
    _adopted.discard("test_pair")


def table() -> pd.DataFrame:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(ROWS, 3)), columns=["a", "b", "c"])
    return frame.assign(low=10 + 2 * frame["a"], high=frame["b"] - 5, name="x")


def test_targets_of_several_columns_are_standardised_each_by_its_own_rows(pair: TaskKind) -> None:
    data = load(table(), target="low,high", task=pair.name)
    assert data.target.shape == (ROWS, 2)
    assert data.classes == ()
    assert [column.name for column in data.schema.columns][:3] == ["a", "b", "c"]
    replicas = make_replicas(data, draws(data, partition(data, 0).search, seed=0, count=2, purpose="search"))
    target = replicas.train["target"]
    assert target.shape[::2] == (2, 2)
    torch.testing.assert_close(target.mean(1), torch.zeros(2, 2), atol=0.05, rtol=0)
    torch.testing.assert_close(target.std(1), torch.ones(2, 2), atol=0.1, rtol=0)


def test_a_kind_without_a_metric_is_told_how_to_declare_one(pair: TaskKind) -> None:
    with pytest.raises(OptionError) as caught:
        _metric("rmse", pair.name, None)
    assert str(caught.value).startswith(
        "metric rmse fits regression, not test_pair; no metric is declared for test_pair: declare one with "
        '@ls.metric(direction=…, task="test_pair"); or read the target as regression'
    )


def test_a_list_of_names_a_text_and_an_array_are_one_target(pair: TaskKind) -> None:
    frame = table()
    both = [load(frame, target=target, task=pair.name).target for target in ("low,high", ["low", "high"])]
    pair_of_arrays = frame[["a", "b", "c"]].to_numpy(), frame[["low", "high"]].to_numpy()
    for found in (*both, load(pair_of_arrays, task=pair.name).target):
        np.testing.assert_array_equal(found, frame[["low", "high"]].to_numpy())


def test_one_column_whose_name_has_a_comma_stays_one() -> None:
    frame = table().rename(columns={"low": "low,high"}).drop(columns="high")
    assert load(frame, target="low,high").task == "regression"


@pytest.mark.parametrize("task", [None, "regression", "binary"])
def test_the_built_in_kinds_read_one_column_and_say_so(task: str | None) -> None:
    with pytest.raises(DataError, match=r"reads 1 target column, got 2 of the data frame \('low', 'high'\)"):
        load(table(), target=["low", "high"], task=task)


def test_a_kind_of_several_columns_is_named_where_they_are_given(pair: TaskKind) -> None:
    with pytest.raises(DataError, match="name 1, or give task survival or test_pair"):
        load(table(), target=["low", "high"])
    with pytest.raises(DataError, match="task test_pair reads 2 target columns, got 1"):
        load(table(), target="low", task=pair.name)
    with pytest.raises(DataError, match="test_pair needs numbers; target 'name'"):
        load(table(), target=["low", "name"], task=pair.name)


def test_a_row_without_one_of_its_targets_is_told_or_left_out(pair: TaskKind) -> None:
    frame = table()
    frame.loc[7, "high"] = np.nan
    with pytest.raises(DataError, match=r"every row must have a target; .* lacks 1 of 400, the first in row 8"):
        load(frame, target=["low", "high"], task=pair.name)
    assert load(frame, target=["low", "high"], task=pair.name, drop_missing_target=True).rows == ROWS - 1


def test_a_target_is_named_once() -> None:
    with pytest.raises(OptionError, match="must be named, each once; got 'low', 'low'"):
        load(table(), target=["low", "low"])


def test_its_menu_is_its_space_where_it_brings_none(pair: TaskKind) -> None:
    space = load_space(pair.task.space, pair.name)
    assert set(space.terms) == {"pair_error"}
    assert [baseline.decision for baseline in pair.task.menu] == ["fixed", "tuned"]
    assert pair.task.widths(0) == {"means": 2, "spread": 1}


def test_a_kind_reaches_a_process_that_does_not_know_it(pair: TaskKind) -> None:
    from ray import cloudpickle

    sent = cloudpickle.dumps(PortableKind(pair))
    del _kinds[pair.name], _entries[pair.name]
    cloudpickle.loads(sent).enter()
    found = get_kind(pair.name)
    assert found.task.widths(0) == pair.task.widths(0)
    assert found.target == pair.target
    outputs, mean, scale = torch.ones(5, 3), torch.tensor([1.0, 2.0]), torch.tensor([2.0, 4.0])
    assert found.own_unit is not None
    torch.testing.assert_close(found.own_unit(outputs, mean, scale), torch.tensor([3.0, 6.0]).double().expand(5, 2))
    cloudpickle.loads(sent).enter()
    assert get_kind(pair.name) is found


def test_trees_refuse_several_heads(pair: TaskKind) -> None:
    with pytest.raises(OptionError, match=r"one score per sample.* task test_pair has means \(2\), spread \(1\)"):
        refuse_heads("lightgbm", pair.task, 0)
    for kind, classes in (("binary", 2), ("multiclass", 2), ("multiclass", 5), ("regression", 0)):
        refuse_heads("lightgbm", get_task(kind), classes)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"heads": {}}, "must have a head"),
    ({"heads": {"a b": 1}}, "must be an identifier"),
    ({"heads": {"target": 1}}, "a head may not be called target"),
    ({"heads": {"a": 0}}, "whole number of columns of at least 1"),
    ({"heads": {"a": 2}}, "give own_unit="),
    ({"heads": {"a": 1}}, "squared of its menu reads prediction"),
    ({"heads": {"a": 1}, "menu": []}, "must have a term"),
    ({"name": "binary", "heads": {"prediction": 1}}, "must be unique, got a second 'binary'"),
]


@pytest.mark.parametrize(("given", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_a_kind_that_cannot_be_is_refused(given: dict[str, Any], said: str) -> None:
    known, declared = dict(KINDS), dict(registry)
    with pytest.raises(SpecError, match=said):
        task_kind(**{"name": "refused", "menu": ["squared"], "metric": "rmse", **given})
    assert dict(KINDS) == known
    assert dict(registry) == declared


@pytest.mark.parametrize(
    ("needs", "message"),
    [
        ({"fields": ("doses",)}, "test_dose: strength needs a field named doses, which is not declared"),
        ({"facts": ("doses",)}, "test_dose: strength needs a fact named doses, which is not declared"),
        ({"facts": ("weight",)}, "test_dose: strength needs weight, which is declared as a field"),
        ({"fields": ("zero",)}, "test_dose: strength needs zero, which is declared as a fact"),
    ],
)
def test_a_tensor_of_a_field_that_nobody_declared_is_refused(needs: dict[str, tuple[str]], message: str) -> None:
    strength = Provider(lambda output, batch, facts: output, "strength [batch]", **needs)
    with pytest.raises(SpecError, match=message):
        task_kind("test_dose", heads={"dose": 1}, menu=["squared"], metric="rmse", tensors={"strength": strength})
    assert "test_dose" not in KINDS
