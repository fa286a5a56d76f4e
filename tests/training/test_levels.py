"""Training rows on two levels: who is where, in which batches, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from losssearch.data import load, partition
from losssearch.data.batch import Groups
from losssearch.data.given_splits import Given
from losssearch.data.replicas import Replicas, make_replicas
from losssearch.data.splits import draws
from losssearch.errors import DataError, SpecError
from losssearch.losses.spec import LossSpec, Part
from losssearch.models import build_model
from losssearch.training import Candidate, TrainingPlan, train_population
from losssearch.training.boosting.pieces import pieces_of
from losssearch.training.levels import EVERY, START, Levels, Objective, Turn

PLAIN = LossSpec((Part("cross_entropy"),))
ROWS, BATCH = 200, 20


def replicas_of(labels: list[int], groups: list[int] | None = None) -> Replicas:
    """Two replicas of rows that are their own numbers."""
    rows, target = len(labels), torch.tensor(labels)
    train = {
        "features": torch.arange(rows, dtype=torch.float32)[:, None].repeat(2, 1, 1),
        "target": target.repeat(2, 1),
    }
    if groups is not None:
        train["group"] = torch.tensor(groups).repeat(2, 1)
    shares = torch.bincount(target) / rows
    known = Replicas(train, train, {"class_prior": shares.repeat(2, 1)}, (3, 4), classes=int(target.max()) + 1)
    return known if groups is None else replace(known, sensitive=Groups(max(groups) + 1))


@pytest.fixture
def rare() -> Replicas:
    return replicas_of([0] * 180 + [1] * 15 + [2] * 5)


def test_rows_that_are_tied_are_on_one_level() -> None:
    """Ties of several sizes, at random places among the rows; each replica has ties of its own."""
    labels, source = [0] * 150 + [1] * 50, np.random.default_rng(0)
    ties = torch.from_numpy(np.stack([source.integers(0, 40, ROWS), source.integers(100, 125, ROWS)]))
    levels = Levels(replace(replicas_of(labels), ties=ties), Objective(PLAIN), BATCH)
    assert levels.lower.shape[1] + levels.upper.shape[1] >= ROWS - 12
    for tie, lower, upper in zip(ties, levels.lower, levels.upper, strict=True):
        assert not set(tie[lower].tolist()) & set(tie[upper].tolist())
        assert abs(len(upper) - ROWS / 5) <= 8
        assert torch.bincount(torch.tensor(labels)[upper]).tolist() == pytest.approx([30, 10], abs=6)
    again = Levels(replace(replicas_of(labels), ties=ties), Objective(PLAIN), BATCH)
    assert torch.equal(levels.upper, again.upper)


def test_ties_follow_the_rows_of_a_draw() -> None:
    features = pd.DataFrame(
        {"x": np.sin(np.arange(120.0)), "y": np.arange(120) % 2, "who": [f"p{i // 4}" for i in range(120)]}
    )
    dataset = load(features, target="y", given=Given(group="who"))
    drawn = draws(dataset, partition(dataset, 0).search, seed=0, count=2, purpose="search")
    made = make_replicas(dataset, drawn)
    assert dataset.given is not None
    for replica, draw in enumerate(drawn):
        own = draw.train[: made.rows]
        assert made.ties is not None
        assert made.ties[replica].tolist() == dataset.given.cluster[own].tolist()  # type: ignore[index]
        assert torch.equal(made.take([replica]).ties[0], made.ties[replica])  # type: ignore[index]
    assert make_replicas(replace(dataset, given=None), drawn).ties is None


def test_a_class_in_one_tie_alone_is_refused() -> None:
    ties = torch.tensor([0] * 50 + [1] * 50 + [2] * 100).repeat(2, 1)
    known = replace(replicas_of([1] * 50 + [0] * 150), ties=ties)
    with pytest.raises(DataError, match=r"class 1 occurs in 1 of 3 groups of the training rows: bring more groups"):
        Levels(known, Objective(PLAIN), BATCH)


def turns_of(levels: Levels, epochs: int = 5, steps: int = 10) -> list[list[Turn]]:
    return [list(levels.turns(epoch, steps, epochs)) for epoch in range(1, epochs + 1)]


def test_a_fifth_of_each_class_is_on_the_upper_level(rare: Replicas) -> None:
    levels = Levels(rare, Objective(PLAIN), BATCH)
    target = rare.train["target"][0]
    for lower, upper in zip(levels.lower, levels.upper, strict=True):
        assert sorted([*lower.tolist(), *upper.tolist()]) == list(range(ROWS))
        assert torch.bincount(target[upper]).tolist() == [36, 3, 1]
    assert not torch.equal(levels.upper[0], levels.upper[1])
    assert torch.equal(levels.upper, Levels(rare, Objective(PLAIN), BATCH).upper)


def test_members_on_two_levels_take_as_many_steps_and_never_see_the_upper_rows(rare: Replicas) -> None:
    levels = Levels(rare, Objective(PLAIN), BATCH)
    for epoch in turns_of(levels):
        assert len(epoch) == 10
        rows = torch.stack([turn.lower["index"] for turn in epoch], dim=1)  # [R, steps, batch]
        for own, upper in zip(rows, levels.upper, strict=True):
            assert not np.intersect1d(own, upper).size
            assert all(len(set(batch.tolist())) == BATCH for batch in own)
            seen = torch.bincount(own.flatten(), minlength=ROWS)
            assert int(seen.max()) == 2
            assert int((seen > 0).sum()) == 160
        assert all(torch.equal(turn.lower["features"][..., 0], turn.lower["index"].float()) for turn in epoch)


def test_the_hypergradient_is_due_every_fourth_step_once_a_fifth_is_done(rare: Replicas) -> None:
    turns = [turn for epoch in turns_of(Levels(rare, Objective(PLAIN), BATCH)) for turn in epoch]
    due = [step for step, turn in enumerate(turns) if turn.upper is not None]
    assert due == [step for step in range(50) if step / 50 > START and step % EVERY == 0]
    assert [turn.number for turn in turns if turn.upper is not None] == list(range(1, len(due) + 1))


@pytest.mark.parametrize(
    ("units", "unit"),
    [
        ("class", lambda label, group: label),
        ("group", lambda label, group: group),
        ("cell", lambda label, group: (label, group)),
    ],
)
def test_an_upper_batch_holds_each_unit_equally_often(units: str, unit: object) -> None:
    labels, groups = [0] * 150 + [1] * 50, ([0] * 9 + [1]) * 20
    replicas = replicas_of(labels, groups)
    worst = LossSpec((Part("bounded_group_loss"),))
    levels = Levels(replicas, Objective(worst, units), BATCH)  # type: ignore[arg-type]
    due = [turn.upper for epoch in turns_of(levels) for turn in epoch if turn.upper is not None]
    for upper in due:
        for r in range(2):
            rows = upper["index"][r]
            assert set(rows.tolist()) <= set(levels.upper[r].tolist())
            found = [unit(labels[row], groups[row]) for row in rows]  # type: ignore[operator]
            kinds = sorted(set(found))
            counts = [found.count(kind) for kind in kinds]
            assert sum(counts) == BATCH // 2
            assert max(counts) - min(counts) <= 1
            assert len(kinds) == (4 if units == "cell" else 2)
            assert len(set(zip(found, upper["group"][r].tolist(), strict=True))) == len(kinds), "the unit is the group"
    assert not torch.equal(due[0]["index"], due[1]["index"])


def test_without_units_rows_are_drawn_as_they_come(rare: Replicas) -> None:
    levels = Levels(rare, Objective(PLAIN), BATCH)
    drawn = [turn.upper["target"] for epoch in turns_of(levels) for turn in epoch if turn.upper is not None]
    assert float((torch.stack(drawn) == 0).float().mean()) == pytest.approx(0.9, abs=0.06)


def test_a_class_without_a_row_on_the_upper_level_is_refused() -> None:
    with pytest.raises(DataError, match=r"class 2 has 2 training rows and none there"):
        Levels(replicas_of([0] * 98 + [1] * 100 + [2] * 2), Objective(PLAIN), BATCH)


def test_what_cannot_learn_by_validation_says_so(rare: Replicas) -> None:
    spec = LossSpec((Part("auto_balance"),))
    model, plan = build_model("linear", 1, 3), TrainingPlan(epochs=1, batch_size=BATCH)
    with pytest.raises(SpecError, match="needs an objective"):
        train_population(model, [Candidate(spec, (1e-3,))], rare, plan, None)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=r"shift of .* is learned by the validation loss, which trees do not do"):
        pieces_of(spec, {}, rare.sizes)
