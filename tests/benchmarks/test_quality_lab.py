"""The lab for selection rules: what it keeps of a study's candidates is what the study itself measured, and more."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import losssearch
from benchmarks.quality import fitting, lab, product, sweep, tuning
from benchmarks.quality.scenarios import read_scenarios
from benchmarks.quality.unit import read_lines
from losssearch.losses.spec import LossSpec

EPOCHS = 3


@pytest.fixture
def short(monkeypatch):
    """A study of few epochs, few further draws, and a scenario of few rows."""
    plan = fitting.plan_for
    for module in (fitting, tuning):
        monkeypatch.setattr(module, "plan_for", lambda replicas: replace(plan(replicas), epochs=EPOCHS, rungs=()))

    def run(problem, effort, seed, folder):
        given = (problem.given.features, problem.given.target)
        options = {"epochs": EPOCHS, "confirm_seeds": 2, "workers": 0, "mlflow": False, "device": "cpu"}
        return losssearch.search(
            given, task="regression", metric="rmse", **effort, **options, seed=seed, out=folder
        ).to_json()

    monkeypatch.setattr(product, "run", run)
    monkeypatch.setattr(lab, "TOP", 3)
    monkeypatch.setattr(lab, "SEEDS", 2)
    monkeypatch.setattr(lab, "WIDE", (("wide", 2),))
    laplace = next(s for s in read_scenarios() if s.name == "synthetic-laplace")
    monkeypatch.setattr("benchmarks.quality.scenarios.read_scenarios", lambda: (replace(laplace, rows=200),))


def test_the_lab_keeps_all_that_a_rule_could_use_and_the_truth(short, tmp_path):
    said, sound = sweep.examine(partial(lab.measure, trials=12), "synthetic-laplace", 2, tmp_path)
    assert sound, said
    study, *lines = read_lines(tmp_path / "synthetic-laplace-2.jsonl")
    candidates = [line for line in lines if line["type"] == "candidate"]
    assert study["type"] == "study"
    assert {study["recommended"], study["searched"]} <= {line["key"] for line in candidates}
    assert len({line["key"] for line in candidates}) == len(candidates) >= 9
    assert {line["name"] for line in lines if line["type"] == "rival"} >= {"plain", "plain_tuned", "huber", "menu"}
    further = [line for line in candidates if line["narrow"]]
    assert all(len(line["narrow"]) == 15 and len(line["wide"]) == 2 for line in further)
    contenders = [line for line in further if line["study_rounds"]]
    assert contenders
    for line in contenders:  # the same draws, seeds and rates as the study's own
        assert line["narrow"][: len(line["study_rounds"])] == pytest.approx(line["study_rounds"], rel=1e-5)
    for line in lines:
        assert len(line["test"]) == 2
        assert max(line["test"]) < 0  # an error with its sign turned
    directions = np.array([line["signature"] for line in candidates])
    likeness = directions @ directions.T
    assert np.diag(likeness) == pytest.approx(1.0, abs=1e-4)
    assert likeness.min() < 0.95
    assert LossSpec.from_json(candidates[0]["spec"]).key == candidates[0]["key"]


def test_what_is_there_is_not_run_again_and_a_fault_is_said(tmp_path):
    (tmp_path / "adult-f1-2.jsonl").write_text("")
    assert lab.main(["--out", str(tmp_path), "--scenarios", "adult-f1", "--jobs", "1"]) == 0

    def fail(*_):
        raise ZeroDivisionError("broken")

    said, sound = sweep.examine(fail, "adult-f1", 3, tmp_path)
    assert "broken" in said
    assert not sound
    assert not (tmp_path / "adult-f1-3.jsonl").exists()
