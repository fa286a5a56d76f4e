"""Splits by a column of groups or of times."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from losssearch.data import draws, partition
from losssearch.errors import DataError
from tests.data.split_tables import events, given, patients, sides


@pytest.mark.parametrize(("count", "each"), [(100, 10), (40, 6), (1500, 2), (12, 40)])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_group_is_on_two_sides(count: int, each: int, seed: int) -> None:
    frame = patients(count, each)
    dataset = given(frame, group="patient")
    assert "patient" not in [column.name for column in dataset.schema.columns]
    held = sides(dataset, seed)
    owners = {name: set(frame.patient[rows]) for name, rows in held.items()}
    assert sum(map(len, owners.values())) == count
    for name, share in (("search", 0.6), ("confirmation", 0.2), ("test", 0.2)):
        assert len(held[name]) == pytest.approx(share * len(frame), abs=max(each, 0.04 * len(frame)))
        assert frame.y[held[name]].mean() == pytest.approx(frame.y.mean(), abs=0.12)
    for purpose in ("search", "reevaluation-1", "confirmation"):
        for draw in draws(dataset, held["search"], seed=seed, count=6, purpose=purpose):
            assert not set(frame.patient[draw.train]) & set(frame.patient[draw.validation])
            assert set(dataset.target[draw.train]) == {0, 1} == set(dataset.target[draw.validation])


def test_targets_are_spread_over_groups_of_very_different_sizes() -> None:
    generator = np.random.default_rng(1)
    sizes = np.concatenate([[300, 200, 100], generator.integers(1, 20, 80)])
    owner = np.repeat(np.arange(len(sizes)), sizes)
    labels = (generator.random(len(owner)) < generator.random(len(sizes))[owner]).astype(int)
    frame = pd.DataFrame({"a": generator.normal(size=len(owner)), "owner": owner, "y": labels})
    held = sides(given(frame, group="owner"))
    for name, share in (("search", 0.6), ("confirmation", 0.2), ("test", 0.2)):
        assert len(held[name]) == pytest.approx(share * len(frame), rel=0.05)
        assert frame.y[held[name]].mean() == pytest.approx(frame.y.mean(), abs=0.03)


def test_draws_of_groups_differ_and_repeat() -> None:
    dataset = given(patients(), group="patient")
    search = sides(dataset)["search"]
    first = [draw.validation.tolist() for draw in draws(dataset, search, seed=0, count=7, purpose="search")]
    assert first[:3] == [d.validation.tolist() for d in draws(dataset, search, seed=0, count=3, purpose="search")]
    assert len({tuple(sorted(rows)) for rows in first}) == 7


@pytest.mark.parametrize(
    ("count", "labels", "match"),
    [(3, [0, 1, 0], "occurs in . of 3 groups"), (30, [1, 1] + [0] * 28, "class '1' occurs in 2 of 30 groups")],
)
def test_few_groups_are_an_error(count: int, labels: list[int], match: str) -> None:
    owner = np.repeat(np.arange(count), 40)
    frame = pd.DataFrame(
        {"a": np.random.default_rng(0).normal(size=len(owner)), "g": owner, "y": np.array(labels)[owner]}
    )
    with pytest.raises(DataError, match=match):
        partition(given(frame, group="g"), 0)


@pytest.mark.parametrize("classes", [3, 6])
def test_a_class_of_few_groups_reaches_every_part(classes: int) -> None:
    generator = np.random.default_rng(0)
    owner = np.repeat(np.arange(60), 10)
    label = np.where(np.arange(60) < 4 * (classes - 1), np.arange(60) // 4 + 1, 0)[owner]
    frame = pd.DataFrame({"a": generator.normal(size=600), "g": owner, "y": [f"c{one}" for one in label]})
    dataset = given(frame, group="g")
    for seed in range(5):
        held = sides(dataset, seed)
        assert all(len(set(dataset.target[rows])) == classes for rows in held.values())
        for draw in draws(dataset, held["search"], seed=seed, count=3, purpose="search"):
            assert len(set(dataset.target[draw.train])) == classes == len(set(dataset.target[draw.validation]))


@pytest.mark.parametrize("form", ["dates", "text", "numbers"])
def test_later_rows_confirm_and_test(form: str) -> None:
    frame = events()
    moment = frame.day.copy()
    if form == "text":
        frame["day"] = frame.day.dt.strftime("%Y-%m-%d")
    elif form == "numbers":
        frame["day"] = (frame.day - frame.day.min()).dt.days
    dataset = given(frame, time="day")
    assert [column.name for column in dataset.schema.columns] == ["a", "b"]
    held = sides(dataset)
    assert moment[held["search"]].max() < moment[held["confirmation"]].min()
    assert moment[held["confirmation"]].max() < moment[held["test"]].min()
    cuts = set()
    for draw in draws(dataset, held["search"], seed=0, count=6, purpose="search"):
        assert moment[draw.train].max() < moment[draw.validation].min()
        assert not (np.diff(draw.train) > 0).all()
        cuts.add(moment[draw.validation].min())
    assert len(cuts) == 6
    sizes = {len(d.train) for d in draws(dataset, held["search"], seed=0, count=6, purpose="search")}
    assert sizes == {int(0.6 * len(held["search"]))}


def test_the_time_may_stay_a_feature() -> None:
    dataset = given(events(), time="day", time_as_feature=True)
    assert "day" in [column.name for column in dataset.schema.columns]


def test_rows_of_one_time_stay_together() -> None:
    frame = events().assign(day=lambda frame: frame.day.dt.month)  # ten times for 1,200 rows
    dataset = given(frame, time="day")
    held = sides(dataset)
    months = [set(frame.day[rows]) for rows in held.values()]
    assert not months[0] & months[1]
    assert not months[1] & months[2]
    for draw in draws(dataset, held["search"], seed=0, count=4, purpose="search"):
        assert frame.day[draw.train].max() < frame.day[draw.validation].min()


@pytest.mark.parametrize(
    ("times", "match"),
    [
        (["1", "2"] * 100, "a distinct time for each of 3 parts"),
        (["soon", "late"] * 100, "numbers or dates"),
        ([*map(str, range(199)), None], "the first in row 200"),
        ([1] * 80 + [2] * 60 + [3] * 60, "no such cut"),
    ],
)
def test_times_that_cannot_order_rows(times: list[Any], match: str) -> None:
    frame = pd.DataFrame({"a": np.random.default_rng(0).normal(size=200), "t": times, "y": [0, 0, 1, 1] * 50})
    with pytest.raises(DataError, match=match):
        partition(given(frame, time="t"), 0)


def test_a_later_part_of_one_class_is_told() -> None:
    frame = pd.DataFrame(
        {"a": np.random.default_rng(0).normal(size=300), "t": range(300), "y": [0, 1] * 120 + [0] * 60}
    )
    with pytest.raises(DataError, match=r"the test part must hold two classes or more; .* no '1'"):
        partition(given(frame, time="t"), 0)
