"""Batches from disk: a permutation that seed and epoch decide, and nothing else."""

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from losssearch.data.streamed.rowfile import Layout, RowFile, write_rows
from losssearch.data.streamed.stream import Stream, tally, windows
from losssearch.errors import OptionError
from losssearch.execution.arrays import pack, unpack

ROWS, WIDTH = 60_000, 40
LAYOUT = Layout(tuple(range(0, WIDTH, 2)), tuple(range(1, WIDTH, 2)))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> RowFile:
    records = np.zeros(ROWS, dtype=LAYOUT.record)
    records["target"] = np.arange(ROWS)
    records["place"] = np.where(np.arange(ROWS) % 10 == 0, np.arange(ROWS) // 10 % 4, -1)
    features = np.zeros((ROWS, WIDTH), dtype=np.float32)
    features[:, 0], features[:, 1] = np.arange(ROWS) / 7, np.arange(ROWS) % 2
    LAYOUT.fill(records, features)
    path = tmp_path_factory.mktemp("rows") / "rows"
    return write_rows(path, LAYOUT, np.array_split(records, 7), ROWS + 500)


def stream(file: RowFile, seeds: tuple[int, ...] = (3, 4), held: tuple[int, ...] = ()) -> Stream:
    serves = torch.ones((len(seeds), 5), dtype=torch.bool)
    serves[:, list(held)] = False
    rows = int(tally(file, serves.numpy(), 0).rows.min())
    return Stream(file, rows, serves, seeds, (0.0,) * len(seeds), (1.0,) * len(seeds), ROWS)


def order(source: Stream, epoch: int, size: int = 1000) -> np.ndarray:
    return torch.cat([batch["target"] for batch in source.batches(epoch, size)], dim=1).numpy()


@pytest.mark.parametrize("blocks", [1, 63, 64, 65, 1000])
def test_blocks_are_permuted_by_seed_and_epoch_alone(blocks: int) -> None:
    def found(seed: int, epoch: int) -> list[int]:
        return [int(block) for own, _ in windows(blocks, seed, epoch) for block in own]

    assert sorted(found(1, 1)) == list(range(blocks))
    assert found(1, 1) == found(1, 1)
    if blocks > 1:
        assert len({tuple(found(seed, epoch)) for seed in (1, 2) for epoch in (1, 2)}) == 4


def test_every_row_comes_once_an_epoch(file: RowFile) -> None:
    assert file.blocks > 5
    found = order(stream(file), 1)
    assert found.shape == (2, ROWS)
    assert (np.sort(found, axis=1) == np.arange(ROWS)).all()
    assert (found[0] != found[1]).mean() > 0.99


def test_the_order_depends_on_seed_and_epoch_alone(file: RowFile) -> None:
    together, alone = stream(file, (3, 4, 5)), stream(file, (5,))
    first = order(together, 2)
    np.testing.assert_array_equal(first, order(together, 2))
    np.testing.assert_array_equal(first[2], order(alone, 2)[0])
    np.testing.assert_array_equal(first[[2, 0]], order(together.take([2, 0]), 2))
    np.testing.assert_array_equal(first[2], order(alone, 2, size=250)[0])  # the batch size cuts, and does not shuffle
    assert (first != order(together, 3)).mean() > 0.99


def test_features_and_targets_stay_together_to_the_bit(file: RowFile) -> None:
    for batch in stream(file).batches(1, 512):
        features, target = batch["features"], batch["target"]
        assert features.shape == (2, 512, WIDTH)
        assert features.dtype == torch.float32
        assert torch.equal(features[..., 0], (target.double() / 7).float())
        assert torch.equal(features[..., 1], (target % 2).float())
        assert torch.equal(batch["index"].double(), target.double())  # which is the row's place in the file


def test_a_rest_below_the_batch_is_left_for_other_epochs(file: RowFile) -> None:
    left = [set(range(ROWS)) - set(order(stream(file, (3,)), epoch, 7000)[0].tolist()) for epoch in (1, 2)]
    assert [len(rows) for rows in left] == [ROWS % 7000] * 2
    assert left[0] != left[1]
    assert order(stream(file), 1, ROWS * 2).shape == (2, ROWS)


def test_held_out_rows_never_come(file: RowFile) -> None:
    source = stream(file, held=(0, 3))
    assert source.rows == ROWS - ROWS // 20
    found = Counter(order(source, 1, 500).ravel().tolist())
    held = {row for row in range(0, ROWS, 10) if row // 10 % 4 in (0, 3)}
    assert not held & set(found)
    assert set(found.values()) == {2}


def test_rows_of_a_sorted_file_are_mixed(file: RowFile) -> None:
    """Each batch's mean row is near the middle: 64 blocks of a window spread over the file, here over all of it."""
    means = order(stream(file, (3,)), 1).reshape(-1, 1000).mean(axis=1)
    assert np.abs(means - ROWS / 2).max() < 5 * ROWS / np.sqrt(12 * 1000)


def test_a_regression_target_is_standardised_and_counted(file: RowFile) -> None:
    known = tally(file, np.ones((1, 5), dtype=bool), 0)
    assert known.rows[0] == ROWS
    assert known.mean[0] == pytest.approx((ROWS - 1) / 2)
    assert known.std[0] == pytest.approx(np.arange(ROWS).std())
    source = Stream(file, ROWS, torch.ones((1, 5), dtype=torch.bool), (0,), (1e4,), (50.0,), 0)
    target = next(iter(source.batches(1, 64)))["target"]
    assert target.dtype == torch.float32
    assert (target.min() >= -200) & (target.max() <= (ROWS - 1e4) / 50)


def test_another_process_reads_the_same_file(file: RowFile) -> None:
    source = stream(file, held=(1,))
    sent = unpack(pack(source), copy=False)
    np.testing.assert_array_equal(order(sent, 1), order(source, 1))
    assert len(pickle.dumps(pack(source))) < 5000
    assert source.to("cpu").device == "cpu"


def test_a_machine_without_the_file_is_told(file: RowFile, tmp_path: Path) -> None:
    away = RowFile(str(tmp_path / "elsewhere"), file.rows, file.layout)
    with pytest.raises(OptionError, match=r"must reach the encoded rows.*TMPDIR"):
        next(iter(Stream(away, ROWS, torch.ones((1, 5), dtype=torch.bool), (0,), (0.0,), (1.0,), 2).batches(1, 8)))


def test_a_file_that_is_cut_short_is_told(file: RowFile, tmp_path: Path) -> None:
    short = tmp_path / "rows"
    short.write_bytes(Path(file.path).read_bytes()[:-10])
    with pytest.raises(OptionError, match="cut short"):
        tally(RowFile(str(short), file.rows, file.layout), np.ones((1, 5), dtype=bool), 0)


def test_batches_for_a_cuda_device_are_page_locked_and_not_waited_for(
    file: RowFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No device is needed: what the batches are told is written down, features, targets and places alike."""
    locked: list[int] = []
    sent: list[tuple[int, str, bool]] = []

    def pin(self: torch.Tensor) -> torch.Tensor:
        locked.append(id(self))
        return self

    def to(self: torch.Tensor, device: str, *, non_blocking: bool = False) -> torch.Tensor:
        sent.append((id(self), device, non_blocking))
        return self

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.Tensor, "to", to)
    next(iter(stream(file).to("cuda:0").batches(1, 64)))
    assert len(locked) == 3
    assert sent == [(own, "cuda:0", True) for own in locked]
    locked.clear(), sent.clear()
    next(iter(stream(file).batches(1, 64)))
    assert not locked
    assert [device for _, device, _ in sent] == ["cpu"] * 3
