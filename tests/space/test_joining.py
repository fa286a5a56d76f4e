"""Two spaces joined: what either allows, with the ranges of the first."""

from __future__ import annotations

import numpy as np
import pytest

from losssearch.errors import SpaceError
from losssearch.space import RandomTrial, load_space, load_space_text
from losssearch.space.joining import join

OTHER = """
task: multiclass
max_parts: 3
slots:
  base:
    terms:
      early_learning: {strength: {low: 1.0, high: 10.0, schedule: [constant, linear]}}
      focal: {gamma: [0.1, 0.2]}
  quiet:
    terms: {generalised_cross_entropy: {q: [0.3, 0.9]}}
    weight: [0.1, 1.0]
conditions:
  - never_together: [early_learning, generalised_cross_entropy]
portfolio:
  - parts: [{term: early_learning, strength: 3.0}]
  - parts: [{term: focal, gamma: 0.15}]
"""


def test_a_joined_space_has_what_either_allows_and_keeps_the_ranges_of_the_first() -> None:
    first, second = load_space("multiclass"), load_space_text(OTHER)
    both = join(first, second)
    assert both.terms == first.terms | second.terms
    assert [slot.name for slot in both.slots] == [*(slot.name for slot in first.slots), "quiet"]
    assert both.slots[0].terms["focal"] == first.slots[0].terms["focal"]
    assert both.slots[0].courses.keys() == {"early_learning.strength"}
    assert both.never_together == first.never_together | second.never_together
    assert both.max_parts == 3
    assert both.hash not in (first.hash, second.hash)


def test_losses_of_the_second_are_tried_first() -> None:
    first, second = load_space("multiclass"), load_space_text(OTHER)
    both = join(first, second)
    assert both.portfolio[0] == second.portfolio[0]
    assert set(first.portfolio) <= set(both.portfolio)


def test_a_loss_outside_of_the_kept_ranges_is_left_out() -> None:
    narrow = load_space_text(
        "{task: multiclass, slots: {base: {terms: {focal: {gamma: [1, 2]}}}}, portfolio: [{parts: [{term: focal}]}]}"
    )
    both = join(narrow, load_space_text(OTHER))
    assert [spec.parts[0].name for spec in both.portfolio] == ["early_learning", "focal"]
    assert all(both.encode(spec) is not None for spec in both.portfolio)


def test_every_sample_of_a_joined_space_is_found_again() -> None:
    both, random = join(load_space("multiclass"), load_space_text(OTHER)), np.random.default_rng(0)
    for _ in range(60):
        spec = both.sample(RandomTrial(random))
        assert both.spec(both.encode(spec) or {}) == spec


def test_spaces_for_different_tasks_are_refused() -> None:
    with pytest.raises(SpaceError, match="one kind of task, got binary for binary and"):
        join(load_space("binary"), load_space_text(OTHER))
