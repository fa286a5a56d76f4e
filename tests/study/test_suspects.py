"""Stops and kills of the driver: which of them count against a trial, and what becomes of one that keeps killing it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from losssearch.errors import WorkersLostError
from losssearch.execution import Job
from losssearch.losses.spec import LossSpec
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.storage.sql import SqlStore
from losssearch.study.loop import Loop
from losssearch.study.selecting.selection import incumbent_name
from losssearch.study.suspects import ATTEMPTS
from losssearch.tasks import get_task
from losssearch.training import Outcome
from tests.study.oracle import Oracle, context

Essence = list[tuple[object, ...]]


class Deadly(Oracle):
    """Ends the program, or loses its workers, in every population that holds one of the ``deadly`` trials."""

    def __init__(self, deadly: Iterable[int] = (), *, workers_die: bool = False) -> None:
        super().__init__()
        self.deadly, self.workers_die = set(deadly), workers_die

    def run(self, jobs: Iterable[Job], heard: object = None) -> Iterator[tuple[Job, list[Outcome]]]:
        for job in jobs:
            self.jobs.append(job)
            if self.deadly & set(job.trials):
                raise WorkersLostError("3 died on the same one; saved", job.trials) if self.workers_die else Killed
            yield job, [self._outcome(job, LossSpec.from_json(spec)) for spec, _, _ in job.candidates]


class Killed(BaseException):
    """Stands for the end of the process: nothing answers it."""


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every resume finds the lease of a driver that was killed."""
    monkeypatch.setattr(SqlStore, "taken_over", lambda store, study: True)


def essence(trials: Iterable[TrialRecord]) -> Essence:
    return [(t.number, t.name, t.key, t.state, t.value, t.twin) for t in trials]


def resumed(
    folder: Path, executor: Oracle, ends: type[BaseException], times: int = 20
) -> tuple[list[TrialRecord], int]:
    """The trials of a study that is resumed until it gets through, and how often it had ended before."""
    for count in range(times):
        try:
            return Loop(context(folder, executor)).run(), count
        except ends:
            continue
    pytest.fail(f"the study still ends after {times} resumes")


def undisturbed(folder: Path) -> Essence:
    (folder / "whole").mkdir()
    return essence(Loop(context(folder / "whole", Oracle())).run())


def test_polite_stops_never_count(tmp_path: Path) -> None:
    whole = undisturbed(tmp_path)
    for jobs in (0, 0, 0, 1, 0, 0, 0):
        with pytest.raises(KeyboardInterrupt):
            Loop(context(tmp_path, Oracle(dying=jobs))).run()
    found = Loop(context(tmp_path, Oracle())).run()
    assert essence(found) == whole
    assert {trial.attempts for trial in found} == {0}


@pytest.mark.usefixtures("killed")
def test_only_what_kills_the_driver_is_given_up(tmp_path: Path) -> None:
    whole = undisturbed(tmp_path)
    executor = Deadly({6, 25})
    found, kills = resumed(tmp_path, executor, Killed)
    assert kills == 2 * (ATTEMPTS + 1)  # in company, and then once alone
    assert [t.number for t in found if t.state is TrialState.FAILED] == [6, 25]
    assert f"killed {ATTEMPTS + 1} times" in found[6].reason
    assert "alone" in found[6].reason
    # The first lost half of what its population reached to nobody: the others of it are as they would have been.
    assert [t for t in essence(found) if t[0] < 20 and t[0] != 6] == [t for t in whole if t[0] < 20 and t[0] != 6]


@pytest.mark.usefixtures("killed")
def test_a_trial_that_only_waited_is_not_suspected(tmp_path: Path) -> None:
    found, _ = resumed(tmp_path, Deadly({6}), Killed)
    suspects = {t.number for t in found if t.attempts}
    assert 6 in suspects
    assert len(suspects) <= 8  # one population, of 20 trials that were stored as running


@pytest.mark.usefixtures("killed")
def test_what_all_are_compared_with_is_never_given_up(tmp_path: Path) -> None:
    task = get_task("multiclass")
    trials = Loop(context(tmp_path, Oracle(dying=10**6))).run()
    needed = [t.number for t in trials if t.name in (task.plain.name, incumbent_name(task)) and t.twin is None]
    (tmp_path / "deadly").mkdir()
    executor = Deadly(needed)
    for _ in range(3 * ATTEMPTS):
        with pytest.raises(Killed):
            Loop(context(tmp_path / "deadly", executor)).run()
    executor.deadly.clear()
    found = Loop(context(tmp_path / "deadly", executor)).run()
    assert {found[number].state for number in needed} == {TrialState.COMPLETED}


def test_workers_that_die_of_a_trial_end_the_study_once(tmp_path: Path) -> None:
    whole = undisturbed(tmp_path)
    found, ends = resumed(tmp_path, Deadly({6, 25}, workers_die=True), WorkersLostError)
    assert ends == 2
    assert [t.number for t in found if t.state is TrialState.FAILED] == [6, 25]
    assert [t for t in essence(found) if t[0] < 20 and t[0] != 6] == [t for t in whole if t[0] < 20 and t[0] != 6]


@pytest.mark.parametrize("jobs", [0, 1, 3])
@pytest.mark.usefixtures("killed")
def test_kills_at_different_places_change_nothing(tmp_path: Path, jobs: int) -> None:
    whole = undisturbed(tmp_path)
    for number in (jobs, 0):
        with pytest.raises(KeyboardInterrupt):
            Loop(context(tmp_path, Oracle(dying=number))).run()
    assert essence(Loop(context(tmp_path, Oracle())).run()) == whole
