"""The quality benchmark's scenarios: that the list is sound, and that what is disturbed is the training part alone."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from benchmarks.quality import synthetic
from benchmarks.quality.corruption import FEWEST, add_outliers, long_tail, mislabel
from benchmarks.quality.problem import make_problem
from benchmarks.quality.scenarios import Scenario, SkippedScenarioError, choose, read_scenarios, unmet
from benchmarks.quality.tables import data_folder, read_table
from losssearch.errors import OptionError

SCENARIOS = {scenario.name: scenario for scenario in read_scenarios()}
LAPLACE = replace(SCENARIOS["synthetic-laplace"], rows=400)


@pytest.fixture
def labels():
    return pd.Series(np.repeat(["a", "b", "c"], [6000, 3000, 1000]), name="target")


def test_there_are_forty_scenarios_and_negative_controls():
    kinds = [scenario.kind for scenario in SCENARIOS.values()]
    assert len(kinds) >= 40
    assert kinds.count("control") >= 4
    assert {"imbalanced", "multiclass", "long-tail", "noise", "heavy-tail", "count", "calibration"} <= set(kinds)


def test_a_list_is_checked(tmp_path):
    file = tmp_path / "list.yaml"
    line = {"name": "x", "kind": "control", "data": "adult", "metric": "f1"}
    for lines, rule in (
        ([line | {"colour": 1}], "has the fields"),
        ([line, line], "given twice"),
        ([line | {"noise": {"loud": 0.1}}], "noise is one of"),
    ):
        with file.open("w") as stream:
            YAML().dump({"scenarios": lines}, stream)
        with pytest.raises(OptionError, match=rule):
            read_scenarios(file)


def test_scenarios_are_chosen_by_name_or_kind():
    assert {s.kind for s in choose(tuple(SCENARIOS.values()), ["count"])} == {"count"}
    assert [s.name for s in choose(tuple(SCENARIOS.values()), ["spam-u*"])] == ["spam-uniform30"]
    with pytest.raises(OptionError, match="fits none"):
        choose(tuple(SCENARIOS.values()), ["nothing"])


def test_what_cannot_be_measured_is_said():
    assert "nonsense" in unmet(replace(LAPLACE, metric="nonsense"), "regression")
    assert unmet(LAPLACE, "regression") == ""


def test_uniform_noise_hits_every_class_alike(labels):
    moved = mislabel(labels, {"uniform": 0.3}, 0)
    assert (moved != labels).groupby(labels).mean().to_numpy() == pytest.approx([0.3] * 3, abs=0.05)
    # As often to one of the two other classes as to the other.
    assert (moved[labels == "a"] == "b").mean() == pytest.approx(0.15, abs=0.02)


def test_paired_noise_goes_to_the_next_class(labels):
    moved = mislabel(labels, {"pair": 0.3}, 0)
    assert set(zip(labels, moved, strict=True)) == {*zip("abc", "abc", strict=True), *zip("abc", "bca", strict=True)}


def test_flipped_noise_hits_the_named_class_alone(labels):
    wrong = (mislabel(labels, {"flip": {"c": 0.4}}, 0) != labels).groupby(labels).mean()
    assert wrong["a"] == wrong["b"] == 0
    assert wrong["c"] == pytest.approx(0.4, abs=0.05)
    with pytest.raises(OptionError, match="no 'z'"):
        mislabel(labels, {"flip": {"z": 0.4}}, 0)
    with pytest.raises(OptionError, match="share of wrong labels"):
        mislabel(labels, {"uniform": 1.0}, 0)


def test_outliers_are_few_and_large():
    target = pd.Series(np.random.default_rng(0).standard_normal(5000))
    moved = (add_outliers(target, {"share": 0.1, "size": 8}, 0) - target).abs()
    assert (moved > 0).mean() == pytest.approx(0.1, abs=0.02)
    assert moved[moved > 0].min() > 3.9 * target.std()
    assert add_outliers(target, {}, 0) is target


def test_a_long_tail_falls_geometrically(labels):
    kept = labels.iloc[long_tail(labels, 100, 0)].value_counts()
    assert kept.to_dict() == {"a": 6000, "b": 600, "c": 60}
    assert labels.iloc[long_tail(labels, 1e6, 0)].value_counts().min() == FEWEST


@pytest.mark.parametrize("family", synthetic.FAMILIES)
def test_a_family_is_drawn_by_its_seed(family):
    first, again, other = (synthetic.draw(family, 200, seed)[1] for seed in (0, 0, 1))
    assert first.equals(again)
    assert not first.equals(other)


def test_selective_noise_has_the_stated_rates():
    clean = synthetic.draw("selective", 5000, 0)[1]
    wrong = (synthetic.disturb("selective", clean, 0) != clean).groupby(clean).mean()
    assert wrong["yes"] == pytest.approx(synthetic.WRONG["high"], abs=0.04)
    assert wrong["no"] == pytest.approx(synthetic.WRONG["low"], abs=0.03)


def test_the_test_part_is_clean_and_apart():
    problem = make_problem(LAPLACE, 0)
    features, clean, _, _ = synthetic.draw("laplace", 400, 0)
    place = {row.tobytes(): value for row, value in zip(features, clean, strict=True)}
    table = np.asarray(problem.dataset.features, dtype=np.float32)
    held = table[problem.test]
    assert [place[row.tobytes()] for row in held] == pytest.approx(list(problem.test_target))
    train = table[problem.train]
    noise = problem.given.target.to_numpy() - np.array([place[row.tobytes()] for row in train])
    assert np.abs(noise).mean() == pytest.approx(1.5, abs=0.3)  # the mean size of Laplace noise of scale 1.5
    assert not {row.tobytes() for row in held} & {row.tobytes() for row in train}


def test_replicas_leave_the_test_rows_out():
    problem = make_problem(LAPLACE, 1)
    replicas = problem.replicas("final", 2, hold=True)
    assert replicas.train["features"].shape[1] + replicas.validation["features"].shape[1] <= len(problem.train)
    assert replicas.held["test"]["features"].shape[1] == len(problem.test)


def test_repeats_differ_and_stay_the_same():
    fires = replace(SCENARIOS["diabetes-rmse"], rows=200)
    first, again, other = (make_problem(fires, repeat).test_target.tolist() for repeat in (0, 0, 1))
    assert first == again
    assert first != other


def test_absent_data_skip_a_scenario(monkeypatch, tmp_path):
    monkeypatch.setenv("LOSSSEARCH_DATA", str(tmp_path))
    with pytest.raises(SkippedScenarioError, match="catalogue"):
        make_problem(SCENARIOS["adult-f1"], 0)
    (tmp_path / "CATALOG.json").write_text("[]")
    (tmp_path / "DERIVED.json").write_text("[]")
    with pytest.raises(SkippedScenarioError, match="does not name"):
        make_problem(SCENARIOS["adult-f1"], 0)


def test_every_scenario_has_its_data():
    if not (data_folder() / "CATALOG.json").is_file():
        pytest.skip(f"the catalogue of data sets is not in {data_folder()}")
    entries = [e for name in ("CATALOG", "DERIVED") for e in json.loads((data_folder() / f"{name}.json").read_text())]
    named = {entry["name"] for entry in entries}
    assert {s.data for s in SCENARIOS.values() if ":" not in s.data} <= named


def test_a_derived_task_has_the_positives_of_its_rule():
    if not (data_folder() / "DERIVED.json").is_file():
        pytest.skip(f"the catalogue of data sets is not in {data_folder()}")
    rules = json.loads((data_folder() / "DERIVED.json").read_text())
    for rule in (r for r in rules if "positives" in r and r["rows"] < 30_000):
        table = read_table(Scenario(rule["name"], "imbalanced", rule["name"], "f1", rows=30_000))
        assert (table.target == "yes").sum() == rule["positives"], rule["name"]
