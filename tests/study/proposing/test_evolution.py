"""Bred formulas: pure, sound, new, better than chance; and the three cheap questions to a formula."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest
import torch

from losssearch.errors import SpaceError
from losssearch.losses.spec import LossSpec
from losssearch.losses.trees.program import Program
from losssearch.losses.trees.tree import canonical, read, size
from losssearch.losses.trees.variation import crossed, mutated, random_tree, tuned
from losssearch.space import RandomTrial, SearchSpace, load_space, load_space_text
from losssearch.study.proposing.evolution import columns_of
from losssearch.study.proposing.proposal import Observation, encode_observation, propose
from losssearch.study.proposing.soundness import ELSEWHERE, NOT_FINITE, WRONG_WAY, faults_of

COLUMNS = {"regression": 1, "binary": 2, "multiclass": 3}
SHIFTED = "square(sub(output, mul(0.7, target)))"
Vary: TypeAlias = Callable[[str, np.random.Generator, int], str]
every_task = pytest.mark.parametrize("task", COLUMNS)


def tree_of(spec: LossSpec) -> str:
    return str(spec.parts[0].hyperparameters["tree"])


def value_of(spec: LossSpec) -> float:
    """A made-up metric: best where the formula is near one in value, on a few points."""
    at = torch.tensor([[-1.5, -0.4, 0.3, 1.0, 2.2]], dtype=torch.float64)
    values, _ = Program([read(tree_of(spec))], [0]).with_slopes(at, torch.zeros_like(at))
    goal = torch.log1p(at.square()) + 0.4 * at.square()
    return -float((values - goal).abs().mean().clamp(max=1e3))


def history_of(specs: list[LossSpec], space: SearchSpace, first: int = 0) -> list[Observation]:
    found = []
    for number, spec in enumerate(specs, first):
        encoded = encode_observation(space, spec)
        assert encoded is not None
        found.append(Observation(number, *encoded, value_of(spec), "completed"))
    return found


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return load_space("symbolic", "regression")


@pytest.fixture(scope="module")
def history(space: SearchSpace) -> list[Observation]:
    return history_of(list(space.portfolio), space)


def test_the_portfolio_comes_first(space: SearchSpace) -> None:
    proposals = propose(space, [], count=20, seed=0, maximize=True)
    assert [p.spec for p in proposals[: len(space.portfolio)]] == list(space.portfolio)
    assert len({p.spec.key for p in proposals}) == 20


def test_same_history_and_seed_give_the_same_generation(space: SearchSpace, history: list[Observation]) -> None:
    once = propose(space, history, count=24, seed=3, maximize=True)
    assert once == propose(space, list(reversed(history)), count=24, seed=3, maximize=True)
    assert once != propose(space, history, count=24, seed=4, maximize=True)
    assert once != propose(space, history[:-1], count=24, seed=3, maximize=True)


def test_a_generation_is_new_sound_and_rebuilt_from_its_parameters(
    space: SearchSpace, history: list[Observation]
) -> None:
    proposals = propose(space, history, count=48, seed=0, maximize=True)
    keys = {proposal.spec.key for proposal in proposals}
    assert len(keys) == 48
    assert not keys & {one.key or space.spec(one.params).key for one in history}
    assert faults_of([tree_of(proposal.spec) for proposal in proposals], 1) == [""] * 48
    for proposal in proposals:
        assert space.spec(proposal.params) == proposal.spec
        assert list(proposal.distributions) == list(proposal.params)


def test_breeding_beats_chance(space: SearchSpace) -> None:
    """Five generations of 24 against as many random sound trees, at a metric whose optimum is no tree of the start."""
    sign, maximize = -1.0, False
    told = history_of(list(space.portfolio), space)
    best_of_start = max(one.value or 0.0 for one in told)
    told = [Observation(o.number, o.params, o.distributions, sign * (o.value or 0.0), o.state) for o in told]
    for _ in range(5):
        specs = [p.spec for p in propose(space, told, count=24, seed=1, maximize=maximize)]
        more = history_of(specs, space, len(told))
        told += [Observation(o.number, o.params, o.distributions, sign * (o.value or 0.0), o.state) for o in more]
    best = max(sign * (one.value or 0.0) for one in told)
    chance = propose(space, [], count=12 + 120, seed=2, maximize=True)[12:]
    assert best > max(value_of(proposal.spec) for proposal in chance)
    assert best > 0.8 * best_of_start  # both are below zero


@pytest.mark.parametrize("vary", [mutated, tuned, lambda text, random, nodes: crossed(text, SHIFTED, random, nodes)])
def test_offspring_are_canonical_and_of_the_nodes_allowed(vary: Vary) -> None:
    random = np.random.default_rng(0)
    seen = set()
    for _ in range(200):
        tree = vary(random_tree(random, 15), random, 15)
        assert canonical(tree) == tree
        assert size(read(tree)) <= 15
        seen.add(tree)
    assert len(seen) > 50


def test_tuning_moves_constants_and_little_else() -> None:
    """Four in five times the constants alone; else a factor is put in front of a subtree."""
    random, tree = np.random.default_rng(0), "add(mul(0.3, abs(sub(output, target))), square(sub(output, target)))"
    found = [tuned(tree, random, 31) for _ in range(100)]
    same = [text for text in found if re.sub(r"[\d.]+", "#", text) == re.sub(r"[\d.]+", "#", tree)]
    assert 65 < len(same) < 95
    assert len(set(found)) > 90


@every_task
def test_the_space_of_each_kind_of_task_has_one_name(task: str) -> None:
    space = load_space("symbolic", task)
    assert space.name == f"{task}_symbolic"
    assert columns_of(space) == COLUMNS[task]
    assert faults_of([tree_of(spec) for spec in space.portfolio], COLUMNS[task]) == [""] * len(space.portfolio)


@pytest.mark.parametrize(
    ("task", "tree", "fault"),
    [
        ("regression", "square(sub(output, target))", ""),
        ("regression", "add(abs(sub(output, target)), mul(0.8, sub(output, target)))", ""),  # a quantile
        ("regression", SHIFTED, WRONG_WAY),
        ("regression", "square(sub(output, mul(0.9, target)))", ELSEWHERE),
        ("regression", "square(sub(output, mul(0.99, target)))", ""),
        ("regression", "square(square(square(sub(output, target))))", NOT_FINITE),
        ("regression", "mul(-1, square(sub(output, target)))", WRONG_WAY),
        ("binary", "log(add(1, exp(mul(-1, mul(output, target)))))", ""),
        ("binary", "max(0, sub(1, mul(output, target)))", ""),
        ("binary", "mul(output, target)", WRONG_WAY),
        ("binary", "square(sub(mul(0.5, target), output))", ELSEWHERE),
        ("binary", "exp(square(sub(1, mul(output, target))))", WRONG_WAY),  # flat where the exponent is clamped
        ("multiclass", "mul(-1, log(output))", ""),
        ("multiclass", "log(output)", WRONG_WAY),
        ("multiclass", "square(sub(0.8, output))", ELSEWHERE),
    ],
)
def test_three_cheap_questions(task: str, tree: str, fault: str) -> None:
    assert faults_of([canonical(tree)], COLUMNS[task]) == [fault]


def test_the_fault_of_a_tree_does_not_depend_on_the_others() -> None:
    random = np.random.default_rng(0)
    trees = [random_tree(random, 31) for _ in range(1000)]
    together = faults_of(trees, 2)
    some = [place for place, fault in enumerate(together) if not fault or place < 60]
    assert [together[place] for place in some] == [faults_of([trees[place]], 2)[0] for place in some]
    assert "" in together
    assert together.count("") < 0.05 * len(trees)


@pytest.mark.parametrize(
    ("range_text", "message"),
    [
        ("{nodes: 40}", r"symbolic.tree.nodes must lie in \[1, 31\], got 40"),
        ("[1, 2]", r"symbolic.tree: the range of a tree is {nodes: N}"),
        ("{nodes: 7, schedule: [linear]}", "is a tree and can follow no schedule"),
        ("{leaves: 7}", r"the range of a tree is {nodes: N}"),
    ],
)
def test_a_space_narrows_a_tree_by_its_nodes_alone(range_text: str, message: str) -> None:
    good = "{task: binary, slots: {base: {terms: {symbolic: {tree: {nodes: 7}}}}}}"
    space = load_space_text(good)
    assert space.to_json()["slots"]["base"]["terms"] == {"symbolic": {"tree": {"nodes": 7}}}
    assert all(size(read(tree_of(space.sample(RandomTrial(np.random.default_rng(n)))))) <= 7 for n in range(40))
    with pytest.raises(SpaceError, match=message):
        load_space_text(good.replace("{nodes: 7}", range_text))
