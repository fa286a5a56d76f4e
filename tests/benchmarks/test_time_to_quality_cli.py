"""The benchmark of time to quality: that all measure alike, and what its figures mean."""

import json

import pytest
import torch

from benchmarks import time_to_quality as race
from benchmarks.quality_rivals import RATE, Course, Training, quality
from benchmarks.workload import load_workload
from losssearch.evaluation import get_metric
from losssearch.execution import InProcessExecutor
from losssearch.training import RATES
from losssearch.training.threads import one_thread


@pytest.mark.parametrize("task", race.METRIC)
def test_rivals_measure_as_losssearch_does(task):
    torch.manual_seed(0)
    outputs = torch.randn(200, 3).round(decimals=1) if task == "multiclass" else torch.randn(200).round(decimals=1)
    target = torch.randint(3 if task == "multiclass" else 2, (200,))
    expected = float(get_metric(race.METRIC[task], task).function(outputs, target))
    assert quality(outputs, target) == pytest.approx(expected, abs=1e-12)


def test_a_metric_leaves_nothing_to_tune():
    assert {get_metric(name, task).adjustment for task, name in race.METRIC.items()} == {"none"}


@pytest.fixture(scope="module")
def workload():
    return load_workload("digits", epochs=2)


def test_a_rival_trains_a_loss_of_the_space(workload):
    space = race.make_space("multiclass")
    training = Training(workload.table, space, workload.width, 2, workload.batch_size, 0, (min(RATES), max(RATES)))
    assert training.train({"base.term": "cross_entropy", "base.cross_entropy.smoothing": 0.0, RATE: 5e-3}) > 0.8


def test_losssearch_stops_where_it_has_what_was_wanted(workload):
    with one_thread():
        watch = race.search(workload, InProcessExecutor(), seed=0, most=32, wanted=0.5)
    assert 0 < watch.trials_ended < 32
    assert watch.curve[-1][1] >= 0.5
    assert race.seconds_to(watch.curve, 0.5) == watch.curve[-1][0]
    assert race.seconds_to(watch.curve, 1.1) is None
    assert race.seconds_to(watch.told, 0.5) < race.seconds_to(watch.curve, 0.5)  # at an epoch, or with the population


def test_ratios_compare_with_all_trials_and_with_the_time_to_the_best():
    course = Course(20.0, ((5.0, 0.8), (10.0, 0.9), (20.0, 0.9)))
    watch = race.Watch(0.9)
    watch.told = [(0.5, 0.85), (1.0, 0.95)]
    watch.curve = [(1.0, 0.85), (2.0, 0.95)]
    runs = [{"rivals": {"actors": race._figures(course, watch)}}]
    ratios = race._ratios(runs, "actors")
    assert ratios["of_all_its_trials"] == {"by_seed": [0.1], "median": 0.1}
    assert ratios["of_its_time_to_best"] == {"by_seed": [0.2], "median": 0.2}
    assert ratios["of_all_its_trials_told"] == {"by_seed": [0.05], "median": 0.05}
    watch.curve = []
    runs.append({"rivals": {"actors": race._figures(course, watch)}})
    ratios = race._ratios(runs, "actors")
    assert ratios["of_all_its_trials"] == {"by_seed": [0.1, None], "median": None}
    assert json.loads(json.dumps(ratios)) == ratios


def test_quick_runs_less():
    quick, full = race.quick(4, "adult"), race.full(4, "adult")
    assert full.trials == {"actors": 64, "tune": 64}
    assert len(full.seeds) == 3
    assert quick.workers == 2
    assert sum(quick.trials.values()) < 20
    assert quick.reduced
