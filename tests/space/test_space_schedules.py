"""A hyperparameter of a space that may follow a schedule: asked for, checked, written, trained and exported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from losssearch.data.batch import Sizes
from losssearch.export.facts import LossFacts
from losssearch.export.source import loss_source
from losssearch.losses.compose import ComposedLoss
from losssearch.losses.population import PopulationLoss
from losssearch.losses.schedule import Scheduled
from losssearch.losses.spec import LossSpec
from losssearch.space import RandomTrial, SearchSpace, Step, check_space, load_space

MOVING = """\
# Should the focus move?
task: binary
max_parts: 2
slots:
  base:
    terms:
      focal: {gamma: {low: 0.5, high: 3.0, schedule: [constant, linear]}}
      binary_cross_entropy: {smoothing: {schedule: [linear]}}
  more:
    terms: {squared_hinge: }
    weighting: [constant, fade_out]
portfolio:
  - parts: [{term: focal, gamma: {schedule: linear, start: 3.0, end: 0.5}}]
"""
STILL = MOVING.replace(", schedule: [constant, linear]", "").replace("{schedule: [linear]}", "").split("portfolio")[0]


def made(folder: Path, text: str) -> SearchSpace:
    path = folder / "own.yaml"
    path.write_text(text)
    return load_space(path)


def drawn(space: SearchSpace, count: int = 60) -> list[LossSpec]:
    random = np.random.default_rng(0)
    return [space.sample(RandomTrial(random)) for _ in range(count)]


@pytest.fixture
def space(tmp_path: Path) -> SearchSpace:
    return made(tmp_path, MOVING)


def test_each_level_is_drawn_from_the_range(space: SearchSpace) -> None:
    gammas = [part.hyperparameters["gamma"] for spec in drawn(space) for part in spec.parts if part.name == "focal"]
    moving = [gamma for gamma in gammas if isinstance(gamma, Scheduled)]
    assert 0 < len(moving) < len(gammas)
    levels = np.array([gamma.levels for gamma in moving])
    assert levels.min() >= 0.5
    assert levels.max() <= 3.0
    assert (levels[:, 0] < levels[:, 1]).any()
    assert (levels[:, 0] > levels[:, 1]).any()
    smoothing = [p.hyperparameters["smoothing"] for s in drawn(space) for p in s.parts if p.name.startswith("binary")]
    assert smoothing
    assert all(isinstance(value, Scheduled) for value in smoothing)


def test_answers_give_the_spec_and_the_spec_gives_the_answers(space: SearchSpace) -> None:
    answers = {
        "base.term": "focal",
        "base.focal.gamma.schedule": "linear",
        "base.focal.gamma.start": 2.0,
        "base.focal.gamma.end": 1.0,
        "more": "absent",
    }
    spec = space.spec(answers)
    assert spec.formula() == "focal(gamma=2→1)"
    assert space.encode(spec) == answers
    still = {"base.term": "focal", "base.focal.gamma.schedule": "constant", "base.focal.gamma": 2.0, "more": "absent"}
    assert space.encode(space.spec(still)) == still
    assert space.spec(still).key != spec.key
    for each in drawn(space):
        found = space.encode(each)
        assert found is not None
        assert space.spec(found) == each
        assert LossSpec.from_json(json.loads(json.dumps(each.to_json()))).key == each.key


def test_a_step_from_a_schedule_stays_within_the_space(space: SearchSpace) -> None:
    random, parent = np.random.default_rng(0), space.encode(space.portfolio[0])
    assert parent is not None
    stepped = [space.sample(Step(parent, random)) for _ in range(40)]
    assert len(set(stepped)) > 20
    assert all(space.encode(spec) is not None for spec in stepped)


def test_the_json_form_is_the_file(space: SearchSpace, tmp_path: Path) -> None:
    again = made(tmp_path, json.dumps(space.to_json()))
    assert again == space
    assert again.hash == space.hash
    assert space.hash != made(tmp_path, STILL).hash


def test_a_space_without_schedules_is_asked_what_it_was_asked(tmp_path: Path) -> None:
    constant = made(tmp_path, STILL.replace("high: 3.0", "high: 3.0, schedule: [constant]"))
    plain = made(tmp_path, STILL)
    assert constant == plain
    assert constant.hash == plain.hash
    assert drawn(constant) == drawn(plain)
    assert "schedule" not in json.dumps(plain.to_json())


@pytest.mark.parametrize(
    ("range_", "message"),
    [
        ("gamma: {schedule: linear}", ":7: schedule is a list, got 'linear'"),
        ("gamma: {schedule: [lineer]}", ":7: unknown schedule 'lineer'; did you mean linear, cosine?"),
        ("gamma: {low: 2, high: 2, schedule: [linear]}", ":7: focal.gamma needs a range to follow a schedule, got 2"),
        ("gamma: {low: 0, high: 99, schedule: [linear]}", ":7: focal.gamma must lie in [0, 5], got 99"),
        ("gamma: {schedule: [linear, linear]}", ":7: schedule has each name once, got linear again"),
    ],
)
def test_what_a_range_may_say_of_schedules(range_: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(MOVING.replace("gamma: {low: 0.5, high: 3.0, schedule: [constant, linear]}", range_))
    assert message in next(problem.removeprefix(str(path)) for problem in check_space(str(path)))


def test_a_choice_can_follow_no_schedule(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(STILL.replace("squared_hinge: }", "pairwise_auc: {surrogate: {schedule: [linear]}}}"))
    assert "pairwise_auc.surrogate is a choice and can follow no schedule" in check_space(str(path))[0]


def test_in_a_population_alone_and_exported_it_is_one_loss(space: SearchSpace) -> None:
    specs = [spec for spec in dict.fromkeys(drawn(space, 30)) if "progress" in spec.reads][:8]
    assert any(part.scheduled for spec in specs for part in spec.parts)
    source = torch.Generator().manual_seed(0)
    outputs = torch.randn(1, len(specs), 12, generator=source)
    batch = {"target": torch.arange(12)[None] % 2}
    population = PopulationLoss(specs, sizes=Sizes(2))
    for progress in (0.0, 0.4, 1.0):
        together = population(outputs, batch, {}, population.initial[None], progress)[0]
        for spec, output, value in zip(specs, outputs[0], together, strict=True):
            own = ComposedLoss(spec)(output, batch["target"][0], progress=progress)
            namespace: dict[str, type[torch.nn.Module]] = {}
            facts = LossFacts(spec, "binary", classes=2, class_prior=(0.5, 0.5))
            exec(compile(loss_source(facts), "loss.py", "exec"), namespace)
            exported = namespace["Loss"]()(output, batch["target"][0], progress=progress)
            torch.testing.assert_close(value, own)
            torch.testing.assert_close(exported, own)


WIDE = """\
# When should the weights change?
task: multiclass
max_parts: 2
balances: [sum]
slots:
  base:
    terms:
      weighted_cross_entropy: {power: {schedule: {constant: , step: {start: 0, at: [0.6, 0.9]}}}}
    reductions: {mean: , cvar: {low: 0.2, high: 0.8, schedule: {linear: {start: 1, to: [0.3, 0.5]}}}}
  more:
    terms: {focal: {gamma: {schedule: [cyclic]}}}
    weight: {low: 0.5, high: 2, schedule: {constant: , cosine: {start: 0, from: 0.1, to: [0.2, 1]}}}
    weighting: [constant, warm_in]
portfolio:
  - parts: [{term: weighted_cross_entropy, power: {schedule: step, start: 0, end: 1, at: 0.8}}]
"""


def test_a_space_says_when_and_between_what_a_number_moves(tmp_path: Path) -> None:
    space = made(tmp_path, WIDE)
    specs = drawn(space, 200)
    kinds = {own.kind for spec in specs for own in spec.scheduled}
    assert kinds == {"step", "linear", "cosine", "cyclic"}
    for spec in specs:
        assert space.spec(space.encode(spec) or {}) == spec
        for own in spec.scheduled:
            if own.kind == "step":
                assert own.values["start"] == 0
                assert 0.6 <= own.values["at"] <= 0.9
            if own.kind == "linear" and own.values["start"]:  # the other is the weight's warm_in
                assert own.values["start"] == 1
                assert 0.3 <= own.window[1] <= 0.5
            if own.kind == "cosine":
                assert 0.5 <= own.values["end"] <= 2
                assert own.window[0] == 0.1
    assert space.encode(space.portfolio[0]) is not None
    again = made(tmp_path, json.dumps(space.to_json()))
    assert again == space
    assert again.hash == space.hash
    assert drawn(again, 20) == specs[:20]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("at: [0.6, 0.9]", "at: [0.6, 1.9]", "weighted_cross_entropy.power.at must lie in [0, 1], got 1.9"),
        ("at: [0.6, 0.9]", "off: 1", "weighted_cross_entropy.power: the schedule step: unknown key 'off'"),
        ("constant: , step", "constant: [0, 1], step", "constant has the range of the number"),
        (
            "start: 0, from: 0.1",
            "start: 0, from: 0.3",
            "weight: `from < to` must hold of a schedule, got from=0.3, to=0.2",
        ),
        (
            "cosine: {start: 0,",
            "cosine: {start: 0, end: 0,",
            "weight: the schedule cosine must not be 0 at all of its levels",
        ),
        ("[cyclic]", "{cyclic: {cycles: 0}}", "focal.gamma.cycles must lie in [1, 100], got 0"),
        ("balances: [sum]", "balances: {sum: 1}", "sum takes no range, got 1"),
        ("balances: [sum]", "balances: {some: }", "balances: unknown key 'some'; did you mean sum?"),
    ],
)
def test_what_a_schedule_in_a_space_may_say(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in WIDE
    path = tmp_path / "own.yaml"
    path.write_text(WIDE.replace(old, new))
    (problem, *_) = check_space(str(path))
    assert message in problem
    assert "\n" not in problem


def test_ranges_and_schedules_of_balances(tmp_path: Path) -> None:
    balances = "{sum: , dwa: {temperature: {low: 1, high: 4, schedule: [linear]}, window: 20}, famo: {decay: 0}}"
    text = WIDE.replace("balances: [sum]", f"balances: {balances}").replace("more:", "more:\n    required: true")
    space = made(tmp_path, text.split("portfolio")[0])
    specs = drawn(space, 60)
    assert {spec.balance.kind for spec in specs} == {"sum", "dwa", "famo"}
    for spec in specs:
        assert space.spec(space.encode(spec) or {}) == spec
        if spec.balance.kind == "dwa":
            temperature = spec.balance.values["temperature"]
            assert isinstance(temperature, Scheduled)
            assert all(1 <= level <= 4 for level in temperature.levels)
            assert spec.balance.values["window"] == 20
    again = made(tmp_path, json.dumps(space.to_json()))
    assert again == space
    assert again.hash == space.hash


def test_a_loss_of_one_part_has_no_balance(tmp_path: Path) -> None:
    space = made(tmp_path, WIDE.replace("balances: [sum]", "balances: [famo, random]"))
    for spec in drawn(space, 60):
        assert spec.balance.is_sum is (len(spec.parts) == 1)
        assert space.spec(space.encode(spec) or {}) == spec


def test_a_balance_that_needs_terms_above_zero_says_so_of_a_space(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    text = "task: regression\nbalances: [geometric_mean]\nslots: {base: {terms: {general_robust: }}}\n"
    path.write_text(text)
    assert check_space(str(path)) == [
        f"{path}:2: the balance geometric_mean needs terms that are never below zero, got general_robust"
    ]


def test_the_space_of_the_guide_is_valid(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs/search-spaces.md").read_text()
    text = guide.split("## Schedules")[1].split("```yaml\n")[1].split("```")[0]
    specs = drawn(made(tmp_path, text), 100)
    assert {own.kind for spec in specs for own in spec.scheduled} == {"linear", "cosine", "step", "cyclic"}
