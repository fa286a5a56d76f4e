"""The quality benchmark's units: every method chooses within its means, all are trained alike, and nothing is lost."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.quality import families, fitting, ml3, one_by_one, product, trees, tuning
from benchmarks.quality.__main__ import main
from benchmarks.quality.families import AGAINST, FAMILIES, MENU, OPTUNA, OURS, PLAIN, PLAIN_TUNED, SEARCHED, TREES
from benchmarks.quality.problem import make_problem
from benchmarks.quality.running import run_units
from benchmarks.quality.scenarios import read_scenarios
from benchmarks.quality.stages import run_unit
from benchmarks.quality.unit import Settings, Unit
from losssearch.losses.spec import LossSpec
from losssearch.losses.term import registry
from losssearch.tasks import TASKS

SCENARIOS = {scenario.name: scenario for scenario in read_scenarios()}
LAPLACE = replace(SCENARIOS["synthetic-laplace"], rows=200)
HUBER = LossSpec.from_json({"parts": [{"term": "huber", "delta": 0.3}]})


@pytest.fixture(scope="module")
def problem():
    return make_problem(LAPLACE, 0)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Trainings of a few epochs."""
    plan = fitting.plan_for

    def few(replicas):
        return replace(plan(replicas), epochs=4, rungs=(1, 2))

    for module in (fitting, tuning, one_by_one, ml3):
        monkeypatch.setattr(module, "plan_for", few)


@pytest.fixture
def study(monkeypatch):
    """The product answers at once, and notes what it was given."""
    given = []

    def search(problem, effort, seed):
        assert effort == {"time_budget": 0.01}
        given.append(problem.given)
        verdict = {"recommended": "searched", "difference": 0.1, "interval": [0.0, 0.2]}
        return product.Found(
            HUBER, HUBER, families.DEFAULT["regression"].spec(), {"verdict": verdict, "trials": {"total": 2}}
        )

    monkeypatch.setattr(product, "search", search)
    return given


@pytest.mark.parametrize("task", FAMILIES)
def test_families_are_losses_of_their_task_and_tune_their_terms(task):
    for name, family in {**FAMILIES[task], PLAIN_TUNED: families.DEFAULT[task]}.items():
        assert family.spec().reads <= TASKS[task].offers, name
        assert set(family.domains()) == set(family.tuned) <= set(registry[family.term].domains)
        assert family.spec().decision == "tuned"
    assert families.plain(task).decision == "fixed"


def test_every_family_is_tuned_at_least_at_its_default(problem):
    found = tuning.tune(problem, FAMILIES["regression"], 0.01, 0)
    assert set(found) == set(FAMILIES["regression"])
    assert all(own.trials == 1 and np.isfinite(own.utility) for own in found.values())


def test_more_time_tries_more_settings(problem):
    found = tuning.tune(problem, {"huber": FAMILIES["regression"]["huber"]}, 5.0, 0)
    assert 4 <= found["huber"].trials <= tuning.MOST


def test_one_by_one_trains_at_least_one(problem):
    found = one_by_one.search(problem, 0.01, 0)
    assert found.trials == 1
    assert np.isfinite(found.utility)


def test_equal_losses_get_equal_results_and_all_are_read_on_the_same_rows(problem):
    fitted = fitting.fit_all(problem, {"one": HUBER, "two": HUBER, "plain": families.plain("regression")}, 2)
    assert fitted["one"].values(problem) == fitted["two"].values(problem) != fitted["plain"].values(problem)
    assert fitted["plain"].outputs.shape == (2, len(problem.test))
    nothing = fitting.compare(problem, fitted["one"], fitted["two"])
    assert nothing["difference"] == 0
    some = fitting.compare(problem, fitted["one"], fitted["plain"])
    gap = np.mean(fitted["plain"].values(problem)) - np.mean(fitted["one"].values(problem))  # an error: lower is better
    assert some["difference"] == pytest.approx(gap)


def test_trees_and_a_learned_loss_are_read_on_the_same_rows(problem):
    assert trees.fit(problem, 2).outputs.shape == (2, len(problem.test))
    with pytest.raises(NotImplementedError):
        ml3.fit(problem, 2, 1.0)
    diabetes = make_problem(SCENARIOS["diabetes-rmse"], 0)
    learned = ml3.fit(diabetes, 2, 1.0)
    assert np.isfinite(learned.values(diabetes)).all()


def test_trees_know_classes_that_no_training_row_has():
    wide = trees._widened(np.array([[1.0, 2.0]]), np.array([0, 2]), 3)
    assert wide.tolist() == [[1.0, 0.0, 2.0]]


def test_a_unit_keeps_every_method_and_is_not_done_twice(tmp_path, study, monkeypatch):
    (tmp_path / "units").mkdir()
    unit = Unit(LAPLACE, 0, Settings(0.01, 2), tmp_path)
    said, seconds = run_unit(unit)
    assert said == "done"
    assert seconds > 0
    results = {line["method"]: line for line in unit.lines() if line["type"] == "result"}
    assert {PLAIN, PLAIN_TUNED, MENU, OPTUNA, OURS, SEARCHED, AGAINST, TREES, "optimum", "huber"} <= set(results)
    assert all(len(results[name]["test"]) == 2 for name in (PLAIN, OURS))
    assert set(results[PLAIN]["ours_less"]) == {OURS, SEARCHED, AGAINST}
    assert unit.done()
    (given,) = study
    assert len(given.target) == len(make_problem(LAPLACE, 0).train)
    monkeypatch.setattr(tuning, "tune", None)  # what is chosen is not chosen again
    assert run_unit(replace(unit, methods=frozenset({PLAIN, OURS})))[0] == "done"
    assert len(study) == 1


def test_a_fault_is_kept_and_tried_again(tmp_path, monkeypatch):
    (tmp_path / "units").mkdir()
    unit = Unit(LAPLACE, 0, Settings(0.01, 2), tmp_path, frozenset({PLAIN, OURS}))

    def fail(*_):
        raise ZeroDivisionError("broken")

    monkeypatch.setattr(product, "search", fail)
    assert run_unit(unit)[0] == "failed: ZeroDivisionError: broken"
    assert [line["type"] for line in unit.lines()] == ["failed"]
    assert not unit.done()


def test_what_cannot_be_run_is_skipped(tmp_path):
    (tmp_path / "units").mkdir()
    unit = Unit(replace(LAPLACE, metric="nonsense"), 0, Settings(0.01, 2), tmp_path)
    assert run_unit(unit)[0].startswith("skipped: ")
    assert unit.skipped()


def test_nothing_is_begun_without_time_for_it(tmp_path):
    (tmp_path / "units").mkdir()
    unit = Unit(LAPLACE, 0, Settings(10.0), tmp_path)
    assert run_units([unit], 1, 5.0, print) == 1
    assert unit.lines() == []


def test_bad_usage_is_said(tmp_path, capsys):
    for arguments, rule in (
        (["--scenarios", "nothing"], "fits none"),
        (["--methods", "magic"], "methods are"),
        (["--repeats", "0"], "at least 1"),
        (["--report-only"], "holds none"),
    ):
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--out", str(tmp_path / "out")])
        assert ended.value.code == 2
        assert rule in capsys.readouterr().err


def test_settings_of_a_folder_stay(tmp_path, capsys):
    (tmp_path / "units").mkdir()
    (tmp_path / "settings.json").write_text('{"budget": 1.0, "seeds": 3, "trials": null, "own_budget": false}')
    with pytest.raises(SystemExit):
        main(["--budget", "2", "--out", str(tmp_path)])
    assert "other settings" in capsys.readouterr().err
