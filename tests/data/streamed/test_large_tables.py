"""Tables on disk: every row encoded as in memory, on one side only, and the same however the file is cut."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from losssearch.data import Dataset, Encoder, draws, load, make_replicas, partition
from losssearch.data.streamed.table import row_keys
from losssearch.errors import DataError

ROWS = 20_000
MEMORY = 1_500_000
"""Bytes of which a sample of about 5,000 rows takes all, so that the table is streamed."""


def made(rows: int = ROWS) -> pd.DataFrame:
    random = np.random.default_rng(3)
    frame = pd.DataFrame({"number": random.normal(size=rows), "tail": random.lognormal(sigma=2, size=rows)})
    frame.loc[random.random(rows) < 0.03, "number"] = np.nan
    frame["spelt"] = random.integers(0, 90, rows).astype(str)
    frame["flag"] = random.random(rows) < 0.3
    frame["when"] = pd.Timestamp("2021-03-01") + pd.to_timedelta(random.integers(0, 9e6, rows), unit="s")
    frame["text"] = random.choice(["u", "v", " w", "?", "x"], rows, p=[0.5, 0.3, 0.1, 0.05, 0.05])
    frame["cut"] = pd.Categorical(random.choice(["low", "high"], rows))
    frame["y"] = np.where(frame["tail"] + frame["flag"] + random.normal(size=rows) > 2, "yes", "no")
    frame["value"] = 1e6 + 3 * frame["tail"] + random.normal(size=rows)
    return frame


def written(frame: pd.DataFrame, path: Path, group: int = 3000) -> Path:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    if path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=group)
    elif path.suffix == ".feather":
        feather.write_feather(table, path, chunksize=group)
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=group)
    return path


@pytest.fixture(autouse=True)
def _scratch_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))


def streamed(path: Path, target: str = "y", drop: str = "value", **options: object) -> Dataset:
    dataset = load(path, target=target, drop=[drop], memory=MEMORY, **options)
    assert dataset.stored is not None
    return dataset


def on_disk(dataset: Dataset) -> np.ndarray:
    file = dataset.stored.file
    return np.fromfile(file.path, dtype=file.layout.record)


def test_every_row_is_on_disk_as_the_encoder_gives_it_in_memory(tmp_path: Path) -> None:
    frame = made()
    whole = load(frame, target="y", drop=["value"])
    dataset = streamed(written(frame, tmp_path / "t.parquet"))
    assert dataset.rows < 6000
    assert dataset.all_rows == ROWS
    assert [(c.name, c.kind) for c in dataset.schema.columns] == [(c.name, c.kind) for c in whole.schema.columns]
    records = on_disk(dataset)
    np.testing.assert_array_equal(records["target"], whole.target)
    # The encoder itself is that of a sample: its fit is repeated here, from what the loader left in memory.
    found = dataset.stored.file.layout.features(records)
    encoded = dataset.stored.encoded
    order = {key: row for row, key in enumerate(whole.row_keys.tolist())}
    same = [order[key] for key in dataset.row_keys.tolist()]
    np.testing.assert_array_equal(found[same], encoded)
    np.testing.assert_array_equal(dataset.target, whole.target[same])


def test_a_sample_s_encoder_is_close_to_that_of_all_rows(tmp_path: Path) -> None:
    frame = made()
    whole = load(frame, target="y", drop=["value"])
    exact = Encoder(whole.schema).fit(whole.features).transform(whole.features)
    dataset = streamed(written(frame, tmp_path / "t.parquet"))
    found = dataset.stored.file.layout.features(on_disk(dataset))
    assert found.shape == exact.shape
    flags = list(dataset.stored.file.layout.flags)
    np.testing.assert_array_equal(found[:, flags], exact[:, flags])
    # Normal scores, of quantiles of about 2,000 rows instead of 10,000: a rank's standard error is 0.011 in the middle.
    assert np.abs(found - exact).mean() < 0.03
    assert np.quantile(np.abs(found - exact), 0.99) < 0.35


def test_what_is_on_disk_does_not_depend_on_how_the_file_is_cut(tmp_path: Path) -> None:
    frame = made().drop(columns="cut")
    one = streamed(written(frame, tmp_path / "one.parquet", ROWS))
    for name, group in (("many.parquet", 777), ("file.feather", 2500), ("stream.arrow", 1234)):
        other = streamed(written(frame, tmp_path / name, group))
        assert other.fingerprint == one.fingerprint
        assert Path(other.stored.file.path).read_bytes() == Path(one.stored.file.path).read_bytes()
    changed = frame.assign(tail=frame["tail"].where(np.arange(ROWS) != 12_345, 7.0))
    assert streamed(written(changed, tmp_path / "changed.parquet")).fingerprint != one.fingerprint


@pytest.mark.parametrize("target", ["y", "value"])
def test_a_row_trains_or_is_held_out_and_so_do_its_equals(tmp_path: Path, target: str) -> None:
    frame = made()
    frame[["number", "tail"]] = frame[["number", "tail"]].round(0).clip(-1, 2)
    frame["when"] = frame["when"].dt.floor("60D")
    frame["spelt"] = frame["spelt"].astype(int) % 3
    dataset = streamed(written(frame, tmp_path / "t.parquet"), target, "value" if target == "y" else "y")
    parts = partition(dataset, 0)
    drawn = draws(dataset, parts.search, seed=0, count=2, purpose="search")
    replicas = make_replicas(dataset, drawn, {"confirmation": parts.confirmation, "test": parts.test})
    whole = load(frame, target=target, drop=["value" if target == "y" else "y"])
    keys, records = whole.row_keys, on_disk(dataset)
    np.testing.assert_array_equal(row_keys(whole.features), keys)
    for replica, draw in enumerate(drawn):
        held = np.concatenate([draw.validation, parts.confirmation, parts.test])
        trains = ~np.isin(keys, dataset.row_keys[held])
        assert 0 < trains.sum() < ROWS
        np.testing.assert_array_equal(replicas.stream.serves[replica].numpy()[records["place"]], trains)
        if target == "y":
            share = np.bincount(whole.target[trains], minlength=2) / trains.sum()
            np.testing.assert_allclose(replicas.facts["class_prior"][replica], share, rtol=1e-6)
        else:
            np.testing.assert_allclose(replicas.facts["target_mean"][replica], whole.target[trains].mean(), rtol=1e-6)
            np.testing.assert_allclose(replicas.facts["target_scale"][replica], whole.target[trains].std(), rtol=1e-6)


def test_pieces_are_read_as_the_sample_was(tmp_path: Path) -> None:
    """Dates in two possible orders, numbers that one piece spells otherwise, text that one piece has as numbers."""
    frame = made()
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(ROWS) // 60, unit="D")
    frame["when"] = days.strftime("%d/%m/%Y")
    frame["mixed"] = np.where(np.arange(ROWS) < 9000, "12", np.where(np.arange(ROWS) % 3 == 0, "a", "12"))
    frame.loc[19_999, "spelt"] = "not a number"
    path = written(frame, tmp_path / "t.parquet", 1000)
    dataset = streamed(path)
    kinds = {column.name: column.kind for column in dataset.schema.columns}
    assert (kinds["when"], kinds["mixed"]) == ("date", "categorical")
    records = on_disk(dataset)
    width, places = dataset.stored.file.layout.width, dataset.schema.positions("numeric")
    assert len(places) == 3
    # Of a date: year, month, day of week and days; the last rises with the rows where every date is read day first.
    rises = dataset.stored.file.layout.features(records)[:, 4 + 3]
    assert width > 8
    assert (np.diff(rises) >= 0).all()
    assert any("1 values of column 'spelt' are of another kind" in note for note in dataset.notes)


def test_row_numbers_are_left_out(tmp_path: Path) -> None:
    frame = made().assign(number_of_row=np.arange(ROWS), other=np.arange(ROWS)[::-1] * 7 % 15_000)
    dataset = streamed(written(frame, tmp_path / "t.parquet"))
    names = {column.name for column in dataset.schema.columns}
    assert "number_of_row" not in names
    assert "other" in names


@pytest.mark.parametrize(("target", "drop"), [("y", "value"), ("value", "y")])
def test_rows_without_a_target_are_refused_or_left_out(tmp_path: Path, target: str, drop: str) -> None:
    frame = made()
    frame.loc[[17_001, 18_000], target] = None
    path = written(frame, tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"every row must have a target.*row 17002.*drop_missing_target=True"):
        streamed(path, target, drop)
    assert not list((tmp_path / "scratch").iterdir())
    dataset = streamed(path, target, drop, drop_missing_target=True)
    assert dataset.all_rows == ROWS - 2
    assert any("left out 2 rows" in note for note in dataset.notes)


def test_a_target_that_is_not_finite_is_told_with_its_row(tmp_path: Path) -> None:
    frame = made()
    frame.loc[19_000, "value"] = np.inf
    with pytest.raises(DataError, match=r"has inf in row 19001"):
        streamed(written(frame, tmp_path / "t.parquet"), "value", "y")


def test_without_streaming_a_sample_fits_the_memory(tmp_path: Path) -> None:
    path = written(made(), tmp_path / "t.parquet")
    sample = load(path, target="y", drop=["value"], memory=MEMORY, stream=False)
    assert sample.stored is None
    assert any("rows are used" in note for note in sample.notes)


def test_a_missing_column_is_told_without_reading_the_table(tmp_path: Path) -> None:
    path = written(made(), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"no target column 'yy'.*'y'"):
        load(path, target="yy", memory=MEMORY)
    with pytest.raises(DataError, match="column to drop"):
        load(path, target="y", drop=["nothing"], memory=MEMORY)
