"""Every unusable input is refused in one line that names what was found."""

import gzip
import pickle
import urllib.error
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from losssearch.data import load
from losssearch.errors import DataError, InputError, OptionError, UnknownNameError


def good(rows: int = 60) -> pd.DataFrame:
    values = np.arange(rows, dtype=float)
    return pd.DataFrame(
        {"size": np.sin(values), "colour": np.array(["red", "blue"])[np.arange(rows) % 2], "y": np.arange(rows) % 2}
    )


def refused(kind: type[InputError], data: object, **options: object) -> str:
    """The message of the refusal, after checking that it is of this kind and one line."""
    with pytest.raises(kind) as caught:
        load(data, **{"target": "y", **options})
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", ["absent.csv", "absent", "a\0b.csv", "x" * 5000 + ".csv"])
def test_no_such_file(tmp_path: Path, name: str) -> None:
    assert "absent" not in name or "no such file" in refused(DataError, str(tmp_path / name))
    refused(DataError, str(tmp_path / name))


def test_a_directory(tmp_path: Path) -> None:
    assert "is a directory" in refused(DataError, tmp_path)


def test_unknown_suffix_names_the_readable_ones(tmp_path: Path) -> None:
    path = tmp_path / "table.xlsx"
    path.write_bytes(b"content")
    message = refused(DataError, path)
    assert "'.xlsx'" in message
    assert ".parquet" in message


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv", ".parquet", ".arrow", ".feather", ".npz"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes(range(256)) * 20,
        b"\x80\xff\xfe garbage",
        b"PK\x03\x04 cut off archive",
        b"PAR1 cut off parquet PAR1",
        b"ARROW1\0\0 cut off",
        b"\x1f\x8b\x08 cut off gzip",
    ],
    ids=["empty", "bytes", "latin", "zip", "parquet", "arrow", "gzip"],
)
def test_not_a_table(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"table{suffix}"
    path.write_bytes(content)
    assert f"table{suffix}" in refused(DataError, path)


def test_cut_off_files_are_refused(tmp_path: Path) -> None:
    good(3000).to_parquet(tmp_path / "whole.parquet")
    good(3000).to_csv(tmp_path / "whole.csv.gz")
    np.savez(tmp_path / "whole.npz", X=np.zeros((99, 9)), y=np.zeros(99))
    for name in ("whole.parquet", "whole.csv.gz", "whole.npz"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        refused(DataError, tmp_path / name)


def test_a_row_with_too_many_fields_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ragged.csv"
    path.write_text("a,y\n" + "1,0\n" * 30 + "1,0,7\n" + "2,1\n" * 30)
    assert "line 32" in refused(DataError, path)


def test_rows_longer_than_the_header_lose_nothing_silently(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("a,y\n" + "1,0,7\n2,1,8\n" * 30)
    assert "more fields than the 2 of line 1" in refused(DataError, path)


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes("größe,y\n1,0\n".encode("latin-1"))
    assert "UTF-8" in refused(DataError, path)


@pytest.mark.parametrize("target", ["sise", "Y", "zzz"])
def test_no_such_target_names_the_nearest_columns(target: str) -> None:
    message = refused(DataError, good(), target=target)
    assert repr(target) in message
    assert "'size'" in message


def test_no_such_column_to_drop() -> None:
    assert "did you mean 'colour'" in refused(DataError, good(), drop=["color"])


def test_a_wide_table_lists_few_columns() -> None:
    wide = pd.DataFrame(np.zeros((3, 500))).add_prefix("q")
    assert "488 more" in refused(DataError, wide, target="y")


def test_target_must_be_named_and_not_dropped() -> None:
    assert "must be named" in refused(OptionError, good(), target=None)
    assert "both target and in drop" in refused(OptionError, good(), drop=["y"])


@pytest.mark.parametrize("value", [1, 2.5, "yes", True])
def test_a_constant_target(value: object) -> None:
    assert "always" in refused(DataError, good().assign(y=value))


def test_an_infinite_target_is_counted_and_its_first_row_named() -> None:
    values = np.linspace(0, 1, 60)
    values[[6, 9]] = np.inf, -np.inf
    message = refused(DataError, good().assign(y=values))
    assert "2 infinite values, the first in row 7" in message


@pytest.mark.parametrize("gap", [None, "", " ? "])
def test_a_missing_target_is_counted(gap: str | None) -> None:
    labels = pd.Series(["a", "b"] * 30, dtype="object")
    labels[[4, 5, 50]] = gap
    message = refused(DataError, good().assign(y=labels))
    assert "lacks 3 of 60, the first in row 5" in message
    assert "drop_missing_target=True" in message


def test_a_target_without_values() -> None:
    assert "has none" in refused(DataError, good().assign(y=np.nan), drop_missing_target=True)


def test_a_target_of_dates_or_lists() -> None:
    assert "dates" in refused(DataError, good().assign(y=pd.date_range("2020-01-01", periods=60)))
    assert "list" in refused(DataError, good().assign(y=[[1]] * 60))


def test_too_few_rows() -> None:
    assert "at least 50 rows" in refused(DataError, good(49))
    load(good(50), target="y")


def test_an_empty_table(tmp_path: Path) -> None:
    path = tmp_path / "header.csv"
    path.write_text("a,y\n")
    refused(DataError, path)


def test_too_few_rows_of_a_class() -> None:
    labels = ["a"] * 30 + ["b"] * 26 + ["rare"] * 4
    message = refused(DataError, good().assign(y=labels))
    assert "'rare' has 4" in message
    assert "regression" not in message
    assert "task='regression'" in refused(DataError, good(200).assign(y=[0] * 100 + [1] * 96 + [2] * 4))
    load(good().assign(y=["a"] * 30 + ["b"] * 25 + ["c"] * 5), target="y")


def test_more_classes_than_rows_allow() -> None:
    assert "60 classes" in refused(DataError, good().assign(y=[f"c{i}" for i in range(60)]))


def test_no_feature_left() -> None:
    assert "none left" in refused(DataError, good(), drop=["size", "colour"])
    useless = pd.DataFrame({"y": [0, 1] * 30, "a": 1, "b": None, "c": range(60)})
    message = refused(DataError, useless)
    assert "'a': constant" in message
    assert "'b': no values" in message
    assert "'c': row numbers" in message
    assert "constant" in refused(DataError, (np.ones((60, 3)), np.arange(60) % 2))


def test_duplicate_column_names(tmp_path: Path) -> None:
    twice = pd.concat([good(), good()[["size"]]], axis=1)
    assert "'size' more than once" in refused(DataError, twice)
    twice.to_csv(tmp_path / "twice.csv", index=False)
    assert "'size' more than once" in refused(DataError, tmp_path / "twice.csv")


@pytest.mark.parametrize(
    ("values", "kind"), [([[1, 2]], "list"), ([{"a": 1}], "dict"), ([np.zeros(2)], "ndarray"), ([b"x"], "bytes")]
)
def test_a_column_of_nested_values(values: list[object], kind: str) -> None:
    frame = good().assign(odd=pd.Series(["text"] + values * 59, dtype="object"))
    dataset = load(frame, target="y")
    assert [column.name for column in dataset.schema.columns] == ["size", "colour"]
    assert any("ignored 'odd'" in said and f"a {kind} in row 2" in said for said in dataset.notes)
    assert kind in refused(DataError, good().assign(y=[values[0]] * 60))


def test_complex_numbers() -> None:
    dataset = load(good().assign(z=1j), target="y")
    assert any("ignored 'z'" in said and "complex" in said for said in dataset.notes)


def test_unknown_builtin_and_task_name_the_nearest() -> None:
    assert "digits" in refused(UnknownNameError, "builtin:digit")
    assert "regression" in refused(UnknownNameError, good(), task="regresion")


def test_a_task_that_does_not_fit_the_target() -> None:
    text = good().assign(y=["red", "blue", "green"] * 20)
    assert "regression needs numbers" in refused(DataError, text, task="regression")
    assert "has 3" in refused(DataError, text, task="binary")


def test_a_positive_class_that_is_none() -> None:
    assert "'2'" in refused(OptionError, good(), positive="2")
    assert "needs a binary task" in refused(OptionError, good().assign(y=np.linspace(0, 1, 60)), positive="1")


@pytest.mark.parametrize("data", [3, None, [1, 2], {"a": 1}, (1, 2, 3)])
def test_data_of_another_type(data: object) -> None:
    refused(OptionError, data)


@pytest.mark.parametrize(
    "pair",
    [
        (np.zeros((60, 2)), np.arange(59) % 2),
        (np.zeros((60, 2)), np.zeros((60, 2))),
        (np.array([["a"] * 2] * 60), np.arange(60) % 2),
        (np.float64(3), np.arange(60)),
        (np.zeros((60, 2), dtype=complex), np.arange(60) % 2),
        (good(), good()["y"]),
    ],
)
def test_pairs_that_do_not_fit(pair: tuple[object, object]) -> None:
    refused(DataError, pair)


def test_columns_of_an_array_cannot_be_dropped() -> None:
    refused(OptionError, (np.eye(60), np.arange(60) % 2), drop=["a"])
    refused(OptionError, "builtin:digits", target="target", drop=["a"])


def test_archives_that_do_not_fit(tmp_path: Path) -> None:
    labels = np.arange(60) % 2
    cases = {
        "objects": {"X": np.array([[{}]] * 60, dtype=object), "y": labels},
        "nothing": {"y": labels},
        "unclear": {"a": np.zeros((60, 2)), "b": np.zeros((60, 2)), "y": labels},
        "uneven": {"X": np.zeros((59, 2)), "y": labels},
        "masks": {"images": np.zeros((60, 4, 4)), "y": np.zeros((60, 4, 4))},
    }
    for name, arrays in cases.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)
        assert name in refused(DataError, tmp_path / f"{name}.npz")
    assert "did you mean 'y'" in refused(DataError, tmp_path / "uneven.npz", target="yy")
    with (tmp_path / "one.npz").open("wb") as file:
        np.save(file, np.zeros((60, 2)))
    assert "one array" in refused(DataError, tmp_path / "one.npz")
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps({"X": 1}))
    refused(DataError, tmp_path / "pickle.npz")


def test_openml_without_a_number_or_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(**_: object) -> None:
        raise urllib.error.URLError("no route to host\nretry later")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", offline)
    assert "takes the number" in refused(DataError, "openml:adult")
    assert "openml:1590 could not be fetched" in refused(DataError, "openml:1590")


def test_binary_data_in_a_compressed_file(tmp_path: Path) -> None:
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress(bytes(range(128)) * 9))
    assert "binary data" in refused(DataError, tmp_path / "table.csv.gz")


def test_an_address_is_no_file_and_the_message_says_so() -> None:
    assert "addresses are not read" in refused(DataError, "https://example.org/table.csv")
