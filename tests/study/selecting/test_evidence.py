"""What a study believes of measured differences: shrinkage, pooling, and intervals from few seeds."""

import math
import statistics

import pytest
import torch

from losssearch.evaluation import Difference
from losssearch.study.selecting.evidence import Evidence, believed, in_common, paired, pooled, spread_of, steadied


def test_differences_are_paired_over_the_draws_that_both_had() -> None:
    (found,) = paired([[1.0, 2.0, 3.5]], [0.5, 1.0, 3.0, 100.0])
    assert found is not None
    assert found.difference == pytest.approx((0.5 + 1.0 + 0.5) / 3)


def test_a_difference_needs_two_finite_draws() -> None:
    assert paired([[1.0], [], [1.0, -math.inf]], [0.0, 0.0]) == [None, None, None]


def test_equal_losses_differ_by_nothing_without_error() -> None:
    assert paired([[1.0, 2.0], [3.0, 1.0]], [1.0, 2.0])[0] == Evidence(0.0, 0.0)


def test_variances_are_drawn_towards_each_other() -> None:
    quiet, loud = [0.0, 0.2, 0.0, 0.2], [0.0, 4.0, 0.0, 4.0]
    alone = [paired([own], [0.0] * 4)[0] for own in (quiet, loud)]
    together = paired([quiet, loud], [0.0] * 4)
    errors = [e.error for e in (alone[0], together[0], together[1], alone[1]) if e is not None]
    assert errors == sorted(errors)
    assert len(set(errors)) == 4


def test_draws_that_share_rows_never_take_all_of_the_error_away() -> None:
    few, many = (paired([[0.0, 1.0] * n], [0.0] * 2 * n)[0] for n in (2, 2_000))
    assert few is not None
    assert many is not None
    assert many.error > 0.5 * few.error


def test_a_field_of_noise_alone_shrinks_most_of_a_lucky_difference_away() -> None:
    """The posterior mean of a normal prior and a normal measurement (Efron and Morris 1975)."""
    torch.manual_seed(0)
    noise = [Evidence(float(d), 1.0) for d in torch.randn(200)]
    spread = spread_of(noise)
    assert spread == pytest.approx(0.5, abs=0.3)
    lucky = max(noise, key=lambda e: e.difference)
    shrunk = believed(spread, lucky)
    assert shrunk.difference < 0.4 * lucky.difference
    assert shrunk.difference == pytest.approx(lucky.difference * spread**2 / (spread**2 + 1))


def test_a_field_that_differs_widely_is_believed() -> None:
    spread = spread_of([Evidence(d, 1.0) for d in (-30.0, 10.0, 25.0, -8.0)])
    assert believed(spread, Evidence(10.0, 1.0)).difference > 9.5


def test_one_hopeless_contender_makes_no_wide_field() -> None:
    near = [Evidence(d, 1.0) for d in (-0.5, 0.3, 0.8, -1.0, 1.1)]
    assert spread_of([*near, Evidence(-500.0, 1.0)]) < 3


def test_independent_measurements_are_pooled_by_their_precision() -> None:
    found = believed(math.inf, Evidence(1.0, 1.0), Evidence(3.0, 2.0))
    assert found.difference == pytest.approx((1 + 3 / 4) / (1 + 1 / 4))
    assert found.error == pytest.approx((1 + 1 / 4) ** -0.5)
    assert believed(math.inf, None, Evidence(1.0, 1.0), Evidence(math.nan, math.nan)) == Evidence(1.0, 1.0)
    assert not believed(math.inf, None).likely


def test_a_loss_need_only_be_believed_better_and_ties_go_to_the_known_one() -> None:
    assert Evidence(0.11, 1.0).likely
    assert not Evidence(0.09, 1.0).likely
    assert not Evidence(-0.01, 1.0).likely
    assert not Evidence(0.0, 0.0).likely


def test_the_probability_of_being_better_is_that_of_a_normal_belief() -> None:
    assert Evidence(1.0, 1.0).probability == pytest.approx(0.8413, abs=1e-4)  # the normal distribution's table
    assert Evidence(-1.96, 1.0).probability == pytest.approx(0.025, abs=1e-4)
    assert [Evidence(d, 0.0).probability for d in (-1.0, 0.0, 1.0)] == [0.0, 0.5, 1.0]
    assert Evidence(0.0, math.inf).probability == 0.5


def test_two_readings_of_the_same_trainings_count_for_less_than_two() -> None:
    """Generalised least squares: with a correlation of 1 and equal errors, the second reading adds nothing."""
    first, second = Evidence(1.0, 1.0), Evidence(2.0, 1.0)
    assert pooled(first, second, 0.0) == Evidence(1.5, pytest.approx(0.5**0.5))
    assert pooled(first, second, 0.5) == Evidence(1.5, pytest.approx(0.75**0.5))
    assert pooled(first, second, 1.0) == Evidence(1.5, 1.0)
    assert pooled(first, Evidence(math.nan, math.nan), 0.0) == first


def test_what_seeds_share_is_learnt_from_all_pairs() -> None:
    torch.manual_seed(2)
    luck = 0.1 * torch.randn(30, 5).double()
    pairs = [(row + 0.01 * torch.randn(5), row + 0.01 * torch.randn(5)) for row in luck]
    shared = [in_common(pair, pairs) for pair in pairs]
    assert statistics.fmean(shared) == pytest.approx(0.01 / 5, rel=0.25)
    alone = [(0.1 * torch.randn(5), 0.1 * torch.randn(5)) for _ in range(60)]
    assert statistics.fmean(in_common(pair, alone) for pair in alone) < 0.2 * 0.01 / 5


def test_a_searched_loss_needs_more_than_one_standard_error() -> None:
    assert Evidence(1.01, 1.0).clear
    assert not Evidence(0.99, 1.0).clear
    assert not Evidence(0.0, 0.0).clear


def test_other_differences_steady_an_interval_from_few_seeds() -> None:
    own = torch.tensor([0.1, 0.3, 0.2])
    error = statistics.stdev(own.tolist()) / 3**0.5
    found = Difference(0.2, (0.2 - 4.30 * error, 0.2 + 4.30 * error), error, 0.95)
    alike = [torch.tensor([0.0, 0.2, 0.1]), torch.tensor([0.4, 0.2, 0.3])]
    narrower = steadied(found, own, alike, rows=10_000)
    assert narrower.standard_error == pytest.approx(error, rel=0.2)
    assert narrower.interval[1] - narrower.interval[0] < 0.9 * (found.interval[1] - found.interval[0])
    assert steadied(found, own, [], rows=10_000) == found


def test_intervals_of_few_seeds_hold_as_often_as_they_say() -> None:
    torch.manual_seed(1)
    inside = []
    for _ in range(400):
        seeds = torch.randn(4, 3).double()
        own = seeds[0]
        error = float(own.std()) / 3**0.5
        found = steadied(Difference(float(own.mean()), (0.0, 0.0), error, 0.95), own, list(seeds[1:]), rows=10_000)
        inside.append(found.interval[0] <= 0 <= found.interval[1])
    assert 0.92 < statistics.fmean(inside) <= 0.98
