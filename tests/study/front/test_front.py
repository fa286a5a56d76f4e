"""Places on a front: what is undominated, what area it has, and that thresholds are read as they were chosen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fairlearn.metrics import demographic_parity_difference
from sklearn.metrics import accuracy_score

from losssearch.evaluation import get_metric
from losssearch.study.front.places import (
    Place,
    Rows,
    TradeOff,
    area,
    area_differences,
    floor_of,
    front_of,
    moved,
    places_of,
    read_place,
)

LIMITS = [0.01 * step for step in range(1, 60)]
TRADE = TradeOff(get_metric("accuracy", "binary"), "demographic_parity_difference", "binary")


def _place(utility: float, gap: float) -> Place:
    return Place(0, 0, (0.0, 0.0), utility, gap)


def _rows(count: int = 400, seed: int = 0) -> tuple[Rows, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    group = torch.randint(2, (count,), generator=generator)
    target = (torch.rand(count, generator=generator) < 0.3 + 0.3 * group).long()
    scores = torch.randn(1, count, generator=generator) + target + 0.5 * group
    return Rows(target, group, 2), scores


def test_a_front_holds_what_nothing_beats() -> None:
    best, dominated, narrow = _place(0.9, 0.3), _place(0.7, 0.35), _place(0.6, 0.1)
    assert front_of([best, dominated, narrow]) == [narrow, best]


def test_an_area_is_the_mean_of_the_best_within_each_limit() -> None:
    assert area([0.6, 0.9], [0.1, 0.3], [0.05, 0.2, 0.4], floor=0.5) == pytest.approx((0.5 + 0.6 + 0.9) / 3)


def test_places_are_what_other_libraries_measure() -> None:
    rows, scores = _rows()
    places = list(places_of(TRADE, 0, scores, rows))
    assert len(places) > 10
    for place in places[::5]:
        decided = (scores[0].double().numpy() > place.thresholds[0]).astype(int)
        gap = demographic_parity_difference(rows.target.numpy(), decided, sensitive_features=rows.group.numpy())
        assert place.utility == pytest.approx(accuracy_score(rows.target.numpy(), decided))
        assert place.gap == pytest.approx(gap)


def test_within_each_limit_no_threshold_is_better() -> None:
    rows, scores = _rows(120)
    places = list(places_of(TRADE, 0, scores, rows))
    cuts = np.unique(scores[0].numpy())
    every = [read_place(TRADE, Place(0, 0, (c, c), 0, 0), scores[0], rows) for c in (cuts[:-1] + cuts[1:]) / 2]
    for limit in LIMITS:
        reached = [p.utility for p in places if p.gap <= limit]
        possible = [p.utility for p in every if p.gap <= limit]
        assert max(reached, default=0.0) >= max(possible, default=0.0) - 1e-12


def test_a_threshold_a_group_reaches_more() -> None:
    rows, scores = _rows()
    single, more = (front_of(list(places_of(TRADE, 0, scores, rows, by_group=b))) for b in (False, True))
    floor = floor_of(TRADE, single, rows)
    areas = [area([p.utility for p in own], [p.gap for p in own], LIMITS, floor) for own in (single, more)]
    assert areas[1] > areas[0]


def test_two_equal_fronts_differ_by_nothing() -> None:
    rows, scores = _rows()
    outputs = torch.stack([moved(TRADE, p, scores[0], rows) for p in front_of(list(places_of(TRADE, 0, scores, rows)))])
    found, drawn = area_differences(TRADE, outputs, outputs, rows, limits=LIMITS, floor=0.5, resamples=5, seed=0)
    assert found == 0
    assert drawn == [0] * 5


def test_a_front_is_resampled_by_cluster() -> None:
    rows, scores = _rows(80)
    index = torch.arange(80).repeat_interleave(12)
    many, outputs = Rows(rows.target[index], rows.group[index], 2), scores[:, index]
    shared = {"limits": LIMITS, "floor": 0.5, "resamples": 200}
    few = np.std(area_differences(TRADE, scores, -scores, rows, **shared, seed=0)[1])
    by_row = np.std(area_differences(TRADE, outputs, -outputs, many, **shared, seed=0)[1])
    whole = np.std(area_differences(TRADE, outputs, -outputs, many, **shared, seed=0, clusters=index)[1])
    assert whole == pytest.approx(few, rel=0.02)
    assert by_row < whole / 2


def test_the_floor_is_the_better_constant_decision() -> None:
    rows, _ = _rows()
    share = float(rows.target.double().mean())
    assert floor_of(TRADE, [], rows) == pytest.approx(max(share, 1 - share))


def test_a_regression_has_one_place_a_training() -> None:
    trade = TradeOff(get_metric("mae", "regression"), "mean_prediction_difference", "regression")
    rows = Rows(torch.tensor([0.0, 1.0, 2.0, 3.0]), torch.tensor([0, 0, 1, 1]), 2)
    places = list(places_of(trade, 3, torch.tensor([[0.0, 1.0, 2.0, 4.0]]), rows))
    assert [(p.candidate, p.utility, p.gap) for p in places] == [(3, -0.25, pytest.approx(2.5))]


def test_a_front_holds_every_threshold_that_no_other_beats() -> None:
    rows, scores = _rows(150)
    cuts = np.sort(scores[0].numpy())
    every = [read_place(TRADE, Place(0, 0, (c, c), 0, 0), scores[0], rows) for c in (cuts[:-1] + cuts[1:]) / 2]
    expected = [(p.utility, p.gap) for p in front_of(every)]
    found = [(p.utility, p.gap) for p in front_of(list(places_of(TRADE, 0, scores, rows)))]
    assert found == [pytest.approx(pair) for pair in expected]


@pytest.mark.parametrize("groups", [2, 3])
def test_thresholds_by_group_reach_what_they_promise_and_more_than_one_threshold(groups: int) -> None:
    rows, scores = _rows(300)
    rows = Rows(rows.target, (rows.group + (scores[0] > 1.5)).clamp(max=groups - 1), groups)
    places = list(places_of(TRADE, 0, scores, rows, by_group=True))
    for place in places[::7]:
        read = read_place(TRADE, place, scores[0], rows)
        assert (read.utility, read.gap) == (pytest.approx(place.utility), pytest.approx(place.gap))
    assert any(len(set(place.thresholds)) > 1 for place in front_of(places))


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc"])
def test_resampled_rows_are_rows_that_count_more_often(metric: str) -> None:
    trade = TradeOff(get_metric(metric, "binary"), "equalized_odds_difference", "binary")
    rows, scores = _rows(200)
    sides = [scores[0] - shift for shift in (0.0, 0.5)], [scores[0] - 0.2]
    one, other = (torch.stack(side) for side in sides)
    settings = {"limits": LIMITS, "floor": 0.5}
    _, drawn = area_differences(trade, one, other, rows, **settings, resamples=3, seed=4)
    generator = np.random.default_rng(4)
    for found in drawn:
        often = torch.from_numpy(generator.multinomial(200, np.full(200, 1 / 200)))
        index = torch.arange(200).repeat_interleave(often)
        again = Rows(rows.target[index], rows.group[index], 2)
        whole, _ = area_differences(trade, one[:, index], other[:, index], again, **settings, resamples=1, seed=0)
        assert found == pytest.approx(whole)


def test_a_score_that_is_not_finite_has_no_place() -> None:
    rows, scores = _rows(50)
    scores[0, 3] = torch.nan
    assert list(places_of(TRADE, 0, scores, rows, by_group=True)) == []
