"""Rows that stand for all: every stratum is among the first ones, and what was a fair sample stays as it is."""

from __future__ import annotations

import numpy as np
import pytest

from losssearch.data.probing import LEAST, banded, joint, probe_order, representative

SIZES = (128, 256, 512)


def ids(shares: list[float], rows: int = 5_000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice(len(shares), size=rows, p=shares).astype(np.int64)


@pytest.mark.parametrize("share", [0.3, 0.02, 0.005, 0.001])
def test_every_prefix_holds_the_rare_class(share: float) -> None:
    labels = ids([1 - share, share])
    order = probe_order([labels], SIZES)
    assert len(order) == len(set(order.tolist())) == 512
    for size in SIZES:
        assert (labels[order[:size]] == 1).sum() >= min(LEAST, (labels == 1).sum())


def test_a_sample_that_holds_enough_of_each_class_is_left_alone() -> None:
    order = probe_order([ids([0.6, 0.4])], SIZES)
    assert order.tolist() == list(range(512))


def test_a_smaller_selection_is_part_of_the_larger_ones() -> None:
    labels = ids([0.99, 0.01])
    assert probe_order([labels], SIZES)[:128].tolist() == probe_order([labels], SIZES[:1]).tolist()


def test_fewer_rows_than_asked_for_are_all_taken() -> None:
    order = probe_order([ids([0.9, 0.1], rows=100)], SIZES)
    assert sorted(order.tolist()) == list(range(100))


def test_groups_and_classes_within_them_are_present() -> None:
    labels, group = ids([0.98, 0.02]), ids([0.97, 0.02, 0.01], seed=1)
    order = probe_order([labels, group, joint(labels, group)], SIZES)[:128]
    assert set(labels[order]) == {0, 1}
    assert set(joint(labels, group)[order]) == set(joint(labels, group))


def test_where_there_is_no_room_for_all_the_first_division_comes_first() -> None:
    labels, many = ids([0.999, 0.001]), ids([1 / 400] * 400, seed=1)
    order = probe_order([labels, many], (16,))
    assert (labels[order] == 1).any()


def test_rare_values_of_a_number_have_a_band_of_their_own() -> None:
    values = np.zeros(5_000)
    values[-20:] = np.linspace(1, 9, 20)
    order = probe_order([banded(values)], SIZES)
    assert (values[order[:128]] > 0).sum() >= LEAST


def test_weights_give_every_stratum_the_share_that_it_has() -> None:
    labels = ids([0.995, 0.005])
    chosen = probe_order([labels], SIZES)
    weights = representative(labels, chosen)
    assert weights.mean() == pytest.approx(1)
    assert weights[labels[chosen] == 1].sum() / len(chosen) == pytest.approx(np.mean(labels == 1))
