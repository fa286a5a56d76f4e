"""Splits of one's own: groups, times, named parts and a test file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from losssearch.data import Dataset, draws, load, make_replicas, partition
from losssearch.data.given_splits import Given
from losssearch.errors import DataError, OptionError


def patients(count: int = 100, each: int = 10, seed: int = 0) -> pd.DataFrame:
    """Noise that is one number a patient and nothing else: what is learnt of a patient tells nothing of another."""
    generator = np.random.default_rng(seed)
    rows = np.repeat(np.arange(count), each)
    features = generator.normal(size=(count, 4))[rows] + 0.01 * generator.normal(size=(len(rows), 4))
    labels = (generator.permutation(count) < 0.4 * count).astype(int)[rows]
    frame = pd.DataFrame(features, columns=list("abcd")).assign(patient=[f"p{row}" for row in rows], y=labels)
    return frame.sample(frac=1, random_state=seed).reset_index(drop=True)


def events(rows: int = 1200, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(generator.integers(0, 300, rows), unit="D")
    return pd.DataFrame({"a": generator.normal(size=rows), "b": generator.normal(size=rows), "day": days}).assign(
        y=lambda frame: (frame.a + generator.normal(size=rows) > 0).astype(int)
    )


def given(frame: Any, **options: Any) -> Dataset:
    return load(frame, target="y", given=Given(**options))


def sides(dataset: Dataset, seed: int = 0) -> dict[str, np.ndarray]:
    parts = partition(dataset, seed)
    held = {"search": parts.search, "confirmation": parts.confirmation, "test": parts.test}
    np.testing.assert_array_equal(np.sort(np.concatenate(list(held.values()))), np.arange(dataset.rows))
    return held


@pytest.mark.parametrize(("count", "each"), [(100, 10), (40, 6), (1500, 2), (12, 40)])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_group_is_on_two_sides(count: int, each: int, seed: int) -> None:
    frame = patients(count, each)
    dataset = given(frame, group="patient")
    assert "patient" not in [column.name for column in dataset.schema.columns]
    held = sides(dataset, seed)
    owners = {name: set(frame.patient[rows]) for name, rows in held.items()}
    assert sum(map(len, owners.values())) == count
    for name, share in (("search", 0.6), ("confirmation", 0.2), ("test", 0.2)):
        assert len(held[name]) == pytest.approx(share * len(frame), abs=max(each, 0.04 * len(frame)))
        assert frame.y[held[name]].mean() == pytest.approx(frame.y.mean(), abs=0.12)
    for purpose in ("search", "reevaluation-1", "confirmation"):
        for draw in draws(dataset, held["search"], seed=seed, count=6, purpose=purpose):
            assert not set(frame.patient[draw.train]) & set(frame.patient[draw.validation])
            assert set(dataset.target[draw.train]) == {0, 1} == set(dataset.target[draw.validation])


def test_targets_are_spread_over_groups_of_very_different_sizes() -> None:
    generator = np.random.default_rng(1)
    sizes = np.concatenate([[300, 200, 100], generator.integers(1, 20, 80)])
    owner = np.repeat(np.arange(len(sizes)), sizes)
    labels = (generator.random(len(owner)) < generator.random(len(sizes))[owner]).astype(int)
    frame = pd.DataFrame({"a": generator.normal(size=len(owner)), "owner": owner, "y": labels})
    held = sides(given(frame, group="owner"))
    for name, share in (("search", 0.6), ("confirmation", 0.2), ("test", 0.2)):
        assert len(held[name]) == pytest.approx(share * len(frame), rel=0.05)
        assert frame.y[held[name]].mean() == pytest.approx(frame.y.mean(), abs=0.03)


def test_draws_of_groups_differ_and_repeat() -> None:
    dataset = given(patients(), group="patient")
    search = sides(dataset)["search"]
    first = [draw.validation.tolist() for draw in draws(dataset, search, seed=0, count=7, purpose="search")]
    assert first[:3] == [d.validation.tolist() for d in draws(dataset, search, seed=0, count=3, purpose="search")]
    assert len({tuple(sorted(rows)) for rows in first}) == 7


@pytest.mark.parametrize(
    ("count", "labels", "match"),
    [(3, [0, 1, 0], "occurs in . of 3 groups"), (30, [1, 1] + [0] * 28, "class '1' occurs in 2 of 30 groups")],
)
def test_few_groups_are_an_error(count: int, labels: list[int], match: str) -> None:
    owner = np.repeat(np.arange(count), 40)
    frame = pd.DataFrame(
        {"a": np.random.default_rng(0).normal(size=len(owner)), "g": owner, "y": np.array(labels)[owner]}
    )
    with pytest.raises(DataError, match=match):
        partition(given(frame, group="g"), 0)


@pytest.mark.parametrize("classes", [3, 6])
def test_a_class_of_few_groups_reaches_every_part(classes: int) -> None:
    generator = np.random.default_rng(0)
    owner = np.repeat(np.arange(60), 10)
    label = np.where(np.arange(60) < 4 * (classes - 1), np.arange(60) // 4 + 1, 0)[owner]
    frame = pd.DataFrame({"a": generator.normal(size=600), "g": owner, "y": [f"c{one}" for one in label]})
    dataset = given(frame, group="g")
    for seed in range(5):
        held = sides(dataset, seed)
        assert all(len(set(dataset.target[rows])) == classes for rows in held.values())
        for draw in draws(dataset, held["search"], seed=seed, count=3, purpose="search"):
            assert len(set(dataset.target[draw.train])) == classes == len(set(dataset.target[draw.validation]))


@pytest.mark.parametrize("form", ["dates", "text", "numbers"])
def test_later_rows_confirm_and_test(form: str) -> None:
    frame = events()
    moment = frame.day.copy()
    if form == "text":
        frame["day"] = frame.day.dt.strftime("%Y-%m-%d")
    elif form == "numbers":
        frame["day"] = (frame.day - frame.day.min()).dt.days
    dataset = given(frame, time="day")
    assert [column.name for column in dataset.schema.columns] == ["a", "b"]
    held = sides(dataset)
    assert moment[held["search"]].max() < moment[held["confirmation"]].min()
    assert moment[held["confirmation"]].max() < moment[held["test"]].min()
    cuts = set()
    for draw in draws(dataset, held["search"], seed=0, count=6, purpose="search"):
        assert moment[draw.train].max() < moment[draw.validation].min()
        assert not (np.diff(draw.train) > 0).all()
        cuts.add(moment[draw.validation].min())
    assert len(cuts) == 6
    sizes = {len(d.train) for d in draws(dataset, held["search"], seed=0, count=6, purpose="search")}
    assert sizes == {int(0.6 * len(held["search"]))}


def test_the_time_may_stay_a_feature() -> None:
    dataset = given(events(), time="day", time_as_feature=True)
    assert "day" in [column.name for column in dataset.schema.columns]


def test_rows_of_one_time_stay_together() -> None:
    frame = events().assign(day=lambda frame: frame.day.dt.month)  # ten times for 1,200 rows
    dataset = given(frame, time="day")
    held = sides(dataset)
    months = [set(frame.day[rows]) for rows in held.values()]
    assert not months[0] & months[1]
    assert not months[1] & months[2]
    for draw in draws(dataset, held["search"], seed=0, count=4, purpose="search"):
        assert frame.day[draw.train].max() < frame.day[draw.validation].min()


@pytest.mark.parametrize(
    ("times", "match"),
    [
        (["1", "2"] * 100, "a distinct time for each of 3 parts"),
        (["soon", "late"] * 100, "numbers or dates"),
        ([*map(str, range(199)), None], "the first in row 200"),
        ([1] * 80 + [2] * 60 + [3] * 60, "no such cut"),
    ],
)
def test_times_that_cannot_order_rows(times: list[Any], match: str) -> None:
    frame = pd.DataFrame({"a": np.random.default_rng(0).normal(size=200), "t": times, "y": [0, 0, 1, 1] * 50})
    with pytest.raises(DataError, match=match):
        partition(given(frame, time="t"), 0)


def test_a_later_part_of_one_class_is_told() -> None:
    frame = pd.DataFrame(
        {"a": np.random.default_rng(0).normal(size=300), "t": range(300), "y": [0, 1] * 120 + [0] * 60}
    )
    with pytest.raises(DataError, match=r"the test part must hold two classes or more; .* no '1'"):
        partition(given(frame, time="t"), 0)


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
