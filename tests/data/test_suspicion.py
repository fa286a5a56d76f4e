"""How likely each label is wrong, and that the numbers of rows are those of the user's table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from losssearch.data import load
from losssearch.data.quality import suspicion
from losssearch.data.quality.suspicion import label_quality

CENTRES = np.array([[0, 0], [3, 0], [0, 3], [3, 3]], dtype=float)


def table(rows: int, share: float = 0.4) -> tuple[pd.DataFrame, np.ndarray]:
    """Features and label ``y``, a share of which is the class that follows; and the true classes."""
    draw = np.random.default_rng(6)
    true = draw.integers(0, 4, rows)
    frame = pd.DataFrame(CENTRES[true] + draw.normal(size=(rows, 2)), columns=["a", "b"])
    labels = np.where(draw.random(rows) < share, (true + 1) % 4, true)
    return frame.assign(y=[f"c{label}" for label in labels]), np.array([f"c{label}" for label in true])


def test_changed_labels_are_found_better_than_by_what_is_predicted_of_them() -> None:
    frame, true = table(1500)
    dataset = load(frame, target="y")
    found = label_quality(dataset, np.arange(1500))
    changed = frame["y"].to_numpy() != true
    assert roc_auc_score(changed, found.wrong) > 0.9
    assert roc_auc_score(changed, found.wrong) > roc_auc_score(changed, found.loss) + 0.03
    assert found.wrong.mean() == pytest.approx(0.4, abs=0.06)
    assert (np.array(dataset.classes)[found.suggested] == true).mean() > 0.85


def test_of_clean_labels_few_are_suspected() -> None:
    frame, _ = table(1500, share=0.0)
    assert label_quality(load(frame, target="y"), np.arange(1500)).wrong.mean() < 0.1


def test_rows_have_the_numbers_that_they_have_in_the_users_table(tmp_path: Path) -> None:
    """With rows left out for want of a target, an index of the user's own, copies, and a sample."""
    frame, true = table(1200)
    frame.loc[::7, "y"] = None
    frame = pd.concat([frame, frame[1:200]], ignore_index=True)
    true = np.concatenate([true, true[1:200]])
    frame.index = pd.Index(np.arange(len(frame))[::-1] * 3, name="own")
    plain = frame.reset_index(drop=True)
    plain.to_csv(tmp_path / "t.csv", index=False)
    plain.to_parquet(tmp_path / "t.parquet")
    for data, most in ((frame, None), (tmp_path / "t.csv", None), (tmp_path / "t.parquet", 700), (frame, 700)):
        dataset = load(data, target="y", drop_missing_target=True, max_rows=most)
        assert dataset.places is not None
        named = frame["y"].iloc[dataset.places].to_numpy()
        assert (named == np.array(dataset.classes)[dataset.target]).all()
        assert dataset.rows == frame["y"].notna().sum() if most is None else 500 < dataset.rows <= most
        assert np.allclose(frame[["a", "b"]].iloc[dataset.places], dataset.features[["a", "b"]])


def test_rows_before_those_of_a_test_file_keep_their_numbers(tmp_path: Path) -> None:
    from losssearch.data.given_splits import Given

    frame, _ = table(600)
    frame.loc[::5, "y"] = None
    frame[:450].to_csv(tmp_path / "train.csv", index=False)
    frame[450:].dropna().to_csv(tmp_path / "test.csv", index=False)
    dataset = load(
        tmp_path / "train.csv", target="y", drop_missing_target=True, given=Given(test=str(tmp_path / "test.csv"))
    )
    assert dataset.places is not None
    assert dataset.places[:360].tolist() == [row for row in range(450) if row % 5]


def test_copies_are_judged_alike_and_many_rows_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    frame, true = table(900)
    copied = pd.concat([frame, frame[:300]], ignore_index=True)
    dataset = load(copied, target="y")
    whole = label_quality(dataset, np.arange(1200))
    assert np.array_equal(whole.wrong[:300], whole.wrong[900:])
    monkeypatch.setattr(suspicion, "MOST_ROWS", 300)
    pieces = label_quality(dataset, np.arange(1200))
    changed = copied["y"].to_numpy() != np.concatenate([true, true[:300]])
    assert roc_auc_score(changed, pieces.wrong) > 0.7
    monkeypatch.setattr(suspicion, "MOST_JUDGED", 600)
    sampled = label_quality(dataset, np.arange(1200))
    assert np.isnan(sampled.wrong).sum() > 200
    assert (np.isnan(sampled.wrong) == (sampled.suggested < 0)).all()
