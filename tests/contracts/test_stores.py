"""What every `Store` promises, on SQLite and on PostgreSQL (where LOSSSEARCH_TEST_POSTGRES names one)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, tzinfo
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import StatementError

from losssearch.errors import DataError, OptionError, StudyHeldError, UnknownNameError
from losssearch.storage.records import StudyRecord, TrialRecord, TrialState
from losssearch.storage.sql import SqlStore

STUDY = StudyRecord(
    name="adult",
    config={"metric": "f1", "trials": 128, "grid": [0.001, 0.01], "unicode": "ü → \ud800", "bound": -math.inf},
    version="0.1.0",
    created="2026-01-02T03:04:05+00:00",
)

TRIAL = TrialRecord(
    number=3,
    origin="searched",
    name="searched-3",
    spec={"parts": [{"term": "focal", "gamma": 1.5}], "decision": "tuned"},
    key="0123456789abcdef",
    state=TrialState.PRUNED,
    params={"base.term": "focal", "base.gamma": 1.5},
    distributions={"base.gamma": '{"name": "FloatDistribution"}'},
    value=0.5,
    values=(0.25, math.inf, -math.inf, 0.1 + 0.2),
    rate=0.003,
    epochs=20,
    rungs=((5, 0.25), (20, -math.inf)),
    twin=1,
    reason="non-finite loss\x00at epoch 5",
    attempts=2,
    seconds=1.25,
)


@pytest.fixture
def store(empty_store: SqlStore) -> SqlStore:
    """A store that holds the one study `STUDY`."""
    empty_store.create_study(STUDY)
    return empty_store


def test_a_record_comes_back_as_it_went_in(store: SqlStore, open_store: Callable[[], SqlStore]) -> None:
    store.save_trials("adult", [TRIAL])
    other = open_store()
    assert other.study("adult") == STUDY
    assert other.trials("adult") == [TRIAL]
    assert isinstance(other.trials("adult")[0].state, TrialState)


def test_nan_comes_back_as_nan(store: SqlStore) -> None:
    store.save_trials("adult", [replace(TRIAL, value=math.nan, values=(math.nan,), rungs=((1, math.nan),))])
    (found,) = store.trials("adult")
    assert found.value is not None
    assert math.isnan(found.value)
    assert math.isnan(found.values[0])
    assert math.isnan(found.rungs[0][1])


def test_trials_are_ordered_and_the_last_write_counts(store: SqlStore) -> None:
    waiting = [replace(TRIAL, number=n, state=TrialState.RUNNING, value=None) for n in (5, 2, 9)]
    store.save_trials("adult", waiting)
    done = replace(waiting[0], state=TrialState.COMPLETED, value=0.75)
    store.save_trials("adult", [waiting[0], done, replace(TRIAL, number=1)])
    store.save_trials("adult", [])
    assert [(trial.number, trial.state.value) for trial in store.trials("adult")] == [
        (1, "pruned"),
        (2, "running"),
        (5, "completed"),
        (9, "running"),
    ]


def test_some_trials_are_found_by_their_numbers(store: SqlStore) -> None:
    store.save_trials("adult", [replace(TRIAL, number=n) for n in range(1200)])
    assert [trial.number for trial in store.trials("adult", [7, 3, 7, 5000])] == [3, 7]
    assert store.trials("adult", []) == []
    assert [trial.number for trial in store.trials("adult", range(1199, -1, -1))] == list(range(1200))


def test_stages_tracking_and_result_are_kept(store: SqlStore, open_store: Callable[[], SqlStore]) -> None:
    assert store.stage("adult", "confirmation") is None
    assert store.study("adult").result is None
    store.save_stage("adult", "confirmation", {"seeds": [1]})
    store.save_stage("adult", "confirmation", {"seeds": [1, 2], "loss": math.inf})
    store.save_tracking("adult", {"run_id": "abc"})
    store.save_result("adult", {"verdict": {"difference": -math.inf}})
    other = open_store()
    assert other.stage("adult", "confirmation") == {"seeds": [1, 2], "loss": math.inf}
    assert other.study("adult").tracking == {"run_id": "abc"}
    assert other.study("adult").result == {"verdict": {"difference": -math.inf}}


def test_studies_do_not_mix(store: SqlStore) -> None:
    store.create_study(replace(STUDY, name="compas", created="2026-01-01T00:00:00+00:00"))
    store.save_trials("adult", [TRIAL])
    assert store.studies() == ["compas", "adult"]
    assert store.trials("compas") == []


def test_a_name_is_given_once(store: SqlStore) -> None:
    with pytest.raises(OptionError, match=r"'adult'.*resume=True.*study"):
        store.create_study(replace(STUDY, config={}))
    assert store.study("adult") == STUDY


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x00", "x" * 201])
def test_an_unusable_name_is_refused(store: SqlStore, name: str) -> None:
    with pytest.raises(OptionError, match="printable"):
        store.create_study(replace(STUDY, name=name))


def test_an_unknown_study_names_the_nearest(store: SqlStore) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.study("adul"),
        lambda: store.trials("adul"),
        lambda: store.save_trials("adul", [TRIAL]),
        lambda: store.stage("adul", "x"),
        lambda: store.save_stage("adul", "x", {}),
        lambda: store.save_tracking("adul", {}),
        lambda: store.save_result("adul", {}),
        lambda: store.acquire("adul"),
        lambda: store.counts("adul"),
        lambda: store.top("adul", 1, maximize=True),
        lambda: store.delete("adul"),
    ]
    for call in calls:
        with pytest.raises(UnknownNameError, match="did you mean adult"):
            call()


def test_a_failing_batch_leaves_nothing(store: SqlStore) -> None:
    with pytest.raises((TypeError, StatementError), match="not JSON serializable"):
        store.save_trials("adult", [TRIAL, replace(TRIAL, number=4, params={"x": object()})])
    assert store.trials("adult") == []


def test_a_newer_schema_is_refused(database_url: str, store: SqlStore) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE losssearch_schema SET version = 99"))
    engine.dispose()
    with pytest.raises(DataError, match=r"schema version 99.*update losssearch") as caught:
        SqlStore(database_url)
    assert "\n" not in str(caught.value)


def test_a_database_without_studies_is_not_made_one_by_reading(database_url: str) -> None:
    if database_url.startswith("sqlite"):
        Path(database_url.removeprefix("sqlite:///")).touch()
    with pytest.raises(DataError, match="holds none"):
        SqlStore(database_url, create=False)
    with pytest.raises(DataError, match="holds none"):
        SqlStore(database_url, create=False)


def _some(number: int, value: float | None, state: TrialState = TrialState.COMPLETED) -> TrialRecord:
    return replace(TRIAL, number=number, value=value, state=state)


def test_trials_are_counted_by_state(store: SqlStore) -> None:
    assert set(store.counts("adult").values()) == {0}
    states = [TrialState.COMPLETED] * 3 + [TrialState.RUNNING] * 2 + [TrialState.FAILED]
    store.save_trials("adult", [_some(number, 0.5, state) for number, state in enumerate(states)])
    counted = {state.value: count for state, count in store.counts("adult").items() if count}
    assert counted == {"completed": 3, "running": 2, "failed": 1}


def test_the_best_are_ranked_by_the_database(store: SqlStore) -> None:
    values = [0.5, 0.1 + 0.2, 0.9, None, math.nan, math.inf, 0.9, -1e300, -math.inf]
    trials = [_some(number, value) for number, value in enumerate(values)]
    store.save_trials("adult", [*trials, _some(9, 2.0, TrialState.PRUNED), _some(10, 2.0, TrialState.DUPLICATE)])
    assert [trial.number for trial in store.top("adult", 9, maximize=True)] == [2, 6, 0, 1, 7]
    assert store.top("adult", 2, maximize=False) == [trials[7], trials[1]]
    store.save_trials("adult", [_some(0, 0.95)])
    assert [trial.number for trial in store.top("adult", 2, maximize=True)] == [0, 2]
    assert store.top("adult", 0, maximize=True) == []


def test_trials_are_read_a_page_at_a_time(store: SqlStore) -> None:
    store.save_trials("adult", [_some(number, 0.5) for number in range(0, 20, 2)])
    pages: list[list[int]] = [[]]
    while page := store.trials("adult", after=pages[-1][-1] if pages[-1] else None, limit=4):
        pages.append([trial.number for trial in page])
    assert pages[1:] == [[0, 2, 4, 6], [8, 10, 12, 14], [16, 18]]
    assert [trial.number for trial in store.trials("adult", [4, 12, 18], after=4, limit=1)] == [12]


def test_a_trial_has_the_time_of_its_first_start_and_end(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        hour_now = 0

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            cls.hour_now += 1
            return datetime(2026, 1, 1, cls.hour_now, tzinfo=tz)

    monkeypatch.setattr("losssearch.storage.schema.datetime", Clock)

    def times(state: TrialState) -> tuple[str | None, str | None]:
        store.save_trials("adult", [_some(0, None, state)])
        (found,) = store.trials("adult")
        return tuple(one and one[11:13] for one in (found.started, found.ended))  # type: ignore[return-value]

    assert times(TrialState.RUNNING) == ("01", None)
    assert times(TrialState.RUNNING) == ("01", None)
    assert times(TrialState.COMPLETED) == ("01", "03")
    assert times(TrialState.COMPLETED) == ("01", "03")
    assert times(TrialState.RUNNING) == ("01", None)
    store.save_trials("adult", [_some(1, 0.5)])
    assert (
        store.trials("adult", [1])[0].started == store.trials("adult", [1])[0].ended == "2026-01-01T06:00:00.000+00:00"
    )


def test_a_study_is_deleted_once_nobody_drives_it(store: SqlStore, open_store: Callable[[], SqlStore]) -> None:
    store.create_study(replace(STUDY, name="compas"))
    for name in ("adult", "compas"):
        store.save_trials(name, [TRIAL])
        store.save_stage(name, "confirmation", {"seeds": [1]})
    driver = open_store()
    driver.acquire("adult")
    for one in (store, driver):
        with pytest.raises(StudyHeldError, match="'adult' is driven by process"):
            one.delete("adult")
    assert store.trials("adult") == [TRIAL]
    driver.release("adult")
    store.delete("adult")
    assert store.studies() == ["compas"]
    assert store.trials("compas") == [TRIAL]
    with pytest.raises(UnknownNameError):
        store.delete("adult")
    store.create_study(STUDY)
    assert store.trials("adult") == []
    assert store.stage("adult", "confirmation") is None
