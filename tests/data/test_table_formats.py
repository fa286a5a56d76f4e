"""One table is one dataset whatever holds it: cells that pandas takes for missing, codes, nested columns, indices."""

from collections.abc import Iterator
from datetime import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from losssearch.data import Dataset, load
from losssearch.errors import DataError

ROWS = 120
WORDS = ("NA", "None", "n/a", "NaN", "null", "nan", "N/A", "<NA>", "#N/A", "NULL", "Mild", "x")


def held(frame: pd.DataFrame, folder: Path) -> Iterator[object]:
    """The frame, and files of every kind that hold it."""
    yield frame
    for suffix, separator in ((".csv", ","), (".csv.gz", ";"), (".tsv", "\t")):
        path = folder / f"table{suffix}"
        frame.to_csv(path, index=False, sep=separator)
        yield path
    frame.to_parquet(folder / "table.parquet", index=False)
    yield folder / "table.parquet"
    frame.to_feather(folder / "table.feather")
    yield folder / "table.feather"
    table = pa.Table.from_pandas(frame, preserve_index=False)
    with pa.OSFile(str(folder / "table.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    yield folder / "table.arrow"


def same(frame: pd.DataFrame, folder: Path, **options: object) -> Dataset:
    """The dataset that the frame is in every format, after checking that it is one."""
    first, *others = [load(data, target="y", **options) for data in held(frame, folder)]
    for other in others:
        assert other.schema == first.schema
        assert other.notes == first.notes
        assert other.classes == first.classes
        assert other.task == first.task
        np.testing.assert_array_equal(other.target, first.target)
        pd.testing.assert_frame_equal(other.features, first.features)
        assert other.fingerprint == first.fingerprint
    return first


CELLS = {
    "words": st.sampled_from([*WORDS, None]),
    "codes": st.sampled_from(["00501", "01234", "90210", None]),
    "whole": st.integers(-(10**6), 10**6),
    "floats": st.floats(allow_nan=True, allow_infinity=False, width=64),
    "flags": st.booleans(),
    "dollars": st.integers(0, 10**6).map(lambda value: f"${value:,}"),
    "nearly": st.one_of(st.integers(0, 999).map(str), st.integers(1000, 9999).map(str)),
    "moments": st.datetimes(pd.Timestamp("1990-01-01"), pd.Timestamp("2030-01-01")).map(lambda t: t.replace(fold=0)),
    "american": st.dates().map(lambda day: f"{day.month}/{day.day}/{day.year:04} 10:30"),
}


@settings(max_examples=15, deadline=None)
@given(data=st.data(), kinds=st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=4))
def test_a_generated_table_is_the_same_in_every_format(
    data: st.DataObject, kinds: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    frame = pd.DataFrame({"y": np.array(["None", "NA", "Severe"])[np.arange(ROWS) % 3], "z": random.normal(size=ROWS)})
    for place, kind in enumerate(kinds):
        pool = data.draw(st.lists(CELLS[kind], min_size=4, max_size=12))
        values = [pool[index] for index in random.integers(0, len(pool), ROWS)]
        if kind == "nearly":
            values[7] = data.draw(st.sampled_from(["-", ".", "unknown", "<0.1", "#DIV/0!", "NA"]))
        frame[f"{kind}{place}"] = values
    dataset = same(frame, tmp_path_factory.mktemp("held"))
    assert dataset.classes == ("NA", "None", "Severe")


@pytest.mark.parametrize("word", WORDS)
def test_a_word_that_pandas_takes_for_missing_is_a_class_and_a_category(word: str, tmp_path: Path) -> None:
    rows = np.arange(ROWS)
    frame = pd.DataFrame({"y": np.array([word, "Moderate", "Severe"])[rows % 3], "z": np.sin(rows)})
    frame["place"] = np.array([word, "EU", None], dtype=object)[rows // 2 % 3]
    dataset = same(frame, tmp_path)
    assert word in dataset.classes
    assert dataset.task == "multiclass"
    place = dataset.features["place"]
    assert set(place.dropna()) == {word, "EU"}
    assert place.isna().sum() == frame["place"].isna().sum()


def test_only_empty_cells_and_question_marks_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    cells = ["a", "", "?", " ", "NA", " ? "]
    path.write_text("y,z,c\n" + "".join(f"{i % 2},{i * i % 17}.5,{cells[i % 6]}\n" for i in range(60)))
    column = load(path, target="y").features["c"]
    assert set(column.dropna()) == {"a", "NA"}
    assert column.isna().sum() == 40


def test_zero_filled_codes_are_text_in_every_format(tmp_path: Path) -> None:
    rows = np.arange(ROWS)
    frame = pd.DataFrame({"y": rows % 2, "z": np.sin(rows), "zip": np.array(["00501", "01234", "90210"])[rows % 3]})
    dataset = same(frame, tmp_path)
    assert set(dataset.features["zip"]) == {"00501", "01234", "90210"}


def test_true_and_false_are_one_target_however_they_are_written(tmp_path: Path) -> None:
    rows = np.arange(ROWS)
    frame = pd.DataFrame({"y": rows % 3 == 0, "z": np.sin(rows)})
    assert same(frame, tmp_path, positive="true").classes == ("False", "True")
    lower = same(frame.assign(y=frame["y"].map({True: "true", False: "false"})), tmp_path)
    np.testing.assert_array_equal(lower.target, rows % 3 == 0)
    assert lower.classes == ("False", "True")
    numbers = same(frame, tmp_path, task="regression")
    np.testing.assert_array_equal(numbers.target, (rows % 3 == 0) * 1.0)


def test_times_of_day_are_seconds_and_durations_too(tmp_path: Path) -> None:
    rows = np.arange(ROWS)
    frame = pd.DataFrame({"y": rows % 2, "at": [time(int(i) % 24, int(i) % 60, 5) for i in rows]})
    frame["long"] = pd.to_timedelta(rows**2 * 1000, unit="s")
    frame["long"] = frame["long"].where(rows != 3)
    dataset = load(frame, target="y")
    np.testing.assert_array_equal(dataset.features["at"], rows % 24 * 3600 + rows % 60 * 60 + 5.0)
    for data in list(held(frame, tmp_path))[1:]:
        pd.testing.assert_frame_equal(load(data, target="y").features, dataset.features)


@pytest.mark.parametrize("values", [[b"ab", b"c"], [[1, 2], [3]], [{"a": 1}, {"a": 2}], [{"a": [1]}, None]], ids=str)
def test_a_nested_column_of_a_file_is_ignored_and_named(values: list[object], tmp_path: Path) -> None:
    frame = pd.DataFrame({"y": np.arange(ROWS) % 2, "z": np.sin(np.arange(ROWS)), "odd": values * (ROWS // 2)})
    for path in (tmp_path / "t.parquet", tmp_path / "t.feather"):
        frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_feather(path)
        dataset = load(path, target="y")
        assert [column.name for column in dataset.schema.columns] == ["z"]
        assert any("ignored 'odd'" in said for said in dataset.notes)


def test_a_named_index_is_a_column_and_an_unnamed_one_is_not(tmp_path: Path) -> None:
    rows = np.arange(ROWS)
    frame = pd.DataFrame({"y": rows % 2, "z": np.sin(rows)})
    dates = pd.date_range("2020-01-01", periods=ROWS, name="day")
    for index, found in ((dates, ["z", "day"]), (dates.rename(None), ["z"]), (frame.index, ["z"])):
        indexed = frame.set_axis(index)
        indexed.to_parquet(tmp_path / "t.parquet")
        for data in (indexed, tmp_path / "t.parquet"):
            assert [column.name for column in load(data, target="y").schema.columns] == found
    levels = frame.set_index([pd.Index(rows % 5, name="a"), pd.Index(rows % 7, name="b")])
    levels.to_parquet(tmp_path / "t.parquet")
    assert [c.name for c in load(tmp_path / "t.parquet", target="y").schema.columns] == ["z", "a", "b"]
    with pytest.raises(DataError, match="'z' more than once, once in its index"):
        load(frame.set_axis(dates.rename("z")), target="y")
