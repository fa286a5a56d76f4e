"""fairlearn's mitigations behind one door: what they keep, when they stop, and how they fail."""

from __future__ import annotations

import time

import numpy as np
import pytest

from losssearch.training import mitigations
from losssearch.training.mitigations import Labelled, MitigationError, Rule, TooSlowError, post_processed, reduced

pytest.importorskip("fairlearn", reason="the extra `fairness` is not installed")


@pytest.fixture(scope="module")
def rows() -> tuple[Labelled, Labelled]:
    """3,000 rows of two groups of unlike base rates: by features, and by scores."""
    random = np.random.default_rng(0)
    group = (random.random(3_000) < 0.3).astype(np.int64)
    features = random.normal(size=(3_000, 3)) + 0.6 * group[:, None]
    labels = (features @ [1.0, 0.5, 0.2] + random.normal(size=3_000) > 0.5).astype(np.int64)
    return Labelled(features, labels, group), Labelled(features @ [1.0, 0.5, 0.2] - 0.5, labels, group)


def spread(shares: np.ndarray, group: np.ndarray) -> float:
    return float(abs(shares[group == 0].mean() - shares[group == 1].mean()))


@pytest.mark.parametrize("limit", [0.02, 0.1])
def test_thresholds_of_groups_keep_the_difference(rows: tuple[Labelled, Labelled], limit: float) -> None:
    _, scores = rows
    assert spread(scores.inputs > 0, scores.group) > 0.2
    rule = Rule("demographic_parity", difference=limit)
    found = post_processed(scores, {"same": (scores.inputs, scores.group)}, rule, "accuracy_score")["same"]
    assert spread(found, scores.group) <= limit + 0.01
    right = np.where(scores.labels == 1, found, 1 - found).mean()
    assert right > 0.7


def test_equalized_odds_are_made_alike(rows: tuple[Labelled, Labelled]) -> None:
    _, scores = rows
    rule = Rule("equalized_odds", difference=0.05)
    found = post_processed(scores, {"same": (scores.inputs, scores.group)}, rule, "balanced_accuracy_score")["same"]
    for label in (0, 1):
        own = scores.labels == label
        assert spread(found[own], scores.group[own]) < 0.02


@pytest.mark.parametrize("rule", [Rule("demographic_parity", difference=0.06), Rule("demographic_parity", ratio=0.9)])
def test_a_reduction_keeps_the_limit_between_groups(rows: tuple[Labelled, Labelled], rule: Rule) -> None:
    features, _ = rows
    found = reduced(features, {"same": features.inputs}, rule, deadline=time.monotonic() + 60)["same"]
    shares = [found[features.group == one].mean() for one in (0, 1)]
    if rule.difference is not None:
        assert abs(shares[0] - shares[1]) <= rule.difference + 0.02  # fairlearn's own slack is 0.01 a group
    else:
        assert min(shares) / max(shares) >= 0.9 - 0.05


def test_a_difference_of_two_groups_is_put_into_distances_from_all_rows() -> None:
    group = np.array([0] * 30 + [1] * 70)
    # Of rates a and b, the mean is 0.3 a + 0.7 b: the smaller group is 0.7 of their difference away.
    assert mitigations._from_all(group) == pytest.approx(0.7)
    assert mitigations._from_all(np.array([0, 1, 2])) == 0.5


def test_the_deadline_ends_a_reduction(rows: tuple[Labelled, Labelled]) -> None:
    features, _ = rows
    with pytest.raises(TooSlowError, match="longer than allowed"):
        reduced(features, {}, Rule("demographic_parity", difference=0.1), deadline=time.monotonic() - 1)


def test_what_fairlearn_raises_is_one_error_of_ours(rows: tuple[Labelled, Labelled]) -> None:
    _, scores = rows
    alike = Labelled(scores.inputs, np.where(scores.group == 1, 1, scores.labels), scores.group)
    with pytest.raises(MitigationError, match="ThresholdOptimizer gave up"):
        post_processed(alike, {}, Rule("demographic_parity", difference=0.1), "accuracy_score")
