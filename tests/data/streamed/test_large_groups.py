"""Sensitive groups of tables that do not fit memory: every row's id on disk, decided by a sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from losssearch.data import Dataset, draws, load, make_replicas, partition

ROWS, MEMORY = 12_000, 1_000_000


def made() -> pd.DataFrame:
    random = np.random.default_rng(5)
    frame = pd.DataFrame({"number": random.normal(size=ROWS), "other": random.normal(size=ROWS)})
    frame.loc[random.random(ROWS) < 0.05, "number"] = np.nan
    frame["flag"] = pd.array(random.random(ROWS) < 0.3, dtype="boolean")
    frame.loc[random.random(ROWS) < 0.05, "flag"] = pd.NA
    frame["text"] = random.choice(["u", "v", " w", "?", "01"], ROWS, p=[0.45, 0.3, 0.1, 0.1, 0.05])
    frame["code"] = random.integers(1, 4, ROWS)
    frame["y"] = np.where(frame["other"] + random.normal(size=ROWS) > 1, "yes", "no")
    return frame


def written(frame: pd.DataFrame, path: Path, group: int = 3000) -> Path:
    parquet.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, row_group_size=group)
    return path


@pytest.fixture(autouse=True)
def _scratch_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))


def streamed(path: Path, sensitive: str | list[str], **options: object) -> Dataset:
    dataset = load(path, target="y", memory=MEMORY, sensitive=sensitive, **options)  # type: ignore[arg-type]
    assert dataset.stored is not None
    return dataset


def on_disk(dataset: Dataset) -> np.ndarray:
    assert dataset.stored is not None
    file = dataset.stored.file
    return np.fromfile(file.path, dtype=file.layout.record)["group"]


def raw_labels(frame: pd.DataFrame) -> dict[str, pd.Series]:
    """The name of each row's group by column or cut, before any pooling."""

    def cut(inside: pd.Series, name: str) -> pd.Series:
        sides = pd.Series(np.where(inside, name, f"not {name}"))
        return sides.mask(frame["number"].isna(), "number missing")

    return {
        "flag": frame["flag"].map({True: "true", False: "false"}).fillna("missing"),
        "text": frame["text"].str.strip().replace("?", "missing"),
        "code": frame["code"].astype(str),
        "number>=0.5": cut(frame["number"] >= 0.5, "number >= 0.5"),
        "number < 0": cut(frame["number"] < 0, "number < 0"),
    }


@pytest.mark.parametrize("sensitive", ["flag", "text", "code", "number>=0.5", ["flag", "text"], ["code", "number < 0"]])
def test_every_row_on_disk_has_its_group(sensitive: str | list[str], tmp_path: Path) -> None:
    frame = made()
    dataset = streamed(written(frame, tmp_path / "t.parquet"), sensitive)
    assert dataset.group is not None
    raw = raw_labels(frame)
    each = [raw[entry] for entry in ([sensitive] if isinstance(sensitive, str) else sensitive)]
    labels = [", ".join(row) for row in zip(*each, strict=True)]
    place = {label: code for code, name in enumerate(dataset.groups) for label in name.split(" or ")}
    np.testing.assert_array_equal(on_disk(dataset), [place[label] for label in labels])
    assert np.bincount(dataset.group, minlength=len(dataset.groups)).min() >= 90  # of those in memory alone
    other = streamed(written(frame, tmp_path / "other.parquet", 777), sensitive)
    assert other.fingerprint == dataset.fingerprint
    flipped = streamed(written(frame, tmp_path / "more.parquet"), "code" if sensitive != "code" else "text")
    assert flipped.fingerprint != dataset.fingerprint


def test_groups_that_the_sample_does_not_have_count_in_none(tmp_path: Path) -> None:
    frame = made()
    frame["text"] = "common"
    frame.loc[: ROWS // 3, "text"] = "second"
    frame.loc[::400, "text"] = [f"rare {place}" for place in range(30)]
    dataset = streamed(written(frame, tmp_path / "t.parquet"), "text")
    ids = on_disk(dataset)
    rare = frame["text"].str.startswith("rare").to_numpy()
    unknown = int((ids < 0).sum())
    assert 0 < unknown < 30
    assert not (ids[~rare] < 0).any()
    assert any(f"{unknown} rows are of groups that the sample does not have" in note for note in dataset.notes)
    assert any("pooled" in note and "needs 150 rows" in note for note in dataset.notes)


def test_batches_carry_the_groups_of_their_rows(tmp_path: Path) -> None:
    dataset = streamed(written(made(), tmp_path / "t.parquet"), "code", sensitive_as_feature=True)
    drawn = draws(dataset, partition(dataset, 0).search, seed=0, count=2, purpose="search")
    replicas = make_replicas(dataset, drawn)
    assert replicas.sizes.groups == 3
    assert replicas.stream is not None
    assert replicas.validation["group"].shape == replicas.validation["target"].shape
    place = [column.name for column in dataset.schema.columns if column.kind == "numeric"].index("code")
    rows = 0
    for batch in replicas.stream.batches(1, 500):
        features, group = batch["features"], batch["group"]
        assert group is not None
        code = features[..., place]  # normal scores rise with the code, so that ranks tell it
        assert group.dtype == torch.int64
        for one in range(3):
            own = code[group == one]
            assert own.numel()
            assert own.min() == own.max()
        rows += group.shape[1]
    assert rows > 0.8 * ROWS
    assert replicas.train["group"].shape == replicas.train["target"].shape


def test_a_number_is_not_streamed(tmp_path: Path) -> None:
    dataset = load(written(made(), tmp_path / "t.parquet"), target="y", memory=MEMORY, sensitive="other")
    assert dataset.stored is None
    assert dataset.attribute is not None
    assert any("a sensitive number is not streamed" in note for note in dataset.notes)


def test_without_a_sensitive_attribute_rows_carry_none(tmp_path: Path) -> None:
    dataset = load(written(made(), tmp_path / "t.parquet"), target="y", memory=MEMORY)
    assert dataset.stored is not None
    assert not dataset.stored.file.layout.grouped
