"""The leaderboard's order, differences and marks."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from losssearch.report.leaderboard import as_records, leaderboard

Maker = Callable[..., dict[str, Any]]


def test_best_first_by_the_metrics_direction(make_result: Maker) -> None:
    up, down = leaderboard(make_result("binary")), leaderboard(make_result("regression"))
    assert [row.name for row in up[:3]] == ["searched", "focal", "cross_entropy_tuned"]
    assert [row.name for row in down] == ["searched", "absolute", "huber", "mse", "tukey_biweight"]
    assert [row.rank for row in up] == list(range(1, 9))
    assert [row.name for row in up if row.recommended] == ["searched"]


def test_the_searched_loss_stands_once_where_the_best_is_a_baseline(make_result: Maker) -> None:
    rows = leaderboard(make_result("binary", recommended="baseline"))
    assert [row.name for row in rows if row.recommended] == ["focal"]
    assert sorted(row.name for row in rows).count("searched") == 1
    assert len({row.name for row in rows}) == len(rows) == 8


def test_a_result_with_best_alone(make_result: Maker) -> None:
    result = make_result("binary")
    del result["searched"], result["best"]["name"], result["best"]["formula"]
    rows = leaderboard(result)
    assert rows[0].name == "searched"
    assert "focal" in rows[0].formula


def test_no_searched_loss(make_result: Maker) -> None:
    result = make_result("binary", recommended="baseline") | {"searched": None}
    assert [row.name for row in leaderboard(result)][:2] == ["focal", "cross_entropy_tuned"]


def test_the_interval_has_the_sign_and_unit_of_the_difference(make_result: Maker) -> None:
    # the verdict's is searched less baseline, above zero where better: +0.003 to +0.015
    up = {row.name: row for row in leaderboard(make_result("binary"))}
    assert up["focal"].interval == (-0.015, -0.003)
    assert up["focal"].difference == pytest.approx(-0.009)
    assert up["searched"].interval is None
    assert up["cross_entropy"].interval is None
    down = {row.name: row for row in leaderboard(make_result("regression"))}
    assert down["absolute"].interval == (0.003, 0.015)
    assert down["absolute"].difference == pytest.approx(0.006)
    behind = make_result("binary", recommended="baseline")
    for key in ("searched", "best"):
        behind[key]["test"] = {**behind[key]["test"], "mean": behind[key]["test"]["mean"]}
    behind["searched"]["test"]["mean"] = 0.69
    behind["verdict"]["interval"] = [-0.02, -0.008]
    row = next(row for row in leaderboard(behind) if row.name == "searched")
    assert row.interval == (-0.02, -0.008)
    assert row.difference == pytest.approx(0.69 - 0.704)


def test_a_loss_without_a_test_value_comes_last(make_result: Maker) -> None:
    result = make_result("binary")
    for value in (None, float("nan")):
        result["baselines"][3]["test"] = {"mean": value, "std": None, "values": []}
        last = leaderboard(result)[-1]
        assert (last.name, last.test, last.difference) == ("focal", None, None)


def test_rows_say_which_epoch_counts(make_result: Maker) -> None:
    result = make_result("binary")
    result["baselines"][0]["epochs"] = {"best": 7, "trained": 12, "most": 23}
    named = {row.name: (row.best_epoch, row.most_epochs) for row in leaderboard(result)}
    assert named[result["baselines"][0]["name"]] == (7, 23)
    assert named[result["baselines"][1]["name"]] == (None, None)  # a study of an older version


def test_records_are_flat_and_serialisable(make_result: Maker) -> None:
    records = as_records(leaderboard(make_result("binary")))
    assert json.loads(json.dumps(records, allow_nan=False)) == records
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(records[0]))
    writer.writerows(records)
    assert records[1]["interval_low"] == -0.015
    names = "rank name formula validation test std difference interval_low interval_high recommended"
    names += " best_epoch most_epochs"
    assert set(records[0]) == set(names.split())
