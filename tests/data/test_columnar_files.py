"""Large tables: samples that do not depend on how a file is cut, and say what they are."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from losssearch.data import columnar_files, load, room
from losssearch.errors import OptionError

ROWS = 20_000


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    generator = np.random.default_rng(3)
    made = pd.DataFrame(generator.normal(size=(ROWS, 3)).astype(np.float32), columns=list("abc"))
    made["text"] = generator.choice(["u", "v", "w"], ROWS)
    made["y"] = generator.choice(["common", "seldom", "rare"], ROWS, p=[0.9, 0.093, 0.007])
    made["value"] = generator.normal(size=ROWS)
    return made


def written(frame: pd.DataFrame, path: Path, group: int) -> Path:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    if path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=group)
    elif path.suffix == ".feather":
        feather.write_feather(table, path, chunksize=group)
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=group)
    return path


def test_a_sample_depends_on_the_content_and_not_on_how_it_is_cut(tmp_path: Path, frame: pd.DataFrame) -> None:
    files = [
        written(frame, tmp_path / "one.parquet", ROWS),
        written(frame, tmp_path / "many.parquet", 777),
        written(frame, tmp_path / "file.feather", 3000),
        written(frame, tmp_path / "stream.arrow", 1234),
    ]
    found = [load(path, target="y", drop=["value"], max_rows=2000) for path in files]
    assert len({dataset.fingerprint for dataset in found}) == 1
    in_memory = load(frame, target="y", drop=["value"], max_rows=2000)
    np.testing.assert_array_equal(np.sort(in_memory.target), np.sort(found[0].target))


def test_classes_keep_their_shares_and_rare_ones_their_rows(tmp_path: Path, frame: pd.DataFrame) -> None:
    path = written(frame, tmp_path / "t.parquet", 4096)
    dataset = load(path, target="y", max_rows=2000)
    counts = dict(zip(dataset.classes, np.bincount(dataset.target), strict=True))
    everywhere = frame["y"].value_counts()
    for name in ("common", "seldom"):
        assert counts[name] == pytest.approx(everywhere[name] / 10, abs=1)
    assert counts["rare"] == columnar_files.LEAST_OF_CLASS
    (note,) = [n for n in dataset.notes if "rows are used" in n]
    assert f"{dataset.rows:,} of 20,000 rows" in note


def test_rows_stay_whole_and_in_order(tmp_path: Path, frame: pd.DataFrame) -> None:
    numbered = frame.assign(value=np.arange(ROWS) + 0.5)
    path = written(numbered, tmp_path / "t.parquet", 999)
    sample = columnar_files.sample_file(path, ".parquet", "y", 500)
    assert (sample["value"].diff().dropna() > 0).all()
    # Its index is that of the rows in the file, so that messages can name them.
    pd.testing.assert_frame_equal(sample, numbered.iloc[sample["value"].astype(int)])


def test_a_measured_target_is_sampled_evenly(tmp_path: Path, frame: pd.DataFrame) -> None:
    path = written(frame, tmp_path / "t.parquet", 4096)
    dataset = load(path, target="value", drop=["y"], max_rows=4000)
    assert dataset.rows == 4000
    assert abs(dataset.target.mean()) < 0.07  # four standard errors of a standard normal
    assert dataset.target.std() == pytest.approx(1, abs=0.05)


def test_without_a_limit_a_table_larger_than_memory_is_streamed(
    tmp_path: Path, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(frame, tmp_path / "t.parquet", 4096)
    assert load(path, target="y").rows == ROWS
    schema = parquet.read_schema(path)
    monkeypatch.setattr(room, "memory", lambda: 4 * 5000 * columnar_files.row_bytes(schema))
    dataset = load(path, target="y")
    assert dataset.all_rows == ROWS
    assert dataset.rows == pytest.approx(5000 * 2 / 3, abs=60)
    assert any("20,000 rows are streamed from disk" in note for note in dataset.notes)


def test_small_tables_are_left_alone(tmp_path: Path, frame: pd.DataFrame) -> None:
    path = written(frame, tmp_path / "t.parquet", 4096)
    whole, limited = load(path, target="y"), load(path, target="y", max_rows=ROWS)
    assert whole.fingerprint == limited.fingerprint
    assert whole.notes == limited.notes


def test_missing_targets_and_dictionaries_are_strata_too(tmp_path: Path, frame: pd.DataFrame) -> None:
    holed = frame.assign(y=frame["y"].mask(np.arange(ROWS) % 4 == 0).astype("category"))
    path = written(holed, tmp_path / "t.parquet", 4096)
    sample = columnar_files.sample_file(path, ".parquet", "y", 2000)
    assert sample["y"].isna().sum() == pytest.approx(500, abs=1)


def test_arrays_and_text_files_are_sampled_as_asked(tmp_path: Path, frame: pd.DataFrame) -> None:
    frame.head(3000).to_csv(tmp_path / "t.csv", index=False)
    dataset = load(tmp_path / "t.csv", target="y", max_rows=1000)
    assert dataset.rows < 1060
    assert any("rows are used" in note for note in dataset.notes)
    pair = load((frame[["a", "b"]].to_numpy(), frame["y"].to_numpy()), max_rows=1000)
    assert pair.rows < 1060


def test_too_few_rows_are_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(OptionError, match="max_rows must be at least 50"):
        load(frame, target="y", max_rows=10)


def test_memory_is_that_of_the_machine() -> None:
    assert 1 << 28 < room.memory() < 1 << 48
