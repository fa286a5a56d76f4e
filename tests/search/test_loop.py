"""The ask/tell loop and the selection over a real store, with an executor that answers at once."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest
import torch

from losssearch.data import load, partition
from losssearch.evaluation import get_metric
from losssearch.execution import Job
from losssearch.losses.spec import LossSpec
from losssearch.search.context import Context
from losssearch.search.loop import ATTEMPTS, Loop
from losssearch.search.observer import SilentObserver
from losssearch.search.selection import incumbent_name, reevaluate
from losssearch.search.settings import StudySettings
from losssearch.search.study import run_study
from losssearch.space import load_space
from losssearch.storage.records import StudyRecord, TrialRecord, TrialState
from losssearch.storage.sql import SqlStore
from losssearch.tasks import get_task
from losssearch.tracking.tracker import SilentTracker
from losssearch.training import Outcome, TrainingPlan


class Oracle:
    """An executor that says at once how good a loss is: the nearer its key to a fixed number, the better."""

    workers = 0

    def __init__(self, *, failing: str = "", dying: int | None = None) -> None:
        self.failing, self.dying = failing, dying
        self.jobs: list[Job] = []
        self.rows: dict[str, dict[str, int]] = {}

    def share(self, name: str, replicas: object) -> None:
        self.rows[name] = {key: target.shape[1] for key, (_, target) in replicas.held.items()}  # type: ignore[attr-defined]

    def run(self, jobs: Iterable[Job], heard: object = None) -> Iterator[tuple[Job, list[Outcome]]]:
        for job in jobs:
            if self.dying is not None and len(self.jobs) >= self.dying:
                raise KeyboardInterrupt
            self.jobs.append(job)
            yield job, [self._outcome(job, LossSpec.from_json(spec)) for spec, _, _ in job.candidates]

    def _outcome(self, job: Job, spec: LossSpec) -> Outcome:
        if self.failing and self.failing in spec.formula():
            return Outcome("failed", reason="diverged")
        value = int(spec.key[:4], 16) / 65_536
        held = {}
        if job.hold:
            for part, rows in self.rows[job.replicas].items():
                torch.manual_seed(int(spec.key[:6], 16))
                held[part] = torch.randn(2, rows, 3).numpy()
        return Outcome("completed", utilities=(value, value + 0.01), rate=job.candidates[0][1][0], epochs=3, held=held)

    def close(self) -> None: ...


def context(folder: Path, executor: Oracle, *, trials: int = 40, store: SqlStore | None = None) -> Context:
    dataset = load("builtin:wine", target="target")
    task = get_task("multiclass")
    space = load_space("multiclass", "multiclass")
    settings = StudySettings(
        study="study",
        task="multiclass",
        metric="accuracy",
        space=space.to_json(),
        model="linear",
        plan=TrainingPlan(epochs=2, batch_size=32),
        rates=(0.01,),
        seed=0,
        trials=trials,
        fingerprint=dataset.fingerprint,
        confirm_seeds=2,
        replicas=2,
    )
    opened = store or SqlStore(f"sqlite:///{folder}/study.db")
    if "study" not in opened.studies():
        opened.create_study(StudyRecord("study", settings.fixed(), "0", "2026-01-01T00:00:00+00:00"))
    return Context(
        settings=settings,
        dataset=dataset,
        partition=partition(dataset, 0),
        task=task,
        metric=get_metric("accuracy", "multiclass"),
        space=space,
        model="linear",
        store=opened,
        executor=executor,
        tracker=SilentTracker(),
        observer=SilentObserver(),
    )


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


def test_a_trial_that_keeps_ending_the_program_is_given_up(tmp_path: Path) -> None:
    for _ in range(ATTEMPTS):
        with pytest.raises(KeyboardInterrupt):
            Loop(context(tmp_path, Oracle(dying=0))).run()
    trials = Loop(context(tmp_path, Oracle())).run()
    counts = Counter(t.state for t in trials)
    assert counts[TrialState.FAILED] > 0
    assert sum(counts.values()) == 40


def test_more_trials_on_resume_extend_the_search(tmp_path: Path) -> None:
    first = Loop(context(tmp_path, Oracle(), trials=40)).run()
    longer = Loop(context(tmp_path, Oracle(), trials=48)).run()
    assert essence(longer)[:20] == essence(first)[:20]
    assert len(longer) == 48


def test_reevaluation_keeps_as_many_of_either_side_and_the_incumbent_on_fresh_draws(tmp_path: Path) -> None:
    executor = Oracle()
    run = context(tmp_path, executor)
    trials = Loop(run).run()
    searching = len(executor.jobs)
    field = reevaluate(run, trials)
    later = executor.jobs[searching:]
    per_stage = Counter({job.replicas: 0 for job in later})
    for job in later:
        per_stage[job.replicas] += len(job.candidates)
        assert job.plan.rungs == ()
    assert per_stage == {"reevaluation-1": 17, "reevaluation-2": 9}
    assert "cross_entropy_tuned" in [c.trial.name for c in field["baseline"][:5]]
    for side in ("baseline", "searched"):
        best = field[side][0]
        assert best.trial.origin == side
        assert best.mean == max(c.mean for c in field[side][:3])


def test_the_incumbent_is_in_every_round_and_never_pruned(tmp_path: Path) -> None:
    executor = Oracle()
    run = context(tmp_path, executor)
    reevaluate(run, Loop(run).run())
    tuned = get_task("multiclass").menu[1].spec()
    assert incumbent_name(run.task) == "cross_entropy_tuned"
    for job in executor.jobs:
        for spec, _, protected in job.candidates:
            if LossSpec.from_json(spec).formula() == tuned.formula() and spec["decision"] == tuned.decision:
                assert protected
    for purpose in ("reevaluation-1", "reevaluation-2"):
        specs = [LossSpec.from_json(c[0]) for job in executor.jobs if job.replicas == purpose for c in job.candidates]
        assert any(s.formula() == tuned.formula() and s.decision == tuned.decision for s in specs)


@pytest.mark.parametrize("gap", [0.0, 0.3])
def test_a_lucky_baseline_does_not_replace_the_incumbent_but_a_better_one_does(tmp_path: Path, gap: float) -> None:
    """All losses alike but for noise, and focal better by a gap: only then is it the one to beat."""
    executor = Oracle()

    def noisy(job: Job, spec: LossSpec) -> Outcome:
        draws = torch.Generator().manual_seed(int(spec.key[:8], 16) + 7 * job.number)
        better = gap * ("focal" in spec.formula())
        utilities = tuple((0.5 + better + 0.02 * torch.randn(8, generator=draws)).tolist())
        held = {}
        if job.hold:
            for part, rows in executor.rows[job.replicas].items():
                target = torch.as_tensor(run.dataset.target[getattr(run.partition, part)])
                right = torch.rand(5, rows, generator=draws) < 0.5 + better
                shown = torch.where(right, target, (target + 1) % 3)
                held[part] = torch.nn.functional.one_hot(shown, 3).float().numpy()
        return Outcome("completed", utilities=utilities, rate=job.candidates[0][1][0], epochs=3, held=held)

    executor._outcome = noisy  # type: ignore[method-assign]
    run = context(tmp_path, executor)
    result = run_study(run).result
    if gap:
        assert result["verdict"]["against"] == "focal"
    else:
        assert result["best"]["name"] == "cross_entropy_tuned"
        assert result["verdict"]["recommended"] == "baseline"


def test_stages_already_stored_are_not_trained_again(tmp_path: Path) -> None:
    run = context(tmp_path, Oracle())
    trials = Loop(run).run()
    before = reevaluate(run, trials)
    idle = Oracle()
    again = context(tmp_path, idle)
    assert reevaluate(again, trials) == before
    assert idle.jobs == []


def test_plain_incumbent_and_the_best_two_others_of_the_menu_are_confirmed(tmp_path: Path) -> None:
    result = run_study(context(tmp_path, Oracle())).result
    names = [entry["name"] for entry in result["baselines"]]
    assert len(names) == len(set(names)) == 4
    assert {"cross_entropy", "cross_entropy_tuned"} < set(names)
    assert result["searched"] is not None


def test_without_a_searched_loss_the_verdict_is_the_baseline(tmp_path: Path) -> None:
    run = context(tmp_path, Oracle(), trials=4)
    failing = Oracle(failing="")
    failing._outcome = lambda job, spec: (  # type: ignore[method-assign]
        Oracle._outcome(failing, job, spec)
        if spec.decision == "fixed" or spec == get_task("multiclass").menu[1].spec()
        else Outcome("failed", reason="diverged")
    )
    run.executor = failing
    result = run_study(run).result
    assert result["searched"] is None
    assert result["verdict"]["recommended"] == "baseline"
    assert result["best"]["name"] == result["verdict"]["against"]
