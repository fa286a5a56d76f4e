"""A deadline ends a training early, all members alike, and the outcome says so."""

import time

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from losssearch.data import draws, load, make_replicas, partition
from losssearch.losses.spec import LossSpec
from losssearch.models import build_model
from losssearch.training import Candidate, Outcome, TrainingPlan, train_population
from losssearch.training.outcome import CUT

SQUARED = Candidate(LossSpec.from_json({"parts": [{"term": "squared"}]}), (0.01,))


def trained(deadline: float | None, *, rungs: tuple[int, ...] = (), hold: bool = False) -> tuple[list[Outcome], int]:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(300, 2)), columns=["a", "b"])
    dataset = load(frame.assign(y=frame["a"] + generator.normal(size=300)), target="y")
    parts = partition(dataset, 0)
    drawn = draws(dataset, parts.search, seed=0, count=2, purpose="search")
    replicas = make_replicas(dataset, drawn, {"test": parts.test} if hold else None)
    seen = []

    def judge(outputs: Tensor, target: Tensor, tuned: Tensor) -> tuple[Tensor, object]:
        seen.append(outputs)
        return -(outputs - target[:, None]).square().mean(-1), lambda other: other

    plan = TrainingPlan(epochs=5, batch_size=16, rungs=rungs)
    found = train_population(
        build_model("linear", replicas.width, 1),
        [SQUARED, SQUARED],
        replicas,
        plan,
        judge,  # type: ignore[arg-type]
        hold=hold,
        deadline=deadline,
    )
    return found, len(seen)


def test_past_its_deadline_a_training_ends_with_what_one_step_gave() -> None:
    found, judged = trained(0.0)
    assert judged == 1
    for outcome in found:
        assert outcome.state == "completed"
        assert outcome.reason == f"{CUT} in epoch 1 of 5"
        assert torch.isfinite(torch.tensor(outcome.utilities)).all()
    assert found[0].utilities == found[1].utilities


def test_a_search_training_that_is_cut_counts_as_pruned() -> None:
    found, _ = trained(0.0, rungs=(2,))
    assert {outcome.state for outcome in found} == {"pruned"}


def test_outputs_are_held_nevertheless() -> None:
    found, _ = trained(0.0, hold=True)
    assert all(np.isfinite(outcome.held["test"]).all() for outcome in found)


def test_a_deadline_far_ahead_changes_nothing() -> None:
    assert trained(time.time() + 1e6) == trained(None)
