"""Splits of one's own: groups, times, named parts and a test file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from losssearch.data import draws, load, make_replicas, partition
from losssearch.data.given_splits import Given
from losssearch.errors import DataError, OptionError
from tests.data.split_tables import events, given, patients, sides

WORDS = [
    ("train", "validation", "test"),
    ("TRAINING", "Valid", "Testing"),
    ("search", "confirmation", "hold out"),
    (" Train ", "dev", "held_out"),
]


@pytest.mark.parametrize("words", WORDS)
def test_named_parts_are_taken_as_they_are(words: tuple[str, ...]) -> None:
    frame = events().drop(columns="day")
    part = np.random.default_rng(0).choice(3, len(frame), p=[0.5, 0.2, 0.3])
    dataset = given(frame.assign(usage=np.array(words)[part]), split="usage")
    assert [column.name for column in dataset.schema.columns] == ["a", "b"]
    for index, rows in enumerate(sides(dataset).values()):
        np.testing.assert_array_equal(rows, np.flatnonzero(part == index))


@pytest.mark.parametrize(
    ("name", "yes", "no"),
    [
        ("is_train", True, False),
        ("isTest", "0", "1"),
        ("train", 1, 0),
        ("in test", "no", "yes"),
        ("x", "train", "test"),
    ],
)
def test_two_parts_leave_confirmation_to_be_carved(name: str, yes: Any, no: Any) -> None:
    frame = events().drop(columns="day")
    train = np.random.default_rng(0).random(len(frame)) < 0.7
    dataset = given(frame.assign(**{name: np.where(train, yes, no)}), split=name)
    held = sides(dataset)
    np.testing.assert_array_equal(held["test"], np.flatnonzero(~train))
    assert len(held["confirmation"]) == pytest.approx(0.25 * train.sum(), abs=2)
    assert dataset.target[held["confirmation"]].mean() == pytest.approx(dataset.target[train].mean(), abs=0.01)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (["train", "test", "banana"], r"holds 'banana' in row 3"),
        (["train", "test", None], r"the first in row 3"),
        (["train", "val", "train"], r"has no test"),
        (["test", "val", "test"], r"has no train"),
        (["0", "1", "2"], r"holds '0' in row 1"),
    ],
)
def test_words_that_name_no_part(values: list[Any], match: str) -> None:
    frame = events(300).drop(columns="day").assign(usage=values * 100)
    with pytest.raises(DataError, match=match):
        given(frame, split="usage")


@pytest.mark.parametrize(
    ("name", "values", "noted"),
    [
        ("split", ["train", "test"], True),
        ("is_train", [True, False], True),
        ("fold", [0, 1, 2, 3], True),
        ("Subset", ["train", "val", "test"], True),
        ("set", [3, 4, 5], False),  # of a tennis match
        ("test", ["positive", "negative"], False),
        ("split", ["left", "right"], False),
        ("a2", ["train", "test"], False),
    ],
)
def test_a_column_named_like_a_split_is_announced(name: str, values: list[Any], noted: bool) -> None:
    frame = events(400).drop(columns="day")
    frame[name] = np.random.default_rng(0).choice(values, 400)
    told = [note for note in load(frame, target="y").notes if "looks like" in note]
    assert bool(told) is noted
    if noted:
        assert repr(name) in told[0]
        assert f"drop={name!r}" in told[0]


def test_the_test_file_is_the_test_part(tmp_path: Path) -> None:
    frame = events().drop(columns="day").assign(city=lambda f: np.where(f.a > 0, "x", "y"))
    train, test = frame[:900], frame[900:].assign(extra=1)
    train.to_csv(tmp_path / "train.csv", index=False)
    test[["city", "extra", "y", "b", "a"]].to_parquet(tmp_path / "test.parquet")
    dataset = load(tmp_path / "train.csv", target="y", given=Given(test=str(tmp_path / "test.parquet")))
    held = sides(dataset)
    np.testing.assert_array_equal(held["test"], np.arange(900, 1200))
    assert len(held["confirmation"]) == pytest.approx(225, abs=2)
    assert any("'extra'" in note for note in dataset.notes)
    np.testing.assert_allclose(dataset.features["a"].to_numpy()[900:], test["a"].to_numpy())  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda f: f.drop(columns="b"), r"lacks 'b'"),
        (lambda f: f.assign(b=["odd", *map(str, f.b[1:])]), r"column 'b' .*'odd' in row 1"),
        (lambda f: f.assign(y=np.where(f.index == f.index[4], "maybe", f.y)), r"'maybe' in row 5 .* does not"),
        (lambda f: f.assign(y=None), "has none"),
        (lambda f: f.assign(day="whenever"), r"column 'day' .*'whenever' in row 1"),
        (lambda f: f.drop(columns="y"), "no target column 'y'"),
        (lambda f: f.assign(y="no"), r"the test part must hold two classes"),
    ],
)
def test_a_test_file_of_another_form_is_refused(change: Any, match: str) -> None:
    frame = events().assign(y=lambda f: np.where(f.y == 1, "yes", "no"))
    with pytest.raises(DataError, match=match):
        partition(given(frame[:900], test=change(frame[900:])), 0)


def test_a_test_file_reads_as_one_table_would() -> None:
    frame = events(600).assign(flag=lambda f: f.a > 0, code=lambda f: np.where(f.b > 0, "A1", "7"))
    test = frame[400:].assign(flag=lambda f: f.flag.astype(int), day=lambda f: f.day.dt.strftime("%d.%m.%Y"))
    test = test[test.code == "7"].assign(code=7)
    whole = pd.concat([frame[:400], frame[400:][frame.code[400:] == "7"]], ignore_index=True)
    split, plain = given(frame[:400], test=test), load(whole, target="y")
    assert [c.kind for c in split.schema.columns if c.name != "flag"] == [
        c.kind for c in plain.schema.columns if c.name != "flag"
    ]
    for name in ("a", "b", "day", "code"):
        pd.testing.assert_series_equal(split.features[name], plain.features[name])  # type: ignore[call-overload]
    np.testing.assert_array_equal(split.target, plain.target)


def test_pairs_take_arrays() -> None:
    frame = patients()
    pair = frame[list("abcd")].to_numpy(), frame.y.to_numpy()
    named, listed = given(frame, group="patient"), load(pair, given=Given(group=frame.patient.to_numpy()))
    np.testing.assert_array_equal(sides(named)["test"], sides(listed)["test"])
    held = load((pair[0][:700], pair[1][:700]), given=Given(test=(pair[0][700:], pair[1][700:])))
    np.testing.assert_array_equal(sides(held)["test"], np.arange(700, 1000))
    with pytest.raises(OptionError, match="one value per row: 1000 rows"):
        load(pair, given=Given(group=np.arange(10)))


def test_groups_and_named_parts_together() -> None:
    frame = patients()
    numbers = frame.patient.str[1:].astype(int)
    frame["part"] = np.where(numbers < 70, "train", "test")
    dataset = given(frame, group="patient", split="part")
    held = sides(dataset)
    assert set(numbers[held["test"]]) == set(range(70, 100))
    assert not set(frame.patient[held["search"]]) & set(frame.patient[held["confirmation"]])
    frame.loc[5, "part"] = "test" if frame.part[5] == "train" else "train"
    with pytest.raises(DataError, match=f"{frame.patient[5]!r} in two"):
        given(frame, group="patient", split="part")


def test_times_and_a_test_file_together() -> None:
    frame = events().sort_values("day").reset_index(drop=True)
    cut = int((frame.day < frame.day[900]).sum())
    dataset = given(frame[:cut], test=frame[cut:], time="day")
    held = sides(dataset)
    assert frame.day[held["search"]].max() < frame.day[held["confirmation"]].min()
    with pytest.raises(DataError, match="begin no later"):
        given(frame[cut:], test=frame[:cut], time="day")


@pytest.mark.parametrize(
    "options",
    [
        {"test": "x.csv", "split": "part"},
        {"group": "a", "time": "day"},
        {"time_as_feature": True},
    ],
)
def test_splits_that_contradict_each_other_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=r"give one of them|needs"):
        Given(**options)


@pytest.mark.parametrize("role", ["group", "time", "split"])
def test_the_target_and_unknown_columns_are_refused(role: str) -> None:
    with pytest.raises(OptionError, match=f"{role} must not be the target"):
        given(events(), **{role: "y"})
    with pytest.raises(DataError, match=f"no {role} column 'dya'; did you mean 'day'"):
        given(events(), **{role: "dya"})


def test_fingerprints_tell_splits_apart() -> None:
    frame = patients()
    frame["other"] = frame.patient.str[1:].astype(int) // 2
    without = load(frame.drop(columns=["patient", "other"]), target="y").fingerprint
    found = {
        given(frame, group="patient").fingerprint,
        given(frame.drop(columns="other"), group="patient").fingerprint,
        given(frame.drop(columns="patient"), group="other").fingerprint,
    }
    assert len(found | {without}) == 4


def test_groups_stand_beside_a_sensitive_attribute() -> None:
    frame = patients(200, 6).assign(sex=lambda f: np.where(f.patient.str[-1].isin(list("01234")), "f", "m"))
    dataset = load(frame, target="y", sensitive="sex", given=Given(group="patient"))
    held = sides(dataset)
    assert dataset.group is not None
    shares = [dataset.group[rows].mean() for rows in held.values()]
    assert max(shares) - min(shares) < 0.1
    replicas = make_replicas(dataset, draws(dataset, held["search"], seed=0, count=2, purpose="search"))
    assert "group" in replicas.train
