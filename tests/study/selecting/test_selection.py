"""Re-evaluation, confirmation and verdict over a real store, with an executor that answers at once."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from losssearch.execution import Job
from losssearch.losses.spec import LossSpec
from losssearch.study.loop import Loop
from losssearch.study.selecting.selection import incumbent_name, reevaluate
from losssearch.study.study import run_study
from losssearch.tasks import get_task
from losssearch.training import Outcome
from tests.study.oracle import Oracle, context


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
def test_luck_makes_no_claim_and_a_better_baseline_is_the_one_to_beat(tmp_path: Path, gap: float) -> None:
    """All losses alike but for noise, and focal better by a gap."""
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
    run.settings = replace(run.settings, prefer_known=not gap)
    verdict = run_study(run).result["verdict"]
    if gap:
        assert verdict["against"] == "focal"
    else:
        assert verdict["recommended"] == "baseline"
        assert verdict["grade"] != "better"
        assert 0.05 < verdict["probability_better"] < 0.95


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
    assert result["verdict"]["probability_better"] is None
    assert "no searched loss can be compared; of 2, 2 failed in training (diverged)" in result["verdict"]["text"]
