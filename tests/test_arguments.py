"""Public functions and records that are called with other arguments than they take: one line, with the nearest name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import losssearch as ls
from losssearch.errors import ArgumentError, InputError


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ls.Budget(trial=4), r"^ls.Budget got an unexpected argument trial=4; did you mean trials\?$"),
        (lambda: ls.Splits(grup="a"), r"^ls.Splits .*; did you mean group\?$"),
        (lambda: ls.Fairness(sensitiv="sex"), r"^ls.Fairness .*; did you mean sensitive\?$"),
        (lambda: ls.Privacy(epsilon=1.0), r"^ls.Privacy .*; did you mean private_epsilon\?$"),
        (lambda: ls.Compute(worker=2), r"^ls.Compute .*; did you mean workers\?$"),
        (lambda: ls.Output(output="a"), r"^ls.Output .*; did you mean out\?$"),
        (lambda: ls.Output(qqq="a"), r"^ls.Output got an unexpected argument qqq='a'; it takes study, resume, storage"),
        (lambda: ls.Budget(4), r"^ls.Budget takes no argument without a name, got 1; it takes trials, time_budget"),
        (lambda: ls.search("a.csv", "b.csv"), r"^search\(\) takes at most 1 argument without a name, got 2"),
        (lambda: ls.Float(0.0, 1.0), r"^ls.Float needs default, got low, high$"),
        (lambda: ls.Float("a", 1.0, default=1.0), r"^ls.Float's low must be a number, got 'a'$"),
        (lambda: ls.Choice("a", "b", defalt="a"), r"^ls.Choice .*; did you mean default\?$"),
        (lambda: ls.State((), 0.0, moved="loss"), r"^ls.State .*; did you mean moved_by\?$"),
    ],
)
def test_a_record_of_other_arguments_is_refused(call: Callable[[], object], said: str) -> None:
    with pytest.raises(ArgumentError, match=said) as caught:
        call()
    assert isinstance(caught.value, InputError)
    assert isinstance(caught.value, TypeError)
    assert "\n" not in str(caught.value)


def plain(outputs: object, target: object) -> float:
    """Never called."""
    return 0.0


DECLARATIONS: dict[str, tuple[Any, str]] = {
    "metric": (ls.metric, "direction=…, task=…"),
    "loss_term": (ls.loss_term, "reference=…"),
    "weighting": (ls.weighting, "formula=…"),
    "schedule": (ls.schedule, "formula=…"),
    "reduction": (ls.reduction, "formula=…"),
    "balance": (ls.balance, "formula=…"),
}


@pytest.mark.parametrize("name", DECLARATIONS)
def test_a_declaration_without_parentheses_is_refused(name: str) -> None:
    declare, needed = DECLARATIONS[name]
    with pytest.raises(ArgumentError, match=rf"^@ls.{name} must be written with its arguments: @ls.{name}\({needed}\)"):
        declare(plain)


@pytest.mark.parametrize("name", DECLARATIONS)
def test_a_declaration_with_wrong_arguments_is_refused(name: str) -> None:
    declare, needed = DECLARATIONS[name]
    first = needed.partition("=")[0]
    right = {"direction": "maximize", "task": "binary", "reference": "a", "formula": "{part}"}
    right = {key: value for key, value in right.items() if key in needed}
    with pytest.raises(ArgumentError, match=rf"^ls.{name} needs {first}"):
        declare()
    with pytest.raises(ArgumentError, match=rf"^ls.{name} takes no argument without a name, got 1"):
        declare("a text")
    with pytest.raises(ArgumentError, match=rf"^ls.{name} got an unexpected argument .*; did you mean {first}\?"):
        declare(**{first[:-1]: "a"})
    with pytest.raises(ArgumentError, match=rf"^@ls.{name}\(…\) must stand above a function, got 5$"):
        declare(**right)(5)
    if name != "metric":
        with pytest.raises(ArgumentError, match=rf"^ls.{name}'s {first} must be a text, got 3$"):
            declare(**{**right, first: 3})


@pytest.mark.parametrize(
    ("arguments", "keywords", "said"),
    [
        ((), {}, "^ls.task_kind needs name, heads, metric, menu, got no argument$"),
        (("pear",), {"metric": "rmse", "menu": ["squared"]}, "^ls.task_kind needs heads, got name, metric, menu$"),
        (
            ("pear",),
            {"head": {"a": 1}},
            r"^ls.task_kind got an unexpected argument head=.*; did you mean heads\?$",
        ),
        (("pear", {"a": 1}), {}, "^ls.task_kind takes at most 1 argument without a name, got 2"),
        (
            (3,),
            {"heads": {"a": 1}, "metric": "rmse", "menu": ["squared"]},
            "^ls.task_kind's name must be a text, got 3$",
        ),
        ((plain,), {}, "^ls.task_kind needs heads, metric, menu, got name$"),
    ],
)
def test_a_kind_of_task_of_wrong_arguments_is_refused(
    arguments: tuple[Any, ...], keywords: dict[str, Any], said: str
) -> None:
    with pytest.raises(ArgumentError, match=said):
        ls.task_kind(*arguments, **keywords)


def test_a_metric_for_what_is_no_kind_of_task_is_refused() -> None:
    with pytest.raises(InputError, match="a metric's task must be the name of a kind of task, or several, got 5"):
        ls.metric(direction="maximize", task=5)(plain)  # type: ignore[arg-type]
