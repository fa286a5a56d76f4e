"""A page of views says what the trials themselves say, and a row that was changed is read again."""

from __future__ import annotations

import dataclasses
import math

import pytest
from sqlalchemy import text

from losssearch.errors import DataError, UnknownNameError
from losssearch.storage.records import StudyRecord, TrialRecord, TrialState
from losssearch.storage.sql import SqlStore
from losssearch.storage.viewed import Viewed

VALUES = [0.5, None, 0.25, math.nan, 0.75, 0.25]
TRIALS = [
    TrialRecord(
        number,
        "searched",
        f"searched-{number}",
        {"parts": [{"term": "focal", "gamma": 1.5}]},
        "key",
        TrialState.PRUNED if value is None else TrialState.COMPLETED,
        value=value,
    )
    for number, value in enumerate(VALUES)
]


class Made:
    """Views that are the trials, and which ones were made of a row that was read."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def __call__(self, trials: list[TrialRecord]) -> list[TrialRecord]:
        self.read += [one.number for one in trials]
        return trials


@pytest.fixture
def made() -> Made:
    return Made()


@pytest.fixture
def store(empty_store: SqlStore) -> SqlStore:
    """A store that holds `TRIALS`."""
    empty_store.create_study(StudyRecord("adult", {"trials": 6}, "0", "now"))
    empty_store.save_trials("adult", TRIALS)
    return empty_store


def test_pages_are_those_of_the_trials(store: SqlStore, made: Made) -> None:
    viewed = Viewed(made)
    for _ in range(2):
        page, counts = store.page("adult", viewed, after=1, limit=3)
        assert repr(page) == repr(store.trials("adult", after=1, limit=3))
        assert counts == store.counts("adult")
    assert made.read == [2, 3, 4], "what is as it was need not be read again"


@pytest.mark.parametrize("maximize", [True, False])
def test_the_best_are_those_of_top(store: SqlStore, made: Made, maximize: bool) -> None:
    page, _ = store.page("adult", Viewed(made), limit=3, maximize=maximize)
    assert page == store.top("adult", 3, maximize=maximize)
    assert [one.number for one in page] == ([4, 0, 2] if maximize else [2, 5, 0])


def test_a_trial_that_is_written_again_is_read_again(store: SqlStore, made: Made) -> None:
    viewed = Viewed(made)
    store.page("adult", viewed, limit=6)
    store.save_trials("adult", [dataclasses.replace(TRIALS[2], value=0.125)])
    page, _ = store.page("adult", viewed, limit=6)
    assert page[2].value == 0.125
    assert made.read == [0, 1, 2, 3, 4, 5, 2]


def test_a_row_that_something_else_changed_is_refused_though_it_was_seen_before(store: SqlStore, made: Made) -> None:
    viewed = Viewed(made)
    store.page("adult", viewed, limit=6)
    store._database.run(lambda c: c.execute(text("UPDATE losssearch_trial SET name = 'other' WHERE number = 2")))
    with pytest.raises(DataError, match="trial 2 adult was changed by something else"):
        store.page("adult", viewed, limit=6)


def test_few_views_are_kept(store: SqlStore, made: Made) -> None:
    viewed = Viewed(made, most=2)
    for first in (-1, 1, -1):
        page, _ = store.page("adult", viewed, after=first, limit=2)
        assert [one.number for one in page] == [first + 1, first + 2]
    assert made.read == [0, 1, 2, 3, 0, 1]


def test_an_unknown_study_has_no_page(store: SqlStore, made: Made) -> None:
    with pytest.raises(UnknownNameError):
        store.page("bank", Viewed(made), limit=6)
