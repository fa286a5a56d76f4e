"""What is read from each source, and what is inferred of it."""

import pickle
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from losssearch.data import BUILTIN_NAMES, Dataset, load, partition


def mixed(rows: int = 120) -> pd.DataFrame:
    """A column of each kind, some with gaps."""
    index = np.arange(rows)
    frame = pd.DataFrame(
        {
            "amount": (index * 7919 % 1013) / 3,
            "count": index % 7,
            "colour": np.array(["red", "green", "blue"])[index % 3],
            "member": index % 4 == 0,
            "joined": pd.Timestamp("2019-12-30") + pd.to_timedelta(index * 11 % 700, unit="D"),
            "income": np.array(["no", "yes"])[(index % 5 == 0).astype(int)],
        }
    )
    return frame.assign(
        amount=frame["amount"].mask(index % 10 == 3),
        colour=frame["colour"].mask(index % 11 == 4),
        joined=frame["joined"].mask(index % 13 == 5),
    )


def kinds(dataset: Dataset) -> dict[str, str]:
    return {column.name: column.kind for column in dataset.schema.columns}


def note(dataset: Dataset, part: str) -> bool:
    return any(part in sentence for sentence in dataset.notes)


def test_kinds_and_gaps_are_inferred() -> None:
    dataset = load(mixed(), target="income")
    assert kinds(dataset) == {
        "amount": "numeric",
        "count": "numeric",
        "colour": "categorical",
        "member": "boolean",
        "joined": "date",
    }
    assert [column.missing for column in dataset.schema.columns] == [12, 0, 11, 0, 9]
    assert dataset.notes[0] == "task binary inferred from 2 distinct values of 'income'; positive class is 'yes'"
    assert dataset.classes == ("no", "yes")
    assert dataset.target.dtype == np.int64
    assert dataset.target.sum() == 24


def test_one_table_is_one_dataset_whatever_holds_it(tmp_path: Path) -> None:
    frame = mixed()
    suffixes = (".csv", ".csv.gz", ".tsv", ".parquet", ".arrow", ".feather")
    files = {suffix: tmp_path / f"table{suffix}" for suffix in suffixes}
    frame.to_csv(files[".csv"], index=False)
    frame.to_csv(files[".csv.gz"], index=False, na_rep="?")
    frame.to_csv(files[".tsv"], index=False, sep="\t")
    frame.to_parquet(files[".parquet"])
    frame.to_feather(files[".feather"])
    table = pa.Table.from_pandas(frame)
    with pa.OSFile(str(files[".arrow"]), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    datasets = [load(path, target="income") for path in files.values()] + [load(frame, target="income")]
    assert {dataset.fingerprint for dataset in datasets} == {datasets[0].fingerprint}
    assert {dataset.name for dataset in datasets} == {"table", "data"}
    first = datasets[0].features
    for dataset in datasets:
        pd.testing.assert_frame_equal(dataset.features, first)
        assert (dataset.row_keys == datasets[0].row_keys).all()


def test_the_fingerprint_is_that_of_the_content() -> None:
    frame = mixed()
    fingerprint = load(frame, target="income").fingerprint
    # Computed once and written down, so that another version or platform would show.
    assert fingerprint == "1f709848333df10f"
    changed = frame.assign(count=frame["count"].where(frame.index != 7, 99))
    assert load(changed, target="income").fingerprint != fingerprint
    assert load(frame[::-1], target="income").fingerprint != fingerprint
    assert load(frame.rename(columns={"count": "number"}), target="income").fingerprint != fingerprint
    assert load(frame, target="income", positive="no").fingerprint != fingerprint


def test_separators_blanks_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    rows = "".join(f'{i % 9}.5; "a;b" ; ?;{"x" if i % 3 else "z"}\r\n' for i in range(60))
    path.write_bytes(("\ufeffsize; text; gap; y\r\n" + rows).encode())
    dataset = load(path, target="y")
    assert kinds(dataset) == {"size": "numeric"}
    assert note(dataset, "ignored 'gap': no values")
    assert note(dataset, "ignored 'text': constant")


def test_text_that_spells_other_kinds() -> None:
    rows = np.arange(60)
    frame = pd.DataFrame({"y": rows % 2, "number": [f"{i % 7}.50" for i in rows]})
    frame["zip"] = [f"0{i % 7}123" for i in rows]
    frame["flag"] = np.array(["TRUE", "False", "?"])[rows % 3]
    frame["iso"] = [f"2020-0{1 + i % 9}-11 10:00" for i in rows]
    frame["american"] = [f"0{1 + i % 9}/25/2020" for i in rows]
    frame["money"] = [Decimal(int(i)) / 4 for i in rows % 5]
    frame["day"] = [date(2020, 1, 1 + int(i) % 28) for i in rows]
    frame["mixed"] = pd.Series([1 if i % 2 else "a" for i in rows], dtype="object")
    frame["level"] = pd.Categorical(rows % 3)
    assert kinds(load(frame, target="y")) == {
        "number": "numeric",
        "zip": "categorical",
        "flag": "boolean",
        "iso": "date",
        "american": "date",
        "money": "numeric",
        "day": "date",
        "mixed": "categorical",
        "level": "categorical",
    }


def test_columns_that_tell_nothing_are_left_out_and_named() -> None:
    frame = mixed()
    frame["row"] = range(len(frame))
    frame["user_id"] = np.arange(len(frame)) * 17 % 1009
    frame["name"] = [f"person {i}" for i in range(len(frame))]
    dataset = load(frame, target="income", drop="member")
    assert set(kinds(dataset)) == {"amount", "count", "colour", "joined"}
    assert note(dataset, "ignored 'row', 'user_id': row numbers")
    assert note(dataset, "ignored 'name': texts that differ")


def test_infinite_features_count_as_missing() -> None:
    dataset = load(mixed().assign(amount=[np.inf, -np.inf, 1.0, 2.0] * 30), target="income")
    assert dataset.schema.columns[0].missing == 60
    assert note(dataset, "60 infinite values of column 'amount'")


def test_rows_without_a_target_are_left_out_when_asked() -> None:
    frame = mixed()
    frame.loc[[0, 3], "income"] = None
    dataset = load(frame, target="income", drop_missing_target=True)
    assert dataset.rows == 118
    assert len(dataset.features) == 118
    assert note(dataset, "left out 2 rows without a target")
    again = load(frame.drop(index=[0, 3]), target="income")
    assert dataset.fingerprint == again.fingerprint


@pytest.mark.parametrize(
    ("labels", "positive", "expected"),
    [
        ([0, 0, 0, 1], None, ("0", "1")),
        ([1, 1, 1, 0], None, ("0", "1")),
        ([0.0, 1.0, 1.0, 1.0], None, ("0", "1")),
        ([True, True, True, False], None, ("False", "True")),
        ([-1, 1, 1, 1], None, ("-1", "1")),
        ([1, 2, 2, 2], None, ("2", "1")),
        ([1, 1, 1, 2], None, ("1", "2")),
        (["n", "y", "y", "y"], None, ("n", "y")),
        (["Yes", "Yes", "Yes", "No"], None, ("No", "Yes")),
        (["a", "a", "a", "b"], None, ("a", "b")),
        (["b", "b", "b", "a"], None, ("b", "a")),
        (["a", "b", "a", "b"], None, ("a", "b")),
        (["y", "x", "x", "x"], None, ("x", "y")),
        (["a", "a", "a", "b"], "a", ("b", "a")),
        ([0, 0, 0, 1], "0", ("1", "0")),
        ([0, 0, 0, 1], 0, ("1", "0")),
        ([True, True, True, False], "False", ("True", "False")),
    ],
)
def test_the_positive_class(labels: list[object], positive: object, expected: tuple[str, str]) -> None:
    frame = pd.DataFrame({"y": labels * 20, "x": np.sin(np.arange(80))})
    dataset = load(frame, target="y", positive=positive)
    assert dataset.task == "binary"
    assert dataset.classes == expected
    written = [f"{label:g}" if isinstance(label, float) else str(label) for label in labels]
    assert [dataset.classes[index] for index in dataset.target[:4]] == written


@pytest.mark.parametrize(
    ("labels", "task", "expected"),
    [
        (np.arange(600) % 3, None, "multiclass"),
        (np.arange(600) % 20, None, "multiclass"),
        (np.arange(600) % 21, None, "regression"),
        (np.arange(60) % 4, None, "regression"),
        (np.arange(60) % 4, "multiclass", "multiclass"),
        (np.arange(600) % 3 * 1.0, None, "multiclass"),
        (np.arange(600) % 3 * 0.5, None, "regression"),
        (np.arange(600) % 3, "regression", "regression"),
        (np.arange(600) % 2, "multiclass", "multiclass"),
        (np.arange(600) % 2 == 0, "regression", "regression"),
        (np.array(["7", "8", "9"])[np.arange(60) % 3], None, "multiclass"),
        (np.array(["7", "8", "9"])[np.arange(60) % 3], "regression", "regression"),
        (np.array([f"{i}.5" for i in range(60)]), None, "regression"),
    ],
)
def test_the_kind_of_task(labels: np.ndarray, task: str | None, expected: str) -> None:
    dataset = load((np.sin(np.arange(len(labels) * 3)).reshape(-1, 3), labels), task=task)
    assert dataset.task == expected
    if expected == "regression":
        assert dataset.classes == ()
        np.testing.assert_array_equal(dataset.target, labels.astype(np.float64))
    else:
        assert list(dataset.classes) == sorted(set(dataset.classes), key=float)


def test_pairs_of_arrays_tensors_and_frames_are_the_same() -> None:
    features = np.sin(np.arange(240)).reshape(80, 3).astype(np.float32)
    labels = np.arange(80) % 2
    array = load((features, labels))
    tensor = load((torch.from_numpy(features).requires_grad_(), torch.from_numpy(labels)[:, None]))
    assert array.fingerprint == tensor.fingerprint
    assert isinstance(tensor.features, pd.DataFrame)
    frame = load((pd.DataFrame(features), pd.Series(labels, index=range(80, 160), name="label")))
    assert kinds(frame) == {"0": "numeric", "1": "numeric", "2": "numeric"}
    assert (frame.target == array.target).all()
    half = load((torch.from_numpy(features).bfloat16(), torch.from_numpy(labels)))
    assert half.rows == 80
    objects = load((np.array([["a", 1.5], ["b", 2.5]] * 40, dtype=object), labels))
    assert kinds(objects) == {"x0": "categorical", "x1": "numeric"}


def test_gaps_in_an_array_are_counted() -> None:
    features = np.sin(np.arange(240)).reshape(80, 3)
    features[3, 1], features[4, 1] = np.nan, np.inf
    dataset = load((features, np.arange(80) % 2))
    assert [column.missing for column in dataset.schema.columns] == [0, 2, 0]
    assert note(dataset, "1 infinite")


def test_image_archives(tmp_path: Path) -> None:
    images = (np.arange(60 * 4 * 4) % 256).astype(np.uint8).reshape(60, 4, 4)
    np.savez(tmp_path / "tiny.npz", images=images, labels=np.arange(60) % 3, is_test=np.zeros(60))
    dataset = load(tmp_path / "tiny.npz", target="labels")
    assert dataset.name == "tiny"
    assert dataset.schema.shape == (4, 4)
    np.testing.assert_array_equal(dataset.features, images.reshape(60, 16) / np.float32(255))
    assert note(dataset, "ignored the arrays 'is_test'")
    assert load(tmp_path / "tiny.npz").fingerprint == dataset.fingerprint


@pytest.mark.parametrize(
    ("name", "rows", "features", "task", "classes"),
    [
        # scikit-learn's own descriptions of its datasets
        ("breast_cancer", 569, 30, "binary", ("benign", "malignant")),
        ("digits", 1797, 64, "multiclass", tuple("0123456789")),
        ("digits_longtail", 667, 64, "multiclass", tuple("0123456789")),
        ("wine", 178, 13, "multiclass", ("class_0", "class_1", "class_2")),
        ("diabetes", 442, 10, "regression", ()),
    ],
)
def test_builtins(name: str, rows: int, features: int, task: str, classes: tuple[str, ...]) -> None:
    dataset = load(f"builtin:{name}", target="target")
    assert dataset.features.shape == (rows, features)
    assert (dataset.name, dataset.task, dataset.classes) == (name, task, classes)
    assert load(f"builtin:{name}").fingerprint == dataset.fingerprint
    assert name in BUILTIN_NAMES


def test_the_long_tail_is_geometric_and_every_part_has_every_class() -> None:
    dataset = load("builtin:digits_longtail", target="target")
    counts = np.bincount(dataset.target)
    np.testing.assert_array_equal(counts, np.round(174 * 0.08 ** (np.arange(10) / 9)))
    parts = partition(dataset, 0)
    assert np.bincount(dataset.target[parts.test])[9] == 3
    assert np.bincount(dataset.target[parts.search])[9] == 8


def test_openml_is_read_through_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def fetch(**options: object) -> dict[str, object]:
        asked.update(options)
        return {"frame": mixed(), "target_names": ["income"]}

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    dataset = load("openml:1590")
    assert asked["data_id"] == 1590
    assert (dataset.name, dataset.task) == ("openml-1590", "binary")


def test_a_dataset_survives_pickling() -> None:
    dataset = load(mixed(), target="income")
    assert pickle.loads(pickle.dumps(dataset)).fingerprint == dataset.fingerprint
