"""``losssearch terms``: the list, one term, the picture."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from losssearch.cli.term_plot import curves
from losssearch.losses import LossTerm, terms
from losssearch.losses.traits import PROBLEMS
from losssearch.tasks import get_task

every_term = pytest.mark.parametrize("term", terms.values(), ids=list(terms))


def test_table_names_every_term(run: Callable[..., Any]) -> None:
    done = run("terms")
    assert (done.code, done.err) == (0, "")
    assert all(re.search(rf"│ +{name} ", done.out) for name in terms)


def test_json_is_the_record_of_every_term(run: Callable[..., Any]) -> None:
    records = {record["name"]: record for record in json.loads(run("terms", "--json").out)}
    assert set(records) == set(terms)
    assert records["focal"]["hyperparameters"]["gamma"] == {
        "kind": "float",
        "low": 0.0,
        "high": 5.0,
        "default": 2.0,
        "log": False,
    }
    assert all(record["reference"] and record["reads"] for record in records.values())


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_task_keeps_the_terms_that_fit(run: Callable[..., Any], kind: str) -> None:
    shown = {record["name"] for record in json.loads(run("terms", "--task", kind, "--json").out)}
    assert shown == {name for name, term in terms.items() if set(term.reads) <= get_task(kind).with_groups().offers}


def test_family_keeps_its_terms(run: Callable[..., Any]) -> None:
    shown = {record["name"] for record in json.loads(run("terms", "--family", "margin", "--json").out)}
    assert shown >= {"hinge", "squared_hinge"}
    assert {terms[name].family for name in shown} == {"margin"}


@every_term
def test_one_term_shows_its_facts(run: Callable[..., Any], term: LossTerm) -> None:
    done = run("terms", term.name)
    assert done.code == 0
    assert term.reference in re.sub(r"\s+", " ", done.out)
    assert all(name in done.out for name in (*term.reads, *term.domains, *term.learned))


@pytest.mark.parametrize(
    ("kind", "problem", "some"),
    [
        ("multiclass", "label-noise", {"bi_tempered", "early_learning", "normalised_active_passive"}),
        ("multiclass", "imbalance", {"vector_scaling", "class_balanced", "logit_adjustment"}),
        ("binary", "costs", {"cost_sensitive_cross_entropy", "asymmetric"}),
        ("binary", "miscalibration", {"mmce", "soft_ece", "binary_cross_entropy"}),
        ("regression", "outliers", {"cauchy", "huber", "tukey_biweight"}),
    ],
)
def test_a_problem_keeps_the_terms_made_for_it(
    run: Callable[..., Any], kind: str, problem: str, some: set[str]
) -> None:
    shown = json.loads(run("terms", "--task", kind, "--problem", problem, "--json").out)
    assert {record["name"] for record in shown} >= some
    assert all(problem in record["problems"] for record in shown)


def test_a_problem_shows_shape_and_needs(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    lines = run("terms", "--problem", "imbalance").out.splitlines()
    (line,) = (line for line in lines if " weighted_cross_entropy " in line)
    assert "convex, smooth, bounded gradient" in line
    assert " class_prior " in line
    assert "numbers of training rows" in next(
        o for o in run("terms", "--problem", "label-noise").out.splitlines() if " early_learning " in o
    )


def test_an_alias_shows_the_term(run: Callable[..., Any]) -> None:
    assert "also known as" in run("terms", "asymmetric_squared").out
    assert json.loads(run("terms", "expectile", "--json").out)["name"] == "asymmetric_squared"


def test_the_help_names_every_problem(run: Callable[..., Any]) -> None:
    shown = run("terms", "--help").out
    assert all(problem in shown for problem in PROBLEMS)


def test_one_term_as_json_is_one_record(run: Callable[..., Any]) -> None:
    assert json.loads(run("terms", "huber", "--json").out)["name"] == "huber"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["focall"], "unknown term 'focall'; did you mean focal, class_focal, coral?"),
        (["--family", "margins"], "unknown family 'margins'; did you mean margin, targets, given?"),
        (["--task", "binry"], "unknown task 'binry'; did you mean binary?"),
        (["--plot", "a.png"], "--plot draws one term, so it needs a NAME"),
        (["focal", "--task", "binary"], "a NAME shows one term"),
        (["focal", "--problem", "costs"], "a NAME shows one term"),
        (["--problem", "label-nois"], "unknown problem 'label-nois'; did you mean label-noise?"),
        (["--task", "regression", "--problem", "ties"], "--problem ties: no term of the task regression is made for"),
        (["focal", "--plot", "a.gif"], "--plot must name a .png, .svg or .pdf file, got a.gif"),
        (["focal", "--plot", "no/such/a.png"], "--plot: the folder no/such does not exist"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(run: Callable[..., Any], arguments: list[str], message: str) -> None:
    done = run("terms", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"losssearch: {message}")
    assert done.err.count("\n") == 1


def test_plot_writes_a_picture_and_keeps_stdout_for_json(run: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "focal.png"
    done = run("terms", "focal", "--plot", str(file), "--json")
    assert (done.code, done.err) == (0, f"written: {file}\n")
    assert json.loads(done.out)["name"] == "focal"
    assert file.read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_cannot_be_written_is_one_line(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    done = run("terms", "focal", "--plot", str(tmp_path / "folder.png"))
    assert (done.code, done.out) == (2, "")
    assert done.err.endswith("cannot: Is a directory\n")


DETACHED = {"early_learning", "seesaw", "super_loss"}
"""Terms that hold something of the output constant, so that the gradient is not the slope."""


@every_term
def test_curves_are_finite_and_the_gradient_is_the_slope(term: LossTerm) -> None:
    drawn = curves(term)
    for name, value in drawn.values.items():
        gradient = drawn.gradients[name]
        assert torch.isfinite(value).all()
        if term.name in DETACHED:
            continue
        slope = torch.gradient(value, spacing=(drawn.points,))[0][1:-1]
        # Central differences over one step of the grid; at a corner they give the mean of the two slopes.
        off = (slope - gradient[1:-1]).abs() > 0.02 * (1 + gradient.abs().max())
        assert off.sum() <= (13 if term.family == "curve" else 4)  # a curve has as many corners as it has knots


@pytest.mark.parametrize("name", ["binary_cross_entropy", "cross_entropy"])
def test_curves_of_the_logistic_loss(name: str) -> None:
    drawn = curves(terms[name])
    first, second = drawn.values.values()
    # -log(1 - σ(z)) = softplus(z) and -log σ(z) = softplus(-z)
    torch.testing.assert_close(first, torch.nn.functional.softplus(drawn.points))
    torch.testing.assert_close(second, torch.nn.functional.softplus(-drawn.points))


@pytest.mark.parametrize(("columns", "shown"), [("80", False), ("120", True)])
def test_the_list_names_hyperparameters_where_there_is_room(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, columns: str, shown: bool
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert ("tunes" in run("terms").out) is shown
