"""An argument of the wrong type is an `InputError` of one line that names it, whichever argument it is."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import losssearch as ls
from losssearch.errors import InputError
from losssearch.request import check_argument

X = np.random.default_rng(0).normal(size=(80, 3))
GOOD = {"data": (X, np.arange(80) % 2), "metric": "roc_auc", "workers": 0, "mlflow": False, "trials": 4}
FREE = {"positive", "observer"}
"""A class's value may be anything; an observer is asked what it can do only when it is told something."""

WRONG: list[Any] = [object(), 4 + 2j, {1: 2}, [[1]], b"x", 4.5, -3, "no", True]


def refusal(name: str, value: object) -> str | None:
    try:
        check_argument(name, value)
    except InputError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", sorted(set(inspect.signature(ls.search).parameters) - FREE))
def test_every_argument_is_refused_in_its_own_name(name: str, tmp_path: Path) -> None:
    refused = 0
    for value in WRONG:
        message = refusal(name, value)
        assert message is None or message.startswith((f"{name} must be ", f"{name} must lie in "))
        assert message is None or "\n" not in message
        refused += message is not None
    assert refused >= 3
    with pytest.raises(InputError, match=f"{name} must be"):
        ls.search(**{**GOOD, "out": tmp_path / "study", name: 4 + 2j})
    assert not (tmp_path / "study").exists()


def test_defaults_are_of_the_right_type() -> None:
    for name, each in inspect.signature(ls.search).parameters.items():
        check_argument(name, each.default)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("target", 4), ("target", (1,)), ("metric", 7), ("task", 1), ("seed", None), ("seed", 1.5),
        ("trials", "many"),
        ("trials", True), ("epochs", 2.5), ("rates", 0.01), ("rates", ["fast"]), ("drop", 3), ("drop", [3]),
        ("drop", None),
        ("constraints", 0.05), ("objectives", "f1"), ("out", 3), ("mlflow", "yes"), ("resume", None), ("device", 0),
        ("class_prior", 0.5), ("model", 3), ("model", None), ("confidence", "high"), ("resources", 2), ("space", 1),
        ("max_rows", 100.0), ("time_budget", [10]), ("sensitive", 3), ("train", "train.py"), ("data", 3), ("data", [X]),
        ("verbose", 2), ("verbose", -1), ("imports", 3), ("imports", [Path("a.py"), 3]),
    ],
)  # fmt: skip
def test_a_wrong_type_says_what_was_found(name: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^{name} must be .*, got ") as caught:
        ls.search(**{**GOOD, "out": tmp_path / "study", name: value})
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("verbose", 0), ("verbose", 1), ("verbose", True), ("imports", Path("a.py")), ("imports", ["a", Path("b.py")]),
        ("seed", np.int64(3)), ("confidence", np.float32(0.9)), ("rates", np.array([0.1, 0.2])),
        ("resume", np.bool_(False)),
        ("drop", "a"), ("drop", ("a", "b")), ("out", "here"), ("out", Path("here")), ("time_budget", "10m"),
        ("time_budget", 5), ("sensitive", np.array(["a", "b"])), ("trials", None), ("metric", None), ("data", X),
    ][:-1],
)  # fmt: skip
def test_what_stands_for_a_type_is_taken(name: str, value: object) -> None:
    check_argument(name, value)


def test_a_model_is_no_factory() -> None:
    with pytest.raises(InputError, match=r"factory .*got a model, Linear\(.*give a function, such as lambda"):
        ls.search(**GOOD, model=torch.nn.Linear(3, 1))


def test_a_function_as_metric_needs_a_direction() -> None:
    def my_metric(outputs: object, target: object) -> float:
        return 0.0

    for metric in (my_metric, max, torch.nn.MSELoss()):
        with pytest.raises(InputError, match="needs a direction, which says whether"):
            ls.search(**{**GOOD, "metric": metric})
