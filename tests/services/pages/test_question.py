"""From the fields of a form to the options of a search, and back."""

from __future__ import annotations

import pytest
from starlette.datastructures import QueryParams

from losssearch.errors import InputError
from losssearch.request.remote import remote_request
from services.pages.chart import chart, nice
from services.pages.fairness import positive_share
from services.pages.question import again, from_query, guessed_task, request_of

TASKS = {
    "binary": {
        "metric": "average_precision",
        "gaps": [
            {"name": "demographic_parity_difference", "operator": "<="},
            {"name": "worst_group_accuracy", "operator": ">="},
        ],
    }
}
REQUEST = {
    "target": "income",
    "metric": "cost(fp=1,fn=5)",
    "sensitive": ["sex", " a,b "],
    "constraints": ["demographic_parity_difference <= 0.05", "worst_group_accuracy >= 0.7"],
    "trials": 64,
    "seed": 3,
    "drop": ["id"],
    "confirm_seeds": 10,
    "space": "binary_fair",
    "model": "linear",
    "positive": "yes",
}


def test_a_request_survives_run_again() -> None:
    search = {"request": REQUEST, "dataset": {"id": "d"}, "name": "a name"}
    address = again(search, seed=4)
    fields = from_query(QueryParams(address.partition("?")[2]))
    assert (fields.dataset, fields.title) == ("d", "a name")
    made = request_of(fields, TASKS)
    assert made == {**REQUEST, "seed": 4}
    remote_request(made)


def test_empty_fields_are_no_options() -> None:
    query = QueryParams("dataset=d&target=y&metric=&space=&model=&gap=&limit=&gap=&limit=&trials=&sensitive=")
    assert request_of(from_query(query), TASKS) == {"target": "y"}


@pytest.mark.parametrize("limit", ["x", "1e", "0.05; drop"])
def test_a_limit_is_a_number(limit: str) -> None:
    query = QueryParams([("gap", "demographic_parity_difference"), ("limit", limit)])
    with pytest.raises(InputError, match="limit of a constraint must be a number"):
        request_of(from_query(query), TASKS)


@pytest.mark.parametrize(
    ("kind", "distinct", "values", "task"),
    [
        ("categorical", 2, ["a", "b"], "binary"),
        ("numeric", 2, ["0", "1"], "binary"),
        ("categorical", 3, [], "multiclass"),
        ("numeric", 3, ["0", "1", "2"], "multiclass"),
        ("numeric", 3, ["0.5", "1", "2"], "regression"),
        ("numeric", 20, [str(n) for n in range(20)], "regression"),
        ("numeric", 900, [], "regression"),
    ],
)
def test_the_kind_of_task_is_guessed_as_a_study_infers_it(
    kind: str, distinct: int, values: list[str], task: str
) -> None:
    column = {"kind": kind, "distinct": distinct, "values": [{"value": one, "count": 1} for one in values]}
    assert guessed_task(column, 300) == task


def test_the_share_of_positives() -> None:
    column = {"values": [{"value": "no", "count": 30}, {"value": "yes", "count": 10}]}
    assert positive_share(column, "") == 0.25
    assert positive_share(column, "no") == 0.75
    assert positive_share({"values": [{"value": "a", "count": 9}, {"value": "b", "count": 1}]}, "") == 0.1


def test_the_chart_has_a_step_per_improvement_and_stays_within_its_frame() -> None:
    values = [(0, 0.5, 0.5), (1, 0.4, 0.5), (2, None, 0.5), (3, 0.9, 0.9), (4, float("nan"), 0.9), (5, -1e300, 0.9)]
    made = chart(values)
    assert made is not None
    points = [tuple(map(float, point.split(","))) for point in made.line.split()]
    assert len(points) == 4
    assert points[0][1] > points[-1][1], "better is up where the metric is to be high"
    assert len(made.dots) == 2, "what is far off is left out"
    for x, y in (*points, *made.dots):
        assert 0 <= x <= made.width
        assert 0 <= y <= made.height
    assert chart([]) is None
    assert chart([(0, None, None)]) is None
    unmet = chart([(0, 0.4, None), (1, 0.5, None)])
    assert unmet is not None
    assert (unmet.line, unmet.last, len(unmet.dots)) == ("", None, 2)
    flat = chart([(0, 0.5, 0.5)] * 3)
    assert flat is not None
    assert flat.last == 0.5
    assert nice(0.31, 0.34) == [0.31, 0.32, 0.33, 0.34]
