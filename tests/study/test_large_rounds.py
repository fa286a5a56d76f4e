"""Large studies: rounds that grow with the trials, and screening in batches of bounded memory."""

from __future__ import annotations

import pytest

from losssearch.data import draws, load, make_replicas, partition
from losssearch.models import build_model
from losssearch.space import load_space
from losssearch.study.loop import LARGEST_ROUND, round_size
from losssearch.study.proposing import screening
from losssearch.study.proposing.menu import menu_entries
from losssearch.study.proposing.proposal import ASKED, PARENTS, STEPS, encode_observation, propose
from losssearch.study.proposing.proposal import Observation as Seen
from losssearch.study.proposing.screening import Screen
from losssearch.tasks import get_task


def test_rounds_grow_with_the_trials_and_learn_several_times() -> None:
    assert [round_size(trials) for trials in (8, 128, 256, 1_024, 20_000)] == [8, 16, 32, 64, LARGEST_ROUND]
    assert all((trials / 2) / round_size(trials) >= 4 for trials in range(64, 10_000, 7))


def test_a_large_batch_is_pure_and_new() -> None:
    space = load_space("multiclass")
    history = []
    for number, entry in enumerate(menu_entries(get_task("multiclass"), 80, seed=0)):
        if encoded := encode_observation(space, entry.spec):
            value = int(entry.spec.key[:4], 16) / 65_536
            history.append(Seen(number, *encoded, value, "completed", key=entry.spec.key))
    count = 4 * max(ASKED, PARENTS * STEPS)
    once = propose(space, history, count=count, seed=1, maximize=True)
    assert once == propose(space, history[::-1], count=count, seed=1, maximize=True)
    assert len({proposal.spec.key for proposal in once} | {seen.key for seen in history}) == count + len(history)


def test_answers_do_not_depend_on_the_size_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load("builtin:wine")
    given = make_replicas(dataset, draws(dataset, partition(dataset, 0).search, seed=0, count=1, purpose="test"))
    specs = [entry.spec for entry in menu_entries(get_task("multiclass"), 44, seed=0)]

    def screen() -> Screen:
        return Screen(build_model("linear", given.width, 3), given, "balanced_accuracy", "multiclass")

    whole = screen()(specs)
    monkeypatch.setattr(screening, "BATCH", 5)
    parts = screen()(specs)
    assert [(answer.signature, answer.reason) for answer in parts] == [(a.signature, a.reason) for a in whole]
    assert screen().signatures(specs) == [answer.signature for answer in whole]
