"""The simulation of verdicts: its truth is known, it uses the product's rules, and its table counts rightly."""

import statistics

import pytest

from benchmarks import verdict_null
from benchmarks.verdict_null import Told, reliability, simulate


def told(probability, truth):
    return Told("not told apart", "baseline", probability, truth, True, 0.0, 1.0, 0.0, 1.0)


def test_a_study_is_the_same_for_the_same_seed_and_has_no_truth_under_the_null():
    first = simulate(0.0, 3)
    assert simulate(0.0, 3) == first
    assert first.truth == 0.0
    assert first.inside
    assert simulate(0.0, 4) != first


def test_what_a_training_reaches_is_on_average_the_true_accuracy():
    world = verdict_null._World(2.0, seed=1)
    values = [verdict_null._World(2.0, seed=1 + n).utilities([0], 4)[0] for n in range(40)]
    truths = [verdict_null._World(2.0, seed=1 + n).accuracy(0) for n in range(40)]
    off = [statistics.fmean(own) - truth for own, truth in zip(values, truths, strict=True)]
    assert abs(statistics.fmean(off)) < 3 * statistics.stdev(off) / 40**0.5
    assert world.accuracy(0) == truths[0]


@pytest.mark.parametrize("loss", [2, verdict_null.MENU + 2])
def test_a_great_difference_is_found_and_claimed(monkeypatch, loss):
    """One loss of the menu, or a searched one, is better than all others by nine points of accuracy."""
    make = verdict_null._World.__init__

    def favour(world, scale, seed):
        make(world, scale, seed)
        for scores in (world.centre, *world.parts.values()):
            scores[loss] += 0.4

    monkeypatch.setattr(verdict_null._World, "__init__", favour)
    ours = loss >= verdict_null.MENU
    for seed in range(2):
        one = simulate(0.2, seed)
        assert one.recommended == ("searched" if ours else "baseline")
        assert one.grade == ("better" if ours else "worse")
        assert (one.probability > 0.95) == ours
        assert (one.truth > 0) == ours


def test_the_table_counts_how_often_the_searched_loss_is_better():
    bins = reliability([told(0.05, -1.0), told(0.07, 1.0), told(0.83, 1.0), told(1.0, 1.0)])
    assert [b["studies"] for b in bins] == [2, 1, 1]
    assert bins[0]["said"] == pytest.approx(0.06)
    assert bins[0]["better"] == 0.5
    assert bins[2]["to"] == 1.0
