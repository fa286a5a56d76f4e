"""What the report is told of a training, of traces that are written out."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from losssearch.losses.spec import LossSpec
from losssearch.study.selecting.course import part_weights, row_weights
from losssearch.study.selecting.row_memory import row_memory, tells_of_rows
from losssearch.tasks import get_task
from losssearch.training import Outcome
from losssearch.training.trace import Trace

UTILITIES = np.zeros((4, 2))


def spec_of(*parts: dict[str, Any], **more: Any) -> LossSpec:
    return LossSpec.from_json({"parts": list(parts), **more})


def test_a_weight_that_follows_a_schedule_is_drawn_over_the_epochs_that_there_were() -> None:
    moving = {"schedule": "linear", "start": 0.0, "end": 2.0}
    spec = spec_of({"term": "brier"}, {"term": "cross_entropy", "weight": moving, "scale": 0.25})
    found = part_weights(spec, Trace(UTILITIES), most=8)
    assert found is not None
    assert found["parts"] == ["brier", "(0→2)·cross_entropy(smoothing=0)"]
    assert found["epochs"] == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(found["values"], [[1.0] * 5, [0, 0.25, 0.5, 0.75, 1.0]])  # 4 of 8 epochs: half of 2


def test_a_learned_weight_is_drawn_as_it_was() -> None:
    spec = spec_of({"term": "brier", "weight": {"learned": "uncertainty"}}, {"term": "focal"})
    states = {"0_log_variance": np.array([[9.0, 0], [9, 0.5], [9, 1], [9, 2], [9, -1]])}
    found = part_weights(spec, Trace(UTILITIES, replica=1, states=states), most=4)
    assert found is not None
    np.testing.assert_allclose(found["values"][0], np.exp([0, -0.5, -1, -2, 1]))  # Kendall et al. 2018, eq. 10
    assert part_weights(spec, Trace(UTILITIES), most=4) is None  # of states that were not kept nothing is known


def test_a_balance_multiplies_the_weights() -> None:
    spec = spec_of({"term": "brier", "weight": 3.0}, {"term": "focal", "weight": 1.0}, balance="geometric_mean")
    balance = np.stack([np.full((2, 2), value) for value in (1.0, 2.0, 4.0, 8.0)])
    found = part_weights(spec, Trace(UTILITIES, balance=balance), most=4)
    assert found is not None
    assert found["epochs"] == [1, 2, 3, 4]
    np.testing.assert_allclose(found["values"], [[0.75, 1.5, 3, 6], [0.25, 0.5, 1, 2]])


@pytest.mark.parametrize("parts", [[{"term": "brier"}], [{"term": "brier"}, {"term": "focal"}]])
def test_weights_that_stay_are_not_drawn(parts: list[dict[str, Any]]) -> None:
    assert part_weights(spec_of(*parts), Trace(UTILITIES), most=4) is None


def context(labels: list[int], trained: list[list[int]]) -> Any:
    """As much of a study on three classes as memories of rows need."""
    return SimpleNamespace(
        dataset=SimpleNamespace(classes=("a", "b", "c"), target=np.array(labels)),
        partition=SimpleNamespace(search=np.arange(len(labels))[::-1]),
        trained={"confirmation": np.array(trained)},
        task=get_task("multiclass"),
        facts=lambda: {"class_prior": torch.full((3,), 1 / 3)},
    )


def test_rows_are_told_by_the_means_over_the_trainings_that_had_them() -> None:
    spec = spec_of({"term": "early_learning"})
    assert tells_of_rows(spec)
    assert not tells_of_rows(spec_of({"term": "cross_entropy"}))
    kept = np.zeros((2, 2, 3))
    kept[0] = [[0.4, 0.1, 0.0], [0.0, 0.0, 0.5]]
    kept[1] = [[0.6, 0.4, 0.0], [0.0, 0.0, 0.0]]  # the second was never in a batch
    found = row_memory(context([0, 1, 2, 2], [[0, 1], [0, 3]]), spec, Trace(UTILITIES, rows={"0_kept": kept}))
    assert found is not None
    assert found.target is not None
    nan = math.nan
    # in the order of the search part: rows 3, 2, 1, 0
    np.testing.assert_allclose(found.target, [[nan] * 3, [nan] * 3, [0, 0, 1], [0.7, 0.3, 0]], rtol=1e-6)
    expected = [nan, nan, -math.log(1e-6), -(math.log(0.8) + math.log(0.6)) / 2]
    np.testing.assert_allclose(found.loss, expected, rtol=1e-5)


def test_a_running_loss_is_told_where_no_target_is_kept() -> None:
    past = np.array([[[1.0, 0.5], [0.0, 0.0]]])
    found = row_memory(
        context([0, 1], [[0, 1]]), spec_of({"term": "small_loss"}), Trace(UTILITIES, rows={"0_past": past})
    )
    assert found is not None
    assert found.target is None
    np.testing.assert_allclose(found.loss, [math.nan, 2.0])


def weights_of(spec: LossSpec, rows: dict[str, Any], outputs: list[list[float]], target: list[int]) -> dict[str, Any]:
    trace = Trace(UTILITIES, rows=rows, outputs=np.array(outputs), target=np.array(target))
    contender = SimpleNamespace(spec=spec, trial=SimpleNamespace(origin="searched"))
    reading: Any = SimpleNamespace(contender=contender, outcome=Outcome("completed", trace=trace))
    found = row_weights(context(target, [list(range(len(target)))]), reading, trace)
    assert found is not None
    return found


def test_half_of_the_rows_count_where_the_other_half_is_left_out() -> None:
    spec = spec_of({"term": "small_loss", "share": 0.5, "over": 0.5, "smoothing": 0.0})
    outputs = [[1.0, 0, 0]] * 4
    past = np.zeros((1, 4, 2))
    found = weights_of(spec, {"0_past": past}, outputs, [0, 0, 1, 1])
    assert found["changed"] is None
    edges = np.array(found["edges"])
    counted = {float(edges[place]): count for place, count in enumerate(found["kept"]) if count}
    assert counted == {0.0: 2, 2.0: 2}  # relative to the mean, those that are kept count twice


def test_rows_whose_kept_target_is_another_class_are_told_apart() -> None:
    spec = spec_of({"term": "early_learning", "strength": 5.0, "beta": 0.9})
    kept = np.array([[[0.9, 0.05, 0.05], [0.9, 0.05, 0.05], [0.05, 0.9, 0.05]]])
    found = weights_of(spec, {"0_kept": kept}, [[2.0, 0, 0], [2.0, 0, 0], [0.0, 2.0, 0]], [0, 1, 1])
    assert sum(found["changed"]) == 1
    assert sum(found["kept"]) == 2
    edges = np.array(found["edges"])
    assert edges[np.flatnonzero(found["changed"])[0] + 1] <= 0.25, "the row of the wrong label hardly counts"
