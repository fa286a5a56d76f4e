"""Wrong labels are found from the data alone, and classes that overlap are not called wrong."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from losssearch.data import Dataset, load
from losssearch.data.quality import looking
from losssearch.data.quality.looking import far_share, look
from losssearch.data.quality.wrong_labels import wrong_labels

CENTRES = np.array([[0, 0], [4, 0], [0, 4], [4, 4]], dtype=float)


def blobs(rows: int, spread: float, seed: int = 0, shares: tuple[float, ...] = (0.25,) * 4) -> tuple:
    draw = np.random.default_rng(seed)
    true = draw.choice(4, rows, p=shares)
    features = CENTRES[true] + spread * draw.normal(size=(rows, 2))
    return pd.DataFrame(features, columns=["a", "b"]), true, draw


def named(features: pd.DataFrame, labels: np.ndarray) -> Dataset:
    return load((features, pd.Series(labels).map("class {}".format)), task="multiclass")


def seen(features: pd.DataFrame, labels: np.ndarray):
    return look(named(features, labels), np.arange(len(labels)))


@pytest.mark.parametrize("share", [0.3, 0.4])
def test_pairwise_wrong_labels_are_found_with_their_share(share: float) -> None:
    features, true, draw = blobs(1200, 0.8)
    found = seen(features, np.where(draw.random(1200) < share, (true + 1) % 4, true))
    assert found.labels.pairwise
    assert abs(found.labels.share - share) < 3 * found.labels.error
    assert abs(found.labels.one_way - share) < 3 * found.labels.one_way_error + 0.03
    assert {(one.true, one.label) for one in found.labels.mistaken} == {(0, 1), (1, 2), (2, 3), (3, 0)}
    assert "most in one direction, such as 'class " in found.line


def test_clean_labels_show_no_sign() -> None:
    found = seen(*blobs(1200, 0.8)[:2])
    assert found.labels.share < 0.02
    assert not found.labels.pairwise
    assert not found.labels.unsure
    assert found.line.startswith("no sign of wrong labels: ")


def test_uniform_wrong_labels_are_not_called_pairwise() -> None:
    features, true, draw = blobs(1200, 0.8)
    found = seen(features, np.where(draw.random(1200) < 0.4, (true + draw.integers(1, 4, 1200)) % 4, true))
    assert not found.labels.pairwise
    assert found.labels.unsure
    assert "in no one direction: wrong labels, or classes that overlap" in found.line


@pytest.mark.parametrize("shares", [(0.25,) * 4, (0.6, 0.2, 0.1, 0.1)])
@pytest.mark.parametrize("spread", [3.0, 6.0, 1000.0])
def test_classes_that_overlap_are_not_called_wrong(spread: float, shares: tuple[float, ...]) -> None:
    """From half separable to labels that no feature predicts, in equal and unequal shares."""
    assert not seen(*blobs(2000, spread, seed=3, shares=shares)[:2]).labels.pairwise


def test_two_classes_that_no_feature_tells_apart_are_not_called_wrong() -> None:
    """Each sends as many to the other as it gets."""
    features, true, draw = blobs(2000, 0.8)
    assert not seen(features, true // 2 * 2 + (draw.random(2000) < 0.5)).labels.pairwise


def test_of_a_class_that_another_hides_both_readings_are_told() -> None:
    """Two classes in unequal shares that no feature tells apart cannot be told from labels that are wrong one way."""
    features, true, draw = blobs(2000, 0.8)
    found = seen(features, true // 2 * 2 + (draw.random(2000) < 0.35))
    assert found.labels.hidden == found.labels.one_way > 0.2
    assert found.line.endswith("(or classes that no feature tells apart)")


def test_a_class_that_wrong_labels_of_a_frequent_one_swamp_is_no_hindrance() -> None:
    features, true, draw = blobs(2000, 0.8, shares=(0.8, 0.01, 0.1, 0.09))
    found = seen(features, np.where(draw.random(2000) < 0.35, (true + 1) % 4, true))
    assert found.labels.pairwise


def test_classes_of_an_order_that_overlap_are_not_called_wrong() -> None:
    draw = np.random.default_rng(5)
    number = draw.normal(size=2000)
    noisy = number + draw.normal(size=2000)
    frame = pd.DataFrame({"a": number, "b": draw.normal(size=2000)})
    assert not seen(frame, np.searchsorted([-0.5, 0.5, 1.5], noisy)).labels.pairwise


def test_of_two_classes_no_direction_is_told() -> None:
    features, true, draw = blobs(1200, 0.8)
    two = true // 2
    found = seen(features, np.where((draw.random(1200) < 0.4) & (two == 0), 1, two))
    assert not found.labels.pairwise


def test_only_the_rows_given_are_looked_at() -> None:
    features, true, draw = blobs(1200, 0.8)
    labels = np.where(draw.random(1200) < 0.4, (true + 1) % 4, true)
    dataset, rows = named(features, labels), np.arange(0, 1200, 2)
    others = dataset.features.copy()
    others.iloc[1::2] = 77.0
    target = dataset.target.copy()
    target[1::2] = 0
    assert look(replace(dataset, features=others, target=target), rows) == look(dataset, rows)


def test_copies_of_rows_do_not_hide_wrong_labels() -> None:
    """A copy has the label of its row, wrong or right: a forest and the neighbours would find it there."""
    features, true, draw = blobs(600, 0.8)
    labels = np.where(draw.random(600) < 0.4, (true + 1) % 4, true)
    copied = pd.concat([features] * 4, ignore_index=True)
    assert seen(copied, np.tile(labels, 4)).labels == seen(features, labels).labels


def test_a_sample_of_many_rows_is_looked_at_and_always_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "MOST_ROWS", 300)
    features, true, _ = blobs(1200, 0.8)
    first = seen(features, true)
    assert first.rows == 300
    np.random.seed(7)  # noqa: NPY002  (the state of the old global generator must not matter)
    assert first == seen(features, true)


def test_a_rare_class_is_named() -> None:
    features, true, _ = blobs(2000, 0.8, shares=(0.7, 0.15, 0.135, 0.015))
    found = seen(features, true)
    assert found.sizes == (int((true == 3).sum()), int((true == 0).sum()))
    assert f"the rarest class 'class 3' has {(true == 3).sum()} of 2000 rows" in found.line


@pytest.mark.parametrize(("noise", "heavy"), [("normal", False), ("student", True)])
def test_heavy_tails_of_numbers_are_told(noise: str, heavy: bool) -> None:
    draw = np.random.default_rng(2)
    features = pd.DataFrame(draw.normal(size=(1500, 3)), columns=list("abc"))
    left = draw.normal(size=1500) if noise == "normal" else draw.standard_t(1.5, 1500)
    found = look(load((features, pd.Series(features["a"] + 0.3 * left)), task="regression"), np.arange(1500))
    assert found.line.startswith("heavy tails: " if heavy else "no heavy tails: ")


def test_far_numbers_are_counted_in_robust_deviations() -> None:
    """Normal quantiles have a median size of 0.6745, so that 1.4826 times it is one deviation."""
    from scipy.stats import norm

    left = norm.ppf((np.arange(1000) + 0.5) / 1000)
    left[:2], left[-3:] = -5.1, 4.9
    assert far_share(left) == pytest.approx(0.002)


def test_an_estimate_of_known_predictions_is_the_count() -> None:
    true = np.repeat([0, 1, 2], 200)
    labels = np.where(np.arange(600) % 10 < 3, (true + 1) % 3, true)
    found = wrong_labels(np.eye(3)[true], labels)
    assert found.share == pytest.approx(0.3)
    assert found.one_way == pytest.approx(0.3)
    assert found.others == pytest.approx(0.0)
    assert found.error == pytest.approx((0.3 * 0.7 / 90) ** 0.5, rel=0.1)  # 3 x 30 rows looked at
