"""A bounded history: it proposes what the whole one would."""

from __future__ import annotations

import numpy as np
import pytest

from losssearch.space import SearchSpace, load_space
from losssearch.space.trials import RandomTrial
from losssearch.study.proposing.optuna_study import STARTUP
from losssearch.study.proposing.proposal import FITTED, History, Observation, encode_observation, propose


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return load_space("binary")


def _long(space: SearchSpace, count: int, seed: int) -> list[Observation]:
    random = np.random.default_rng(seed)
    seen = []
    for number in range(count):
        spec = space.sample(RandomTrial(random))
        params, distributions = encode_observation(space, spec) or ({}, {})
        state = str(random.choice(["completed", "pruned", "failed", "duplicate"]))
        value = float(random.integers(40)) if state != "failed" else None
        seen.append(Observation(number, params, distributions, value, state, ((3, 0.5),), spec.key))
    return seen


@pytest.mark.parametrize("maximize", [True, False])
def test_proposals_are_those_of_the_whole_history(space: SearchSpace, maximize: bool) -> None:
    whole = _long(space, 3 * FITTED, seed=int(maximize))
    history = History(maximize=maximize)
    for seen in whole:
        history.add(Observation(seen.number, seen.params, seen.distributions, None, "running", key=seen.key))
    for seen in np.random.default_rng(0).permutation(np.array(whole, dtype=object)).tolist():
        history.add(seen)
    assert len(history.observations) <= 2 * FITTED + FITTED // 2 + STARTUP < len(whole)
    for count, seed in ((8, 0), (40, 1)):
        expected = propose(space, whole, count=count, seed=seed, maximize=maximize)
        bounded = propose(space, history.observations, count=count, seed=seed, maximize=maximize, tried=history.tried)
        assert [p.spec.key for p in bounded] == [p.spec.key for p in expected]


def test_what_started_is_remembered_behind_many_failures(space: SearchSpace) -> None:
    whole = [
        Observation(n, {"x": n}, {}, None, "pruned" if n < STARTUP else "failed", key=str(n)) for n in range(4 * FITTED)
    ]
    history = History(maximize=True)
    for seen in whole:
        history.add(seen)
    assert sum(seen.state == "pruned" for seen in history.observations) == STARTUP
