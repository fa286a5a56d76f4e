"""The driver's benchmark: that a study runs to its end without training, and what its figures mean."""

import json

import pytest
import torch

from benchmarks import driver
from benchmarks.driver_study import InstantExecutor, Recorder
from losssearch.execution import Job
from losssearch.storage.records import TrialRecord
from losssearch.training import TrainingPlan


@pytest.fixture(scope="module")
def figures():
    return driver.run(driver.Course("sqlite", 48))


def test_a_study_runs_to_its_last_trial(figures):
    assert figures["trials"] == sum(figures["states"].values()) == 48
    assert {"completed", "pruned"} <= set(figures["states"])
    assert figures["menu"]["trials"] + figures["searched"]["trials"] == 48
    assert figures["problems"] == []


def test_parts_add_up_to_the_whole(figures):
    parts = figures["parts_seconds"]
    assert set(parts) == {"propose", "screen", "store", "track", "other"}
    assert min(parts.values()) >= 0
    assert sum(parts.values()) == pytest.approx(figures["seconds"], abs=5)


def test_memory_is_read_at_every_tenth(figures):
    assert len(figures["memory_mib"]) == 11
    assert min(figures["memory_mib"]) > 10


def test_result_holds_what_readers_of_the_json_rely_on(figures):
    summary, ratios = driver.summarise({"sqlite": figures})
    assert json.loads(json.dumps([summary, ratios])) == [summary, ratios]
    assert ratios["rate_to_goal"]["sqlite"] == figures["searched"]["trials_per_cpu_second"] / driver.GOAL


def test_slower_devices_are_fed_in_greater_number():
    # 1,024 members are 85.3 trials of 4 rates and 3 replicas: at as many trials a second, one device a second.
    fed = driver.devices_fed(1024 / 12)
    assert fed == {"1": 1.0, "10": 10.0, "60": 60.0, "600": 600.0}


def test_postgresql_is_measured_where_it_is_named(monkeypatch):
    monkeypatch.delenv(driver.POSTGRES, raising=False)
    assert [course.name for course in driver.courses(quick=True)] == ["sqlite", "sqlite_mlflow"]
    monkeypatch.setenv(driver.POSTGRES, "postgresql+psycopg://localhost/test")
    assert "postgresql" in [course.name for course in driver.courses(quick=True)]
    assert driver.courses(quick=False)[0].trials == 20_000


def test_the_executor_answers_each_candidate_alike_in_any_population():
    spec, other = ({"parts": [{"term": "focal", "gamma": gamma}]} for gamma in (1.0, 2.0))

    def answers(*specs):
        plan = TrainingPlan(1, 1)
        job = Job(1, "all", tuple((s, (0.1,), False) for s in specs), "multiclass", "accuracy", "mlp", plan)
        return next(InstantExecutor().run([job]))[1]

    assert answers(spec, other)[1] == answers(other)[0]
    assert answers(spec) != answers(other)


def test_rates_are_those_between_two_trials():
    recorder = Recorder()
    recorder.start()
    record = TrialRecord(0, "baseline", "x", {}, "")
    for _ in range(10):
        recorder.trials([record], None)
    found = recorder.figures(menu=4)
    assert found["menu"]["trials"] == 4
    assert found["searched"]["trials"] == 6


def test_table_shows_every_course(figures, capsys):
    summary, ratios = driver.summarise({"sqlite": figures})
    driver.show({"figures": summary, "ratios": ratios})
    assert "devices that one driver feeds" in capsys.readouterr().out


def test_bad_input_ends_with_one_error(capsys):
    threads = torch.get_num_threads()
    with pytest.raises(SystemExit) as end:
        driver.main(["--json", "missing/folder/x.json"])
    assert end.value.code == 2
    assert "must" in capsys.readouterr().err
    assert torch.get_num_threads() == threads
