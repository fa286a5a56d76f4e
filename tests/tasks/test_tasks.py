"""What every kind of task must say of itself."""

from __future__ import annotations

import pytest

from losssearch.errors import SpecError, UnknownNameError
from losssearch.evaluation import get_metric
from losssearch.losses import terms
from losssearch.losses.domains import Float, Int
from losssearch.losses.spec import LossSpec, Part
from losssearch.models import MODELS
from losssearch.space import load_space
from losssearch.tasks import TASKS, Task, get_task
from losssearch.tasks.task import Baseline

every_task = pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
every_baseline = pytest.mark.parametrize(
    ("task", "baseline"),
    [pytest.param(task, b, id=f"{kind}-{b.name}") for kind, task in TASKS.items() for b in (*task.menu, *task.further)],
)


@every_task
def test_its_defaults_exist(task: Task) -> None:
    assert get_task(task.kind) is task
    assert get_metric(task.metric, task.kind).name == task.metric
    assert load_space(task.space).task == task.kind
    assert task.model in MODELS
    assert task.offers <= set(task.offer.providers)


@every_task
def test_its_menu_opens_with_the_plain_loss_as_everybody_uses_it(task: Task) -> None:
    """Nothing tuned after training, no setting but the default; then the same loss with tuning."""
    plain, tuned = task.menu[0], task.menu[1]
    assert task.plain is plain
    assert (plain.decision, tuned.decision) == ("fixed", "tuned")
    others = {"binary": "binary_cross_entropy", "multiclass": "cross_entropy", "ordinal": "cross_entropy"}
    others |= {"count": "rate_squared", "ranking": "grade_squared"}
    assert plain.term == tuned.term == others.get(task.kind, "squared")
    assert not plain.tunable
    assert not plain.fixed
    assert {baseline.decision for baseline in task.menu[1:]} == {"tuned"}


@every_task
def test_names_and_losses_of_its_menu_differ(task: Task) -> None:
    assert len({baseline.name for baseline in task.menu}) == len(task.menu)
    assert len({baseline.spec() for baseline in task.menu}) == len(task.menu)


@every_baseline
def test_a_baseline_fits_its_task(task: Task, baseline: Baseline) -> None:
    term = terms[baseline.term]
    assert term.fits(task.offers)
    assert baseline.spec().reads <= task.offers


@every_baseline
def test_what_a_baseline_tunes_is_a_number_of_its_term(task: Task, baseline: Baseline) -> None:
    domains = terms[baseline.term].domains
    for name in baseline.tunable:
        domain = domains[name]
        assert isinstance(domain, Float | Int)
        for value in (domain.low, domain.high):
            (part,) = baseline.spec({name: value}).parts
            assert part.hyperparameters[name] == value


AIMED = [
    ("binary", "cost(fp=1,fn=5)", "cost_sensitive", {"ratio": 5.0}),
    ("binary", "cost(fp=4,fn=1)", "cost_sensitive", {"ratio": 0.25}),
    ("binary", "cost(fp=1,fn=90)", "cost_sensitive", {"ratio": 20.0}),  # the end of the term's range
    ("regression", "pinball(0.9)", "quantile", {"quantile": 0.9}),
]


@pytest.mark.parametrize(("kind", "metric", "name", "expected"), AIMED, ids=[row[1] for row in AIMED])
def test_the_menu_is_aimed_at_the_numbers_of_the_metric(
    kind: str, metric: str, name: str, expected: dict[str, float]
) -> None:
    task = get_task(kind)
    aimed = task.aimed(dict(get_metric(metric, kind).aims))
    assert aimed.menu[:2] == task.menu[:2]
    assert {b.name for b in aimed.menu} - {b.name for b in task.menu} <= {name}
    (found,) = [b for b in aimed.menu if b.name == name]
    assert found.spec() == LossSpec((Part(found.term, expected),))
    if found.tunable:
        assert found.spec({"quantile": 0.3}) == LossSpec((Part(found.term, {"quantile": 0.3}),))


@every_task
def test_a_metric_without_numbers_leaves_the_menu_as_it_is(task: Task) -> None:
    for metric in (task.metric, *(["cost(fp=0,fn=1)", "cost(fp=1,fn=0)"] if task.kind == "binary" else [])):
        assert task.aimed(dict(get_metric(metric, task.kind).aims)).menu == task.menu


@pytest.mark.parametrize(
    ("kind", "classes", "width"), [("binary", 2, 1), ("multiclass", 3, 3), ("multiclass", 10, 10), ("regression", 0, 1)]
)
def test_width_is_what_a_model_must_put_out(kind: str, classes: int, width: int) -> None:
    assert get_task(kind).width(classes) == width


def test_settings_take_the_place_of_defaults() -> None:
    smoothing = next(b for b in get_task("multiclass").menu if b.name == "label_smoothing")
    assert smoothing.spec() == LossSpec((Part("cross_entropy", {"smoothing": 0.1}),))
    assert smoothing.spec({"smoothing": 0.3}) == LossSpec((Part("cross_entropy", {"smoothing": 0.3}),))
    with pytest.raises(SpecError, match="no hyperparameter"):
        smoothing.spec({"smothing": 0.3})


def test_an_unknown_task_gets_the_nearest_names() -> None:
    with pytest.raises(UnknownNameError, match="did you mean regression"):
        get_task("regresion")
