"""What a verdict recommends and claims, and that its words never say more than test shows."""

import itertools
import math

import pytest
import torch

from losssearch.evaluation import Difference
from losssearch.losses.spec import LossSpec, Part
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.study.selecting.claim import alike, chance, claim, graded, headline, stated, untrained
from losssearch.study.selecting.evidence import Evidence


def difference(centre: float, half: float) -> Difference:
    return Difference(centre, (centre - half, centre + half), half / 2, 0.95)


@pytest.mark.parametrize(
    ("centre", "half", "probability", "grade"),
    [
        (0.03, 0.02, 0.99, "better"),
        (0.03, 0.02, 0.60, "better"),  # test alone claims
        (0.01, 0.02, 0.83, "probably better"),
        (0.01, 0.02, 0.79, "not told apart"),
        (-0.01, 0.02, 0.83, "not told apart"),  # test points the other way
        (-0.03, 0.02, 0.83, "worse"),
        (0.0, 0.0, 0.5, "not told apart"),
        (math.nan, math.nan, 0.9, "not told apart"),
    ],
)
def test_the_interval_on_test_grades_and_probability_only_where_it_holds_zero(
    centre: float, half: float, probability: float, grade: str
) -> None:
    assert graded(difference(centre, half), probability) == grade


def test_the_larger_posterior_mean_is_recommended_and_a_tie_goes_to_the_known_loss() -> None:
    test = difference(0.0, 1.0)
    sides = {mean: claim(Evidence(mean, 1.0), test, Evidence(0, 1)).recommended for mean in (-0.5, 0.0, 0.05, 0.2, 2.0)}
    assert sides == {-0.5: "baseline", 0.0: "baseline", 0.05: "baseline", 0.2: "searched", 2.0: "searched"}
    known = {
        mean: claim(Evidence(mean, 1.0), test, Evidence(0, 1), prefer_known=True).recommended
        for mean in (0.2, 0.99, 1.01)
    }
    assert known == {0.2: "baseline", 0.99: "baseline", 1.01: "searched"}


def test_what_test_refutes_is_not_recommended() -> None:
    found = claim(Evidence(2.0, 1.0), difference(-3.0, 1.0), Evidence(-0.5, 0.5))
    assert (found.recommended, found.grade) == ("baseline", "worse")
    assert "test withdrew the recommendation" in found.why
    doubtful = claim(Evidence(0.5, 1.0), difference(-0.9, 1.0), Evidence(-0.1, 0.5))
    assert (doubtful.recommended, doubtful.grade) == ("baseline", "not told apart")
    assert claim(Evidence(-0.5, 1.0), difference(3.0, 1.0), Evidence(1.0, 0.5)).recommended == "baseline"


def test_the_headline_says_no_more_than_the_grade_and_fits_a_report() -> None:
    cases = itertools.product((-2.0, 0.05, 0.5, 2.0), (-0.03, -0.005, 0.005, 0.03), (0.2, 0.83, 0.999), (False, True))
    for before, centre, probability, prefer in cases:
        spread = 1.0 if probability == 0.83 else 0.1
        everything = Evidence(spread * {0.2: -0.8416, 0.83: 0.9542, 0.999: 3.09}[probability], spread)
        found = claim(Evidence(before, 1.0), difference(centre, 0.02), everything, prefer_known=prefer)
        said = headline(found, "the baseline generalised_cross_entropy_tuned")
        assert "beat" not in said
        assert ("95 %" in said) == (abs(centre) > 0.02)
        assert ("(P = " in said) == (abs(centre) < 0.02)
        assert ("probably better" in said) == (found.grade == "probably better")
        assert said.startswith("Use the searched loss" if found.recommended == "searched" else "Use the baseline")
        assert ":" not in said
        assert len(said) <= 120


def test_probabilities_are_never_certain() -> None:
    assert [chance(p) for p in (0.0, 0.834, 0.5, 1.0)] == [".01", ".83", ".50", ".99"]


def test_identical_decisions_are_said_as_such() -> None:
    logits = torch.tensor([[1.0, -2.0, 3.0], [0.5, -1.0, 2.0]])
    assert alike(logits, 2 * logits, "binary") == "both make the same decisions on all 3 test rows with each of 2 seeds"
    assert alike(logits, -logits, "binary") == ""
    classes = torch.tensor([[[0.1, 0.9], [0.8, 0.2]]])
    assert alike(classes, classes**3, "multiclass") == "both make the same decisions on all 2 test rows"
    assert alike(logits, 2 * logits, "regression") == ""
    assert "the same predictions" in alike(logits, logits.clone(), "regression")


def test_an_undefined_difference_is_no_figure() -> None:
    assert stated(Difference(math.nan, (math.nan, math.nan), math.nan, 0.95)) == "not defined"
    assert stated(difference(0.0, 0.0)) == "no difference on any resample of its rows"
    assert stated(difference(0.01, 0.02)) == "+0.01, 95% interval [-0.01, +0.03]"


def trial(state: TrialState, reason: str = "", origin: str = "searched") -> TrialRecord:
    spec = LossSpec((Part("cross_entropy"),))
    return TrialRecord(0, origin, "searched-0", spec.to_json(), spec.key, state=state, reason=reason)


def test_why_no_searched_loss_can_be_compared_is_said() -> None:
    menu = trial(TrialState.COMPLETED, origin="baseline")
    assert untrained([menu]) == "the search ended before it tried a searched loss"
    nowhere = "descending it on free outputs does not improve the metric"
    rejected = untrained([menu, *[trial(TrialState.REJECTED, nowhere)] * 3])
    assert rejected == f"no searched loss can be compared; of 3, 3 rejected by screening, untrained ({nowhere})"
    mixed = untrained(
        [
            trial(TrialState.FAILED, "the loss became infinite: nan"),
            trial(TrialState.DUPLICATE),
            trial(TrialState.EQUIVALENT),
            trial(TrialState.PRUNED),
            trial(TrialState.RUNNING),
        ]
    )
    assert "1 failed in training (the loss became infinite)" in mixed
    assert "2 the same as earlier ones, untrained" in mixed
    assert "1 trained in the search, but none to the end" in mixed
    assert "1 not reached" in mixed
    assert "rejected" not in mixed
