"""Time budgets: the estimates, and whole studies against a clock that only the trainings move."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from losssearch.data import load, partition
from losssearch.evaluation import get_metric
from losssearch.execution import Job
from losssearch.losses.spec import LossSpec
from losssearch.space import load_space
from losssearch.storage.records import StudyRecord, TrialState
from losssearch.storage.sql import SqlStore
from losssearch.study.budget import TRIALS, UNLIMITED, Budget, Timekeeper, Work, trials_of, work_of
from losssearch.study.context import Context
from losssearch.study.loop import Loop
from losssearch.study.observer import SilentObserver
from losssearch.study.result import Finished
from losssearch.study.settings import StudySettings, ladder
from losssearch.study.study import run_study
from losssearch.tasks import get_task
from losssearch.tracking.tracker import SilentTracker
from losssearch.training import Outcome, TrainingPlan, without_rungs
from losssearch.training.outcome import CUT

PLAN = TrainingPlan(epochs=20, batch_size=32, rungs=(4, 10))


class Clock:
    """Stands still but where it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Machine:
    """An executor whose trainings take their time on ``clock``, and end at their deadline as the trainer's do."""

    workers = 0

    def __init__(self, clock: Clock, *, step: float = 1e-4, member_step: float = 5e-6) -> None:
        self.clock, self.step, self.member_step = clock, step, member_step
        self.rows: dict[str, int] = {}
        self.held: dict[str, dict[str, int]] = {}
        self.draws: dict[str, int] = {}
        self.jobs: list[Job] = []

    def share(self, name: str, replicas: object) -> None:
        self.rows[name], self.draws[name] = replicas.train["features"].shape[1], replicas.count  # type: ignore[attr-defined]
        self.held[name] = {key: own["target"].shape[1] for key, own in replicas.held.items()}  # type: ignore[attr-defined]

    def run(self, jobs: Iterable[Job], heard: object = None) -> Iterator[tuple[Job, list[Outcome]]]:
        for job in jobs:
            self.jobs.append(job)
            work = work_of(
                job.plan,
                self.rows[job.replicas],
                len(job.candidates),
                len(job.candidates[0][1]),
                self.draws[job.replicas],
            )
            seconds = work.steps * self.step + work.member_steps * self.member_step
            left = np.inf if job.deadline is None else job.deadline - time.time()
            cut = seconds > left + 1e-3  # the real clock moves a little, too
            self.clock.now += max(0.0, min(seconds, left))
            yield job, [self._outcome(job, LossSpec.from_json(spec), cut) for spec, _, _ in job.candidates]

    def _outcome(self, job: Job, spec: LossSpec, cut: bool) -> Outcome:
        value, count = int(spec.key[:4], 16) / 65_536, self.draws[job.replicas]
        held = {}
        for part, rows in self.held[job.replicas].items() if job.hold else ():
            torch.manual_seed(int(spec.key[:6], 16))
            held[part] = torch.randn(count, rows, 3).numpy()
        return Outcome(
            "pruned" if cut and job.plan.rungs else "completed",
            utilities=(value,) * count,
            rate=job.candidates[0][1][0],
            epochs=3,
            held=held,
            reason=f"{CUT} in epoch 1 of 20" if cut else "",
        )

    def close(self) -> None: ...


class Listener(SilentObserver):
    """Keeps the notes and the deadline that it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.left: float | None = None

    def note(self, message: str) -> None:
        self.notes.append(message)

    def deadline(self, seconds: float) -> None:
        self.left = seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The budget's clock; encoding is taken to cost nothing, as it would move the real clock only."""
    made = Clock()
    monkeypatch.setattr(Budget, "wall", lambda self, moment: time.time() + moment - made.now)
    return made


def context(folder: Path, clock: Clock, seconds: float | None, machine: Machine, *, trials: int = 5000) -> Context:
    dataset, task, space = (
        load("builtin:wine", target="target"),
        get_task("multiclass"),
        load_space("multiclass", "multiclass"),
    )
    settings = StudySettings(
        study="study",
        task="multiclass",
        metric="accuracy",
        space=space.to_json(),
        model="linear",
        plan=PLAN,
        rates=(0.01, 0.02),
        seed=0,
        trials=trials,
        fingerprint=dataset.fingerprint,
        confirm_seeds=5,
        replicas=2,
        time_budget=seconds,
    )
    store = SqlStore(f"sqlite:///{folder}/study.db")
    if "study" not in store.studies():
        store.create_study(StudyRecord("study", settings.fixed(), "0", "2026-01-01T00:00:00+00:00"))
    made = Context(
        settings=settings,
        dataset=dataset,
        partition=partition(dataset, 0),
        task=task,
        metric=get_metric("accuracy", "multiclass"),
        space=space,
        model="linear",
        store=store,
        executor=machine,
        tracker=SilentTracker(),
        observer=Listener(),
        started=clock.now,
    )
    if seconds is not None:
        budget = Budget(clock.now, seconds, clock)
        made.keeper = Timekeeper(budget, PLAN, workers=0, seeds=5, menu=len(task.menu))
    return made


def finish(run: Context, clock: Clock) -> tuple[Finished, float]:
    begun = clock.now
    return run_study(run), clock.now - begun


@pytest.mark.parametrize("seconds", [20.0, 45.0])
def test_training_ends_when_the_budget_less_its_closing_is_used(tmp_path: Path, clock: Clock, seconds: float) -> None:
    run = context(tmp_path, clock, seconds, Machine(clock, step=4e-3, member_step=4e-3), trials=200)
    finished, used = finish(run, clock)
    assert run.keeper is not None
    end = seconds - run.keeper.closing
    assert used <= end + 0.02
    if finished.result["trials"]["total"] < 200:
        assert used >= 0.85 * end


def test_a_long_budget_changes_nothing_of_the_selection(tmp_path: Path, clock: Clock) -> None:
    machine = Machine(clock)
    run = context(tmp_path, clock, 600.0, machine, trials=40)
    finished, _ = finish(run, clock)
    assert finished.result["trials"]["total"] == 40
    assert finished.result["timing"]["notes"] == []
    later = [job for job in machine.jobs if not job.plan.rungs]
    assert sum(len(job.candidates) for job in later if job.replicas == "reevaluation-1") == 17
    assert machine.draws["confirmation"] == 5


def test_menu_and_proposals_come_in_turn(tmp_path: Path, clock: Clock) -> None:
    run = context(tmp_path, clock, 30.0, Machine(clock, step=4e-3, member_step=4e-3))
    trials = Loop(run).run()
    assert [t.number for t in trials] == list(range(len(trials)))
    baselines = sum(t.origin == "baseline" for t in trials)
    assert abs(2 * baselines - len(trials)) <= 2 * run.chunk
    assert trials[0].name == get_task("multiclass").plain.name
    assert {t.origin for t in trials[:6]} == {"baseline", "searched"}


def test_the_menus_defaults_are_tried_before_all_but_the_first_proposals(tmp_path: Path, clock: Clock) -> None:
    run = context(tmp_path, clock, 30.0, Machine(clock, step=4e-3, member_step=4e-3))
    trials = Loop(run).run()
    menu = [baseline.name for baseline in get_task("multiclass").menu]
    assert [t.name for t in trials if t.origin == "baseline"][: len(menu)] == menu
    last = [t.number for t in trials if t.origin == "baseline"][len(menu) - 1]
    assert sum(t.origin == "searched" for t in trials[:last]) == 2


def test_without_a_number_of_trials_the_budget_alone_ends_a_study(tmp_path: Path, clock: Clock) -> None:
    """As long as there is time and something new to try, far beyond the trials of a study without a budget."""
    assert trials_of(None, None) == TRIALS
    assert trials_of(None, 60.0) == UNLIMITED
    assert trials_of(7, 60.0) == trials_of(7, None) == 7
    run = context(tmp_path, clock, 60.0, Machine(clock, step=2e-3, member_step=2e-3))
    run.settings = replace(run.settings, trials=UNLIMITED)
    trials = Loop(run).run()
    assert len(trials) > TRIALS, len(trials)
    assert run.keeper is not None
    assert run.keeper.left < 30
    assert abs(2 * sum(t.origin == "baseline" for t in trials) - len(trials)) <= 4 * run.chunk


def test_a_space_that_holds_nothing_more_ends_a_search_without_a_number_of_trials(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "space.yaml").write_text(
        "task: multiclass\nslots:\n  base:\n    terms: {cross_entropy: {smoothing: 0}}\n"
    )
    run = context(tmp_path, clock, 1e6, Machine(clock))
    run.settings = replace(run.settings, trials=UNLIMITED)
    run.space = load_space(tmp_path / "space.yaml", "multiclass")
    run.task = replace(run.task, menu=run.task.menu[:1])
    trials = Loop(run).run()
    assert len(trials) < 2_000
    assert any("nothing" in n or "no new loss" in n for n in run.observer.notes)  # type: ignore[attr-defined]


def test_a_small_budget_makes_the_selection_smaller_and_says_so(tmp_path: Path, clock: Clock) -> None:
    run = context(tmp_path, clock, 30.0, Machine(clock, step=5e-3, member_step=5e-3))
    finished, _ = finish(run, clock)
    (note,) = [n for n in finished.result["timing"]["notes"] if "smaller selection" in n]
    assert note in run.observer.notes  # type: ignore[attr-defined]
    assert run.keeper is not None
    assert run.keeper.effort != ladder(5, 8)[0]
    assert finished.result["timing"]["budget_s"] == 30.0


@pytest.mark.parametrize("seconds", [1e-6, 1.0])
def test_a_budget_that_holds_nothing_still_gives_a_verdict(tmp_path: Path, clock: Clock, seconds: float) -> None:
    run = context(tmp_path, clock, seconds, Machine(clock, step=1.0, member_step=1.0))
    finished, used = finish(run, clock)
    assert used <= seconds
    assert finished.result["verdict"]["recommended"] in ("baseline", "searched")
    assert get_task("multiclass").plain.name in [b["name"] for b in finished.result["baselines"]]
    assert any("cut" in note for note in finished.result["timing"]["notes"])
    assert len(finished.result["best"]["confirmation"]["values"]) == 3


def test_a_sudden_slowness_is_cut_and_not_waited_for(tmp_path: Path, clock: Clock) -> None:
    machine = Machine(clock, step=4e-3, member_step=4e-3)
    run = context(tmp_path, clock, 60.0, machine)
    trials = Loop(run)
    train = machine.run

    def slower(jobs: Sequence[Job], heard: object = None) -> Iterator[tuple[Job, list[Outcome]]]:
        if clock.now > 1020:
            machine.step = machine.member_step = 1.0
        return train(jobs)

    machine.run = slower  # type: ignore[method-assign]
    done = trials.run()
    assert clock.now <= 1060
    cut = [t for t in done if t.reason.startswith(CUT)]
    assert cut
    assert {t.state for t in cut} == {TrialState.PRUNED}


def test_a_resume_goes_on_with_a_fresh_budget_and_repeats_no_trial(tmp_path: Path, clock: Clock) -> None:
    machine = Machine(clock, step=4e-3, member_step=4e-3)
    first = Loop(context(tmp_path, clock, 20.0, machine)).run()
    clock.now += 500
    second = Loop(context(tmp_path, clock, 20.0, machine)).run()
    assert len(second) > len(first)
    assert second[: len(first)] == first
    assert [t.number for t in second] == list(range(len(second)))
    names = [(t.name, t.key) for t in second if t.origin == "baseline"]
    assert len(set(names)) == len(names)


def test_a_resume_without_a_budget_brings_all_of_the_menu(tmp_path: Path, clock: Clock) -> None:
    machine = Machine(clock, step=4e-3, member_step=4e-3)
    first = Loop(context(tmp_path, clock, 10.0, machine, trials=40)).run()
    assert len(first) < 40
    whole = Loop(context(tmp_path, clock, None, machine, trials=40)).run()
    assert len(whole) == 40
    assert {b.name for b in get_task("multiclass").menu} <= {t.name for t in whole}
    assert sum(t.origin == "baseline" for t in whole) == 20


def test_the_watcher_is_told_the_time_left(tmp_path: Path, clock: Clock) -> None:
    run = context(tmp_path, clock, 20.0, Machine(clock, step=4e-3, member_step=4e-3))
    clock.now += 5
    Loop(run).run()
    assert run.observer.left == 15.0  # type: ignore[attr-defined]


def test_a_finalist_that_is_trained_twice_counts_twice() -> None:
    """In what a selection is thought to take, and in the work that a pace is learned from."""
    spec = {"parts": [{"term": "auto_balance"}]}
    plain = {"parts": [{"term": "cross_entropy"}]}
    once, twice = (Timekeeper(Budget(0.0, 1e6), PLAN, workers=0, seeds=5, menu=2, trainings=n) for n in (1, 2))
    for keeper in (once, twice):
        keeper.rows = 1_000
        keeper.pace.learn(work_of(PLAN, 1_000, 4, 1, 3), 6.0)
    assert twice.stage_seconds(4, 3) == pytest.approx(2 * once.stage_seconds(4, 3))
    job = Job(1, "reevaluation", ((spec, (1e-3,), True), (plain, (1e-3,), True)), "binary", "auc", "mlp", PLAN)
    whole, one = work_of(PLAN, 1_000, 2, 1, 1), work_of(without_rungs(PLAN), 1_000, 1, 1, 1)
    assert twice._work(replace(job, refit=True), 1) == Work(
        whole.steps + one.steps, whole.member_steps + one.member_steps
    )
    assert twice._work(job, 1) == once._work(replace(job, refit=True), 1) == whole
    assert load_space("long_tail", "multiclass").learns_by_validation
    assert not load_space("multiclass").learns_by_validation
