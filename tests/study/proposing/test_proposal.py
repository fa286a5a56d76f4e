"""Proposals: pure, valid, new, and better than chance."""

import logging
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import json_to_distribution

from losssearch.errors import SpecError
from losssearch.losses.spec import LossSpec
from losssearch.space import RandomTrial, SearchSpace, load_space
from losssearch.study.proposing.proposal import (
    FITTED,
    REFINED,
    Observation,
    Proposal,
    _bounded,
    _ranked,
    encode_observation,
    propose,
)
from losssearch.tasks import TASKS

GOOD_BASE, GOOD_AUXILIARY = "poly1", "soft_f_beta"


def value_of(spec: LossSpec) -> float:
    """A made-up metric with its best value 0: one good base, one good second part, a good place for every number."""
    value = 0.0
    base = max(spec.parts, key=lambda part: part.name == GOOD_BASE)
    value -= 0.0 if base.name == GOOD_BASE else 0.3
    value -= abs(base.hyperparameters.get("epsilon", 2.0) - 2.0) / 10
    second = next((part for part in spec.parts if part.name == GOOD_AUXILIARY), None)
    value -= 0.3 if second is None else abs(math.log(second.weighting.largest + 0.1)) / 10
    return value


def history_of(specs: list[LossSpec], space: SearchSpace, first: int = 0) -> list[Observation]:
    history = []
    for number, spec in enumerate(specs, first):
        encoded = encode_observation(space, spec)
        assert encoded is not None
        history.append(Observation(number, *encoded, value_of(spec), "completed"))
    return history


def draws(space: SearchSpace, count: int, seed: int = 0) -> list[LossSpec]:
    random = np.random.default_rng(seed)
    return [space.sample(RandomTrial(random)) for _ in range(count)]


def keys(proposals: list[Proposal]) -> list[str]:
    return [proposal.spec.key for proposal in proposals]


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return load_space("binary")


@pytest.fixture(scope="module")
def history(space: SearchSpace) -> list[Observation]:
    return history_of(list(dict.fromkeys([*space.portfolio, *draws(space, 60)])), space)


def test_same_history_and_seed_give_the_same_proposals(space: SearchSpace, history: list[Observation]) -> None:
    once = propose(space, history, count=12, seed=3, maximize=True)
    again = propose(space, list(reversed(history)), count=12, seed=3, maximize=True)
    assert once == again
    assert [p.params for p in once] == [p.params for p in again]


def test_seed_and_history_change_the_proposals(space: SearchSpace, history: list[Observation]) -> None:
    once = keys(propose(space, history, count=12, seed=3, maximize=True))
    assert once != keys(propose(space, history, count=12, seed=4, maximize=True))
    failed = Observation(history[-1].number + 1, {}, {}, None, "failed")
    assert once != keys(propose(space, [*history, failed], count=12, seed=3, maximize=True))
    assert once != keys(propose(space, history, count=12, seed=3, maximize=False))


def test_global_random_state_and_logging_are_left_alone(
    space: SearchSpace, history: list[Observation], caplog: pytest.LogCaptureFixture
) -> None:
    before = np.random.get_state()[1].tolist()  # noqa: NPY002  (the global state is what must not move)
    verbosity = optuna.logging.get_verbosity()
    with caplog.at_level(logging.DEBUG):
        propose(space, history, count=4, seed=0, maximize=True)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    assert optuna.logging.get_verbosity() == verbosity
    assert caplog.records == []


@pytest.mark.parametrize("count", [1, 5, 40])
def test_proposals_are_new_and_rebuilt_from_their_parameters(
    space: SearchSpace, history: list[Observation], count: int
) -> None:
    proposals = propose(space, history, count=count, seed=0, maximize=True)
    assert len(proposals) == count
    assert len(set(keys(proposals)) | {space.spec(seen.params).key for seen in history}) == count + len(history)
    for proposal in proposals:
        assert space.spec(proposal.params) == proposal.spec
        assert space.encode(proposal.spec) == proposal.params
        assert list(proposal.distributions) == list(proposal.params)
        for name, text in proposal.distributions.items():
            distribution = json_to_distribution(text)
            assert distribution._contains(distribution.to_internal_repr(proposal.params[name]))


def test_the_first_proposals_are_the_portfolio(space: SearchSpace) -> None:
    count = len(space.portfolio) + 3
    proposals = propose(space, [], count=count, seed=0, maximize=True)
    assert [proposal.spec for proposal in proposals[:-3]] == list(space.portfolio)
    assert len(set(keys(proposals))) == count


def test_the_portfolio_goes_on_where_it_stopped(space: SearchSpace) -> None:
    tried = history_of(list(space.portfolio[:4]), space)
    proposals = propose(space, tried, count=3, seed=0, maximize=True)
    assert [proposal.spec for proposal in proposals] == list(space.portfolio[4:7])


def test_odd_observations_are_taken(space: SearchSpace, history: list[Observation]) -> None:
    params, distributions = history[0].params, history[0].distributions
    odd = [
        Observation(100, {}, {}, 0.9, "completed"),
        Observation(101, params, distributions, math.nan, "completed"),
        Observation(102, params, distributions, math.inf, "completed"),
        Observation(103, params, distributions, None, "completed"),
        Observation(104, params, distributions, None, "failed"),
        Observation(105, params, distributions, None, "running"),
        Observation(106, params, distributions, None, "pruned", ((4, 0.2), (8, math.nan))),
    ]
    proposals = propose(space, [*history, *odd], count=6, seed=0, maximize=True)
    assert len(set(keys(proposals))) == 6
    assert not {101, 102, 103} & {seen.number for seen in _ranked([*history, *odd], maximize=True)}


def test_failed_regions_are_left(space: SearchSpace, history: list[Observation]) -> None:
    """Losses with ldam fail: they are proposed less often than if nothing were known of them."""
    others = [seen for seen in history if "ldam" not in seen.params.values()]
    told = [seen if seen in others else replace(seen, value=None, state="failed") for seen in history]

    def proposed(known: list[Observation]) -> int:
        proposals = [p for seed in range(3) for p in propose(space, known, count=40, seed=seed, maximize=True)]
        return sum("ldam" in proposal.params.values() for proposal in proposals)

    assert proposed(told) < 0.5 * proposed(others)


def test_history_of_another_space_is_refused(space: SearchSpace, history: list[Observation]) -> None:
    with pytest.raises(SpecError, match=r"base.term must be one of|is missing"):
        propose(load_space("regression"), history, count=1, seed=0, maximize=True)


def test_a_small_space_repeats_itself_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text("task: regression\nslots:\n  base: {terms: {squared: , absolute: }}\n")
    proposals = propose(load_space(path), [], count=5, seed=0, maximize=False)
    assert {proposal.spec.parts[0].name for proposal in proposals[:2]} == {"squared", "absolute"}
    assert len(proposals) == 5


def test_a_space_of_one_loss(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text("task: regression\nslots:\n  base: {terms: {squared: }}\n")
    proposals = propose(load_space(path), [], count=2, seed=0, maximize=False)
    assert [proposal.params for proposal in proposals] == [{}, {}]


def test_a_long_history_is_bounded_to_the_best_and_the_latest(space: SearchSpace) -> None:
    long = [Observation(n, {"x": n}, {}, float(n % 700), "completed") for n in range(1400)]
    kept = _bounded(long, _ranked(long, maximize=True))
    assert len(kept) == FITTED
    assert {seen.number for seen in kept} >= {699, 1399, *range(1250, 1400)}
    assert [seen.number for seen in kept] == sorted(seen.number for seen in kept)
    assert _bounded(long[:100], _ranked(long[:100], maximize=True)) == long[:100]


@pytest.mark.parametrize("kind", TASKS)
def test_menu_baselines_are_observations(kind: str) -> None:
    space = load_space(TASKS[kind].space)
    plain, tuned, *_ = TASKS[kind].menu
    assert encode_observation(space, plain.spec()) is None
    encoded = encode_observation(space, tuned.spec())
    assert encoded is not None
    assert propose(space, [Observation(0, *encoded, 0.5, "completed")], count=1, seed=0, maximize=True)


@pytest.mark.parametrize("refined", [pytest.param(0.0, marks=pytest.mark.nightly), REFINED])
def test_search_beats_chance(space: SearchSpace, monkeypatch: pytest.MonkeyPatch, refined: float) -> None:
    """72 proposals after 16 draws against 88 draws, by TPE alone and with refinement, on a noisy made-up metric."""
    monkeypatch.setitem(propose.__globals__, "REFINED", refined)
    searched, drawn = [], []
    for seed in range(5):
        random = np.random.default_rng(seed)
        history = history_of(draws(space, 16, seed), space)
        while len(history) < 88:
            for proposal in propose(space, history, count=12, seed=seed, maximize=True):
                noisy = value_of(proposal.spec) + random.normal(scale=0.02)
                history.append(Observation(len(history), proposal.params, proposal.distributions, noisy, "completed"))
        searched.append(max(value_of(space.spec(seen.params)) for seen in history))
        drawn.append(max(map(value_of, draws(space, 88, seed))))
    assert np.mean(searched) > np.mean(drawn) + 0.05
    assert sum(ours > chance for ours, chance in zip(searched, drawn, strict=True)) >= 4
