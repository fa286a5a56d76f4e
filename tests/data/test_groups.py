"""Sensitive groups: from columns to ids, small groups pooled, and shares kept in every part."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from losssearch.data import draws, load, make_replicas, partition
from losssearch.errors import DataError, InputError, OptionError


def _frame(rows: int = 600) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "score": random.normal(size=rows),
            "sex": np.where(random.random(rows) < 0.4, "f", "m"),
            "race": np.where(random.random(rows) < 0.05, "c", np.where(random.random(rows) < 0.5, "a", "b")),
            "age": random.integers(18, 80, rows),
            "label": random.integers(0, 2, rows),
        }
    )


def test_each_combination_of_values_is_a_group() -> None:
    frame = _frame(4_000)
    data = load(frame, target="label", sensitive=["sex", "race"])
    assert data.groups == ("f, a", "f, b", "f, c or m, c", "m, a", "m, b")
    assert data.group is not None
    expected = [f"{s}, {r}" if r != "c" else "f, c or m, c" for s, r in zip(frame.sex, frame.race, strict=True)]
    assert [data.groups[i] for i in data.group] == expected


def test_the_attribute_is_no_feature_unless_asked_for() -> None:
    blind = load(_frame(), target="label", sensitive="sex")
    seen = load(_frame(), target="label", sensitive="sex", sensitive_as_feature=True)
    assert "sex" not in [column.name for column in blind.schema.columns]
    assert "sex" in [column.name for column in seen.schema.columns]
    assert any("does not see the sensitive attribute" in note for note in blind.notes)
    assert any("the model sees sex" in note for note in seen.notes)
    assert blind.fingerprint != seen.fingerprint != load(_frame(), target="label").fingerprint


def test_a_dropped_column_may_still_be_sensitive() -> None:
    data = load(_frame(), target="label", sensitive="sex", drop="sex", sensitive_as_feature=True)
    assert data.groups == ("f", "m")
    assert "sex" not in [column.name for column in data.schema.columns]


def test_small_groups_are_pooled_and_named() -> None:
    frame = _frame()
    frame.loc[:30, "race"] = "d"
    data = load(frame, target="label", sensitive="race")
    assert data.groups == ("a", "d or c or b")  # 31 and 40 rows, and the next smallest to reach a hundred
    assert np.bincount(data.group).min() >= 100  # type: ignore[arg-type]
    assert any("pooled into one group" in note and "'d' (31 rows)" in note for note in data.notes)


def test_a_number_is_cut() -> None:
    data = load(_frame(), target="label", sensitive="age >= 50")
    assert data.groups == ("age >= 50", "not age >= 50")
    assert data.group is not None
    np.testing.assert_array_equal(data.group == 0, _frame().age >= 50)


def test_a_number_without_a_cut_stays_one() -> None:
    frame = _frame(2_000)
    frame.loc[:149, "age"] = np.nan
    data = load(frame, target="label", sensitive="age")
    assert data.attribute is not None
    assert (data.attribute.name, data.attribute.median) == ("age", frame.age.median())
    assert data.groups[-1] == "age missing"
    assert len(data.groups) == 5
    group, age = data.group, frame.age.to_numpy()
    assert group is not None
    for code, name in enumerate(data.groups[:-1]):  # lowest first, and alike in size
        own = age[group == code]
        assert name == f"age {own.min():g} to {own.max():g}"
        assert 380 < len(own) < 560
    standard = data.attribute.values
    np.testing.assert_allclose(standard[150:], (age[150:] - age[150:].mean()) / age[150:].std(), rtol=1e-5)
    assert not standard[:150].any()
    assert "age" not in [column.name for column in data.schema.columns]
    assert any("'age' is a number" in note for note in data.notes)
    assert any("150 rows have no 'age'" in note for note in data.notes)
    shifted = load(frame.assign(age=frame.age.rank()), target="label", sensitive="age")
    assert shifted.fingerprint != data.fingerprint


def test_replicas_carry_a_number_as_it_is() -> None:
    data = load(_frame(2_000), target="label", sensitive="age")
    assert data.attribute is not None
    drawn = draws(data, partition(data, 0).search, seed=0, count=2, purpose="search")
    replicas = make_replicas(data, drawn)
    assert replicas.sizes.groups == 1
    rows = replicas.rows
    np.testing.assert_array_equal(replicas.train["group"][1, :, 0], data.attribute.values[drawn[1].train[:rows]])
    assert replicas.validation["group"].shape == (2, replicas.validation["features"].shape[1], 1)


def test_numbers_may_come_beside_arrays() -> None:
    frame = _frame()
    data = load((frame[["score"]].to_numpy(), frame.label.to_numpy()), sensitive=frame.age)
    assert data.attribute is not None
    assert data.attribute.name == "attribute"


def test_labels_may_come_beside_arrays() -> None:
    frame = _frame()
    data = load((frame[["score", "age"]].to_numpy(), frame.label.to_numpy()), sensitive=frame.sex)
    assert data.groups == ("f", "m")


def test_missing_values_are_a_group() -> None:
    frame = _frame()
    frame.loc[:150, "sex"] = None
    data = load(frame, target="label", sensitive="sex")
    assert data.groups == ("f", "m", "missing")
    assert "151 rows have no 'sex': they count as a group of their own" in data.notes


@pytest.mark.parametrize(
    ("sensitive", "kind", "message"),
    [
        (["sex", "age"], DataError, "give a cut, such as 'age>="),
        ("label", OptionError, "'label' is both"),
        ("sexx", DataError, "did you mean 'sex'"),
        ("sex>=3", DataError, "needs numbers"),
        ("constant", DataError, "has only 'x'"),
        ("rare", DataError, "needs 100 rows to be estimated"),
    ],
)
def test_what_cannot_be_groups_is_refused(sensitive: str | list[str], kind: type[InputError], message: str) -> None:
    frame = _frame()
    frame["constant"], frame["rare"] = "x", np.where(np.arange(len(frame)) < 20, "few", "many")
    with pytest.raises(kind, match=message) as caught:
        load(frame, target="label", sensitive=sensitive)
    assert "\n" not in str(caught.value)


def test_labels_must_be_one_a_row() -> None:
    frame = _frame()
    with pytest.raises(OptionError, match="one per row: 600 rows, got 3"):
        load((frame[["score"]].to_numpy(), frame.label.to_numpy()), sensitive=np.array(["a", "b", "a"]))


def test_every_group_has_its_share_of_every_part() -> None:
    data = load(_frame(2_000), target="label", sensitive="sex")
    assert data.group is not None
    parts = partition(data, 0)
    for name, share in (("search", 0.6), ("confirmation", 0.2), ("test", 0.2)):
        rows = getattr(parts, name)
        np.testing.assert_allclose(np.bincount(data.group[rows]) / np.bincount(data.group), share, atol=0.01)
    replicas = make_replicas(data, draws(data, parts.search, seed=0, count=2, purpose="search"))
    assert replicas.sizes.groups == 2
    assert replicas.train["group"].shape == replicas.train["target"].shape
    assert replicas.take([1]).train["group"].shape == (1, replicas.train["target"].shape[1])


@pytest.mark.parametrize("counts", [{"a": 600, "b": 400, "c": 50}, {"a": 500, "b": 300, "c": 40, "d": 30}])
def test_the_note_on_pooling_gives_each_group_its_own_reason(counts: dict[str, int]) -> None:
    rows = sum(counts.values())
    frame = pd.DataFrame({"x": np.sin(np.arange(rows)), "y": np.arange(rows) % 2})
    frame["g"] = np.repeat(list(counts), list(counts.values()))
    (note,) = (note for note in load(frame, target="y", sensitive="g").notes if "pooled into one group" in note)
    small, _, large = note.partition("and the next smallest group, ")
    assert large == f"'b' ({counts['b']} rows)"
    assert "'b'" not in small
    assert all(f"{name!r} ({count} rows)" in small for name, count in counts.items() if count < 100)


def test_missing_values_that_are_pooled_are_no_group_of_their_own() -> None:
    frame = pd.DataFrame({"x": np.sin(np.arange(1030)), "y": np.arange(1030) % 2})
    frame["g"] = ["a"] * 900 + ["b"] * 60 + [None] * 70
    notes = load(frame, target="y", sensitive="g").notes
    assert not any("group of their own" in note for note in notes)
    assert any("pooled" in note and "'missing' (70 rows)" in note for note in notes)


def test_numbers_of_groups_keep_their_digits() -> None:
    frame = pd.DataFrame(
        {"x": np.sin(np.arange(900)), "y": np.arange(900) // 3 % 2, "g": 1_700_000_000 + np.arange(900) % 3}
    )
    assert load(frame, target="y", sensitive="g").groups == ("1700000000", "1700000001", "1700000002")
