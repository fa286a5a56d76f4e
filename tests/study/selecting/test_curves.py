"""Best epochs: kept of every training, and said where they come so late that longer trainings might gain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from losssearch.execution import Job
from losssearch.losses.spec import LossSpec
from losssearch.storage.records import TrialState
from losssearch.study.loop import Loop
from losssearch.study.selecting.curves import epochs_of, late, train_longer
from losssearch.study.selecting.selection import EPOCHS, reevaluate
from losssearch.study.study import run_study
from losssearch.training import Outcome
from losssearch.training.outcome import CUT
from tests.study.oracle import Oracle, context


@pytest.mark.parametrize(
    ("best", "most", "expected"),
    [
        ((18, 18, 18), 20, False),
        ((19, 20, 3), 20, True),
        ((19, 3, 3), 20, False),
        ((19, 3), 20, False),
        ((8,), 8, True),
        ((7,), 8, False),
        ((), 8, False),
    ],
)
def test_late_is_the_last_tenth_in_most_trainings(best: tuple[int, ...], most: int, expected: bool) -> None:
    assert late(best, most) is expected


def test_an_entry_says_where_its_trainings_had_their_best_epoch() -> None:
    outcome = Outcome("completed", utilities=(1.0,) * 4, best_epochs=(4, 9, 7, 5), trained=13, most=20)
    found = epochs_of(outcome, (3, 8))
    assert found == {
        "best": 5, "trained": 13, "most": 20, "values": [4, 9, 7, 5], "reevaluation": [3, 8], "late": False,
    }  # fmt: skip


def test_a_function_of_the_users_says_nothing_of_epochs() -> None:
    assert epochs_of(Outcome("completed", utilities=(1.0,), epochs=3)) is None
    assert train_longer([{"name": "a", "epochs": None}]) == ""


def test_who_was_cut_by_the_time_budget_could_have_had_no_more() -> None:
    cut = Outcome("completed", (1.0,), best_epochs=(6,), trained=6, most=20, reason=f"{CUT} in epoch 6 of 20")
    entry = {"name": "a", "epochs": epochs_of(cut)}
    assert entry["epochs"]["late"]
    assert "a longer time_budget" in train_longer([entry])


class Trained(Oracle):
    """An oracle whose trainings have their best epochs at ``places`` out of 20; cross-entropy always at 5."""

    def __init__(self, places: tuple[int, int]) -> None:
        super().__init__()
        self.places = places

    def _outcome(self, job: Job, spec: LossSpec) -> Outcome:
        best = (5, 5) if spec.formula().startswith("cross_entropy") else self.places
        return replace(super()._outcome(job, spec), best_epochs=best, trained=20, most=20)


def test_finalists_that_still_rose_are_said_with_a_number(tmp_path: Path) -> None:
    finished = run_study(context(tmp_path, Trained((19, 20))))
    result = finished.result
    entries = [*result["baselines"], result["searched"]]
    rising = [entry["name"] for entry in entries if entry["epochs"]["late"]]
    assert rising
    assert all(entry["epochs"]["best"] == (19 if entry["name"] in rising else 5) for entry in entries)
    (note,) = [note for note in result["notes"] if "epochs=" in note]
    assert f"{len(rising)} of {len(entries)} final losses" in note
    assert "epochs=40" in note
    assert note in result["verdict"]["text"]
    assert result["best"]["epochs"] in [entry["epochs"] for entry in entries]
    assert len(result["best"]["epochs"]["reevaluation"]) > 2


def test_finalists_that_peaked_before_are_not_warned_of(tmp_path: Path) -> None:
    result = run_study(context(tmp_path, Trained((11, 12)))).result
    assert not result["notes"]
    assert "--epochs" not in result["verdict"]["text"]


def test_every_trial_keeps_its_epochs_and_twins_take_them_over(tmp_path: Path) -> None:
    run = context(tmp_path, Trained((11, 12)), trials=80)
    trials = Loop(run).run()
    done = [t for t in trials if t.state is not TrialState.REJECTED]
    assert {t.best_epochs for t in done} == {(5, 5), (11, 12)}
    assert {(t.trained, t.most) for t in done} == {(20, 20)}
    assert run.store.trials("study") == trials


def test_a_re_evaluation_of_an_older_store_is_taken_as_it_is(tmp_path: Path) -> None:
    """Its stages hold utilities alone: nothing is trained again for the sake of epochs."""
    run = context(tmp_path, Trained((11, 12)))
    trials = Loop(run).run()
    field = reevaluate(run, trials)
    for stage in ("reevaluation-1@40", "reevaluation-2@40"):
        saved = dict(run.store.stage("study", stage) or {})
        assert saved.pop(EPOCHS)
        run.store.save_stage("study", stage, saved)
    trained = len(run.executor.jobs)
    again = reevaluate(run, trials)
    assert len(run.executor.jobs) == trained
    for side in field:
        assert [(c.trial.number, c.utilities) for c in again[side]] == [
            (c.trial.number, c.utilities) for c in field[side]
        ]
        assert all(c.best_epochs == () for c in again[side])
