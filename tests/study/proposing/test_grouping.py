"""Populations of the menu: small ones first, each known by its places alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from losssearch.study.proposing.menu import EARLY, grouped, population_of


@pytest.mark.parametrize("chunk", [1, 2, 5, 16])
def test_the_first_are_half_as_large(chunk: int) -> None:
    sizes = [len(group) for group in grouped(enumerate(range(10 * chunk)), chunk)]
    assert sizes[:EARLY] == [-(-chunk // 2)] * EARLY
    assert set(sizes[EARLY:-1]) <= {chunk}
    assert sum(sizes) == 10 * chunk


def test_what_is_left_keeps_its_company() -> None:
    """Whichever populations have ended before."""
    whole = list(grouped(enumerate(range(50)), 8))
    for gone in range(len(whole)):
        left = [place for place in range(50) if population_of(place, 8) != gone]
        assert list(grouped(((place, place) for place in left), 8)) == [*whole[:gone], *whole[gone + 1 :]]


def test_populations_stay_apart_where_a_last_place_is_empty() -> None:
    assert list(grouped(((place, place) for place in (0, 1, 2, 4, 5, 7)), 8)) == [[0, 1, 2], [4, 5, 7]]


def test_a_population_is_given_before_the_next_is_looked_at() -> None:
    """What comes next may take its time."""
    seen: list[int] = []

    def slow() -> Iterator[tuple[int, int]]:
        for place in range(8):
            seen.append(place)
            yield place, place

    assert next(iter(grouped(slow(), 4))) == [0, 1]
    assert seen == [0, 1]
