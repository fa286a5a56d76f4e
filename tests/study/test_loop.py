"""The ask/tell loop over a real store, with an executor that answers at once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from losssearch.errors import ModelError
from losssearch.execution import Job
from losssearch.space import load_space
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.study.loop import Loop
from losssearch.study.observer import SilentObserver
from losssearch.tasks import get_task
from losssearch.training import Outcome
from tests.study.oracle import Oracle, context


def essence(trials: Sequence[TrialRecord]) -> list[tuple[object, ...]]:
    return [(t.number, t.name, t.key, t.state, t.value, t.twin) for t in trials]


def test_half_of_the_trials_are_the_menus_and_come_first(tmp_path: Path) -> None:
    trials = Loop(context(tmp_path, Oracle())).run()
    assert [t.number for t in trials] == list(range(40))
    assert [t.origin for t in trials] == ["baseline"] * 20 + ["searched"] * 20
    assert trials[0].name == get_task("multiclass").plain.name


def test_every_trial_is_stored_as_it_ended(tmp_path: Path) -> None:
    run = context(tmp_path, Oracle())
    trials = Loop(run).run()
    assert run.store.trials("study") == trials
    assert TrialState.RUNNING not in {t.state for t in run.store.trials("study")}


def test_twins_take_over_a_value_without_training(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(
        "task: multiclass\nslots:\n  base:\n    terms: {cross_entropy: {smoothing: 0.0}, focal: {gamma: 0.0}}\n"
    )
    executor = Oracle()
    run = context(tmp_path, executor)
    run.space = load_space(tmp_path / "space.yaml", "multiclass")
    trials = Loop(run).run()
    # Both losses of this space are plain cross-entropy: one by its key, the other by its gradient.
    assert {t.state for t in trials[20:]} == {TrialState.DUPLICATE, TrialState.EQUIVALENT}
    for trial in trials[20:]:
        twin = trials[trial.twin or 0]
        assert trial.value == twin.value
        assert twin.twin is None
        assert (trial.state is TrialState.DUPLICATE) == (trial.key == twin.key)
    trained = sum(len(job.candidates) for job in executor.jobs)
    assert trained == sum(t.twin is None for t in trials)


def test_a_failed_candidate_is_a_failed_trial(tmp_path: Path) -> None:
    trials = Loop(context(tmp_path, Oracle(failing="ldam"))).run()
    failed = [t for t in trials if t.state is TrialState.FAILED]
    assert failed
    assert all("ldam" in str(t.spec) and t.reason == "diverged" and t.value is None for t in failed)


def test_where_all_trials_fail_the_input_is_at_fault(tmp_path: Path) -> None:
    run = context(tmp_path, Oracle(failing="ldam"))
    failed = [t for t in Loop(run).run() if t.state is TrialState.FAILED]
    with pytest.raises(ModelError, match="trained to the end: diverged; see whether the model puts out finite") as told:
        raise run.hopeless(failed)
    assert told.value.exit_code == 2


@pytest.mark.parametrize("jobs", [0, 1, 2])
def test_a_stopped_search_goes_on_as_if_it_had_not_been(tmp_path: Path, jobs: int) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = Loop(context(tmp_path / "whole", Oracle())).run()
    with pytest.raises(KeyboardInterrupt):
        Loop(context(tmp_path / "parts", Oracle(dying=jobs))).run()
    assert essence(Loop(context(tmp_path / "parts", Oracle())).run()) == essence(whole)


@pytest.mark.parametrize("jobs", [1, 5])
def test_a_stopped_search_trains_the_rest_in_the_same_populations(tmp_path: Path, jobs: int) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole, parts = Oracle(), [Oracle(dying=jobs), Oracle()]
    Loop(context(tmp_path / "whole", whole, trials=160)).run()
    with pytest.raises(KeyboardInterrupt):
        Loop(context(tmp_path / "parts", parts[0], trials=160)).run()
    Loop(context(tmp_path / "parts", parts[1], trials=160)).run()
    assert [job.trials for part in parts for job in part.jobs] == [job.trials for job in whole.jobs]


def test_the_first_population_starts_before_all_are_screened(tmp_path: Path) -> None:
    executor = Oracle(dying=0)
    run = context(tmp_path, executor, trials=200)
    with pytest.raises(KeyboardInterrupt):
        Loop(run).run()
    assert len(run.store.trials("study")) < 50  # of the 100 of the menu


class Listener(SilentObserver):
    """Keeps what it is told of values."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float | None]] = []

    def underway(self, value: float) -> None:
        self.told.append(("underway", value))

    def trials(self, records: Sequence[TrialRecord], best: float | None) -> None:
        self.told.append(("ended", best))


class Talking(Oracle):
    """Says on the way what it will give, and less."""

    def run(
        self, jobs: Iterable[Job], heard: Callable[[float], None] | None = None
    ) -> Iterator[tuple[Job, list[Outcome]]]:
        for job, outcomes in super().run(jobs):
            for share in (0.5, 0.25, 1.0):
                if heard:
                    heard(share * max(sum(outcome.utilities) / 2 for outcome in outcomes))
            yield job, outcomes


def test_values_of_trainings_under_way_are_told_where_they_are_ahead(tmp_path: Path) -> None:
    run = context(tmp_path, Talking())
    run.observer = listener = Listener()
    Loop(run).run()
    ahead = [value for kind, value in listener.told if kind == "underway"]
    assert len(ahead) > 1
    assert ahead == sorted(set(ahead))
    known = -1.0
    for kind, value in listener.told:
        if value is not None:
            assert value > known if kind == "underway" else value == known
            known = value


def test_more_trials_on_resume_extend_the_search(tmp_path: Path) -> None:
    first = Loop(context(tmp_path, Oracle(), trials=40)).run()
    longer = Loop(context(tmp_path, Oracle(), trials=48)).run()
    assert essence(longer)[:20] == essence(first)[:20]
    assert len(longer) == 48
