"""The contract of every bundled search space."""

import json

import numpy as np
import pytest

from losssearch.losses.spec import LossSpec
from losssearch.losses.term import registry
from losssearch.space import RandomTrial, Replay, SearchSpace, aim, bundled_spaces, check_space, load_space
from losssearch.tasks import KINDS, TASKS, Task, worst_cell_task

SAMPLES = 200


@pytest.fixture(scope="module", params=bundled_spaces())
def space(request: pytest.FixtureRequest) -> SearchSpace:
    return load_space(request.param)


@pytest.fixture(scope="module")
def specs(space: SearchSpace) -> list[LossSpec]:
    random = np.random.default_rng(0)
    return [space.sample(RandomTrial(random)) for _ in range(SAMPLES)]


def task_of(space: SearchSpace) -> Task:
    task = TASKS[space.task]
    return worst_cell_task(task) if space.name.endswith("_cells") else task


def test_each_task_has_its_space() -> None:
    plain = {task.space for task in TASKS.values()}
    grouped = {kind.task.space: kind.groups for kind in KINDS.values() if kind.groups is not None}
    of_all = plain | {f"{name}{kind}" for name in grouped for kind in ("_fair", "_attribute")}
    of_cells = {f"{name}_cells" for name, groups in grouped.items() if groups.cells is not None}
    noisy = {f"{name}_noisy" for name, groups in grouped.items() if groups.cells is not None}
    hidden = {f"{name}_hidden_groups" for name, groups in grouped.items() if groups.cells is not None}
    formulas = {f"{name}_symbolic" for name in grouped}
    learned = {f"{name}_learned" for name in plain if name in ("binary", "multiclass", "regression")}
    of_kinds = of_all | of_cells | noisy | hidden | formulas | learned
    assert of_kinds | {"binary_front", "long_tail"} == set(bundled_spaces())
    assert {load_space(task.space).task for task in TASKS.values()} == set(TASKS)


def test_file_keeps_every_rule_and_asks_a_question(space: SearchSpace) -> None:
    assert check_space(space.name) == []
    assert space.question.endswith("?")


def test_samples_fit_the_task_and_the_space(space: SearchSpace, specs: list[LossSpec]) -> None:
    for spec in specs:
        fair = space.name.endswith(("_fair", "_front", "_attribute"))
        assert spec.reads <= (TASKS[space.task].with_groups() if fair else task_of(space)).offers
        assert not fair or "group" in spec.reads
        assert len(spec.parts) <= space.max_parts
        assert spec.decision == "tuned"
        names = [part.name for part in spec.parts]
        assert len(set(names)) == len(names)
        assert all(len(rule.intersection(names)) <= 1 for rule in space.never_together)


def test_samples_round_trip_through_json(specs: list[LossSpec]) -> None:
    for spec in specs:
        assert LossSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_samples_differ(specs: list[LossSpec]) -> None:
    assert len(set(specs)) > 0.5 * SAMPLES


def test_no_term_is_wasted(space: SearchSpace, specs: list[LossSpec]) -> None:
    assert {part.name for spec in specs for part in spec.parts} == space.terms


def test_every_slot_can_hold_each_of_its_terms(space: SearchSpace, specs: list[LossSpec]) -> None:
    encoded = [params for spec in specs if (params := space.encode(spec)) is not None]
    for slot in space.slots:
        chosen = {params.get(f"{slot.name}.term") for params in encoded} - {None}
        assert chosen == (set(slot.terms) if len(slot.terms) > 1 else set())  # one term is not asked for


def test_parameters_give_the_spec_again(space: SearchSpace, specs: list[LossSpec]) -> None:
    for spec in specs:
        params = space.encode(spec)
        assert params is not None
        assert space.spec(params) == spec
        assert space.spec(json.loads(json.dumps(params))).to_json() == space.spec(params).to_json()
        assert space.encode(space.spec(params)) == params


def test_encoded_parameters_are_all_asked_for(space: SearchSpace, specs: list[LossSpec]) -> None:
    for spec in specs:
        params = space.encode(spec)
        assert params is not None
        replay = Replay(params)
        space.sample(replay)
        assert list(replay.asked) == list(params)


def test_menu_baselines_encode(space: SearchSpace) -> None:
    task = task_of(space)
    held = [entry for entry in task.menu if entry.term in space.slots[0].terms]
    if space.has_trees:
        assert not held
        return
    if any(slot.required for slot in space.slots):
        assert all(space.encode(entry.spec()) is None for entry in held)
        return
    assert len(held) > len(task.menu) / 2
    for entry in held:
        params = space.encode(entry.spec())
        if entry.decision == "fixed":
            assert params is None
        else:
            assert params is not None
            assert space.spec(params) == entry.spec()


def test_what_the_menu_tunes_keeps_the_range_of_its_term(space: SearchSpace) -> None:
    base = space.slots[0].terms
    for entry in task_of(space).menu:
        for name in entry.tunable if entry.term in base else ():
            assert base[entry.term][name] == registry[entry.term].domains[name]


@pytest.mark.parametrize(
    ("name", "numbers", "term", "aimed"),
    [
        ("binary", {"ratio": 7.0}, "cost_sensitive_cross_entropy", {"ratio": 7.0}),
        ("binary", {"ratio": 500.0}, "cost_sensitive_cross_entropy", {"ratio": 20.0}),
        ("regression", {"q": 0.95}, "quantile", {"quantile": 0.95}),
    ],
)
def test_losses_that_name_a_number_of_the_metric_come_first(
    name: str, numbers: dict[str, float], term: str, aimed: dict[str, float]
) -> None:
    space = load_space(name)
    bound = aim(space, numbers)
    first = bound.portfolio[: len(bound.portfolio) - len(space.portfolio)]
    assert len(first) == len(space.aimed) > 0
    assert bound.portfolio[len(first) :] == space.portfolio
    for spec in first:
        (part,) = [part for part in spec.parts if part.name == term]
        assert part.hyperparameters == aimed
        assert bound.spec(bound.encode(spec) or {}) == spec
    assert not bound.aimed
    assert aim(space, {"other": 1.0}).portfolio == aim(space, {}).portfolio == space.portfolio


def test_portfolio_is_distinct_and_not_the_menu(space: SearchSpace) -> None:
    assert 8 <= len(space.portfolio) <= 16
    menu = {entry.spec().key for entry in task_of(space).menu}
    keys = {spec.key for spec in space.portfolio}
    assert len(keys) == len(space.portfolio)
    assert not keys & menu
