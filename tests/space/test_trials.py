"""Random answers, and steps from known ones."""

from collections.abc import Mapping

import numpy as np
import pytest

from losssearch.space import RandomTrial, Step, load_space

PARENT = {"base.term": "focal", "base.focal.gamma": 2.0, "auxiliary": "present", "auxiliary.term": "soft_f1"}


def test_draws_cover_the_range_evenly_on_its_scale() -> None:
    trial = RandomTrial(np.random.default_rng(0))
    flat = np.array([trial.suggest_float("x", 2.0, 4.0) for _ in range(4000)])
    log = np.log10([trial.suggest_float("x", 0.01, 100.0, log=True) for _ in range(4000)])
    # A uniform variable on [0, 1] has mean 1/2 and standard deviation 1/√12.
    for share in ((flat - 2) / 2, (log + 2) / 4):
        assert share.mean() == pytest.approx(0.5, abs=0.02)
        assert share.std() == pytest.approx(12**-0.5, abs=0.02)
        assert 0 <= share.min() < 0.01 < 0.99 < share.max() <= 1
    assert {trial.suggest_int("x", 1, 3) for _ in range(50)} == {1, 2, 3}
    assert {trial.suggest_categorical("x", "abc") for _ in range(50)} == {"a", "b", "c"}


def steps(count: int, *, redrawn: bool, parent: Mapping[str, object] = PARENT) -> list[Step]:
    random = np.random.default_rng(0)
    found = [Step(parent, random) for _ in range(6 * count)]
    return [step for step in found if (step.redrawn is not None) == redrawn][:count]


def test_a_step_moves_numbers_a_little_and_keeps_choices() -> None:
    moving = steps(1000, redrawn=False)
    assert {step.suggest_categorical("base.term", ("cross_entropy", "focal")) for step in moving} == {"focal"}
    moved = [step.suggest_float("base.focal.gamma", 0.0, 5.0) for step in moving]
    assert 2.0 not in moved
    assert np.std(moved) == pytest.approx(Step.SIZE * 5, rel=0.1)
    assert 0 <= min(moved) < 1 < 3 < max(moved) <= 5


def test_steps_at_the_end_of_a_range_turn_back() -> None:
    values = [
        step.suggest_float("base.x", 1.0, 100.0, log=True)
        for step in steps(200, redrawn=False, parent={"base.x": 100.0})
    ]
    assert min(values) > 10
    assert max(values) < 100.0


def test_steps_of_whole_numbers_are_whole_and_inside() -> None:
    moving = steps(200, redrawn=False, parent={"base.n": 3})
    assert {step.suggest_int("base.n", 3, 9) for step in moving} == {3, 4, 5, 6}


def test_a_redrawn_slot_leaves_the_others_as_they_are() -> None:
    slots = {step.redrawn: step for step in steps(50, redrawn=True)}
    assert set(slots) == {"base", "auxiliary"}
    kept = slots["auxiliary"]
    assert {kept.suggest_float("base.focal.gamma", 0.0, 5.0) for _ in range(10)} == {2.0}
    assert {kept.suggest_categorical("auxiliary", ("absent", "present")) for _ in range(20)} == {"absent", "present"}


def test_steps_give_valid_specs_near_the_parent() -> None:
    space = load_space("binary")
    random = np.random.default_rng(0)
    for _ in range(50):
        parent = space.encode(space.sample(RandomTrial(random)))
        assert parent is not None
        step = Step(parent, random)
        spec = space.sample(step)
        if step.redrawn is None:
            assert {part.name for part in spec.parts} == {part.name for part in space.spec(parent).parts}
