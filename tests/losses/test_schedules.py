"""Schedules: their values by formulas written out, windows, constants among them, and one loss in every place."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from losssearch.data.batch import Sizes
from losssearch.errors import SpecError
from losssearch.export.facts import LossFacts
from losssearch.export.source import loss_source
from losssearch.losses.compose import ComposedLoss, compose
from losssearch.losses.domains import Float
from losssearch.losses.population import PopulationLoss
from losssearch.losses.schedule import LEVEL, Scheduled, number_at, read_number, schedule, schedules
from losssearch.losses.spec import LossSpec
from losssearch.training.boosting.pieces import kind_of

TIMES = [0.0, 0.1, 0.24, 0.25, 0.5, 0.7, 0.9, 1.0]
RANGE = Float(0.0, 5.0, default=1.0)
OWN: dict[str, dict[str, Any]] = {
    "linear": {},
    "cosine": {},
    "step": {"at": 0.25},
    "cyclic": {"cycles": 2, "peak": 0.25},
}
FORMULAS = {
    "linear": lambda p: p,
    "cosine": lambda p: (1 - math.cos(math.pi * p)) / 2,
    "step": lambda p: float(p >= 0.25),
    "cyclic": lambda p: min((2 * p % 1) / 0.25, (1 - 2 * p % 1) / 0.75),
}


def moving(kind: str, **more: Any) -> dict[str, Any]:
    return {"schedule": kind, "start": 3.0, "end": 0.5, **OWN[kind], **more}


def at(data: dict[str, Any], progress: float) -> float:
    number = read_number("gamma", data, RANGE)
    assert isinstance(number, Scheduled)
    numbers = {name: torch.tensor(float(value)) for name, value in number.values.items()}
    return float(number_at("", number, {f".{k}": v for k, v in numbers.items()}, torch.tensor(progress)))


def test_every_schedule_has_a_formula_here() -> None:
    assert set(FORMULAS) == set(schedules)


@pytest.mark.parametrize("kind", FORMULAS)
@pytest.mark.parametrize("window", [(0.0, 1.0), (0.2, 0.6)])
def test_values_are_those_of_the_formula(kind: str, window: tuple[float, float]) -> None:
    first, last = window
    for progress in TIMES:
        share = min(max((progress - first) / (last - first), 0.0), 1.0)
        expected = 3.0 + (0.5 - 3.0) * FORMULAS[kind](share)
        found = at(moving(kind, **({"from": first, "to": last} if window != (0.0, 1.0) else {})), progress)
        assert found == pytest.approx(expected, abs=1e-5)


def spec(gamma: object, **more: Any) -> LossSpec:
    return LossSpec.from_json({"parts": [{"term": "focal", "gamma": gamma, **more}]})


@pytest.mark.parametrize("kind", FORMULAS)
def test_the_same_number_at_both_ends_is_that_constant(kind: str) -> None:
    still = spec({**moving(kind), "start": 1.5, "end": 1.5, "from": 0.2})
    assert still.key == spec(1.5).key
    assert still.to_json() == spec(1.5).to_json()
    assert "progress" not in still.reads
    weighed = spec(1.0, weight={**moving(kind), "start": 2.0, "end": 2.0})
    assert weighed == spec(1.0)
    share = spec(1.0, reduction={"cvar": {**moving(kind), "start": 0.5, "end": 0.5}})
    assert share == spec(1.0, reduction={"cvar": 0.5})


def test_a_schedule_over_the_whole_training_is_the_same_with_and_without_its_window() -> None:
    assert spec(moving("linear", **{"from": 0, "to": 1})).key == spec(moving("linear")).key
    assert spec(moving("linear", **{"from": 0.1})).key != spec(moving("linear")).key
    assert spec(moving("step")).key != spec(moving("step", at=0.5)).key
    assert spec({"schedule": "step", "start": 3.0, "end": 0.5}).key == spec(moving("step", at=0.5)).key


def test_formulas_and_json_say_when() -> None:
    windowed = spec(moving("cosine", **{"from": 0.25}))
    assert windowed.formula() == "focal(gamma=cosine(3→0.5) in [0.25, 1])"
    assert spec(moving("step")).formula() == "focal(gamma=3→0.5 at 0.25)"
    assert spec(moving("cyclic")).formula() == "focal(gamma=3→0.5→3 x2)"
    assert LossSpec.from_json(windowed.to_json()).key == windowed.key
    assert windowed.to_json()["parts"][0]["gamma"] == {
        "schedule": "cosine", "start": 3.0, "end": 0.5, "from": 0.25, "to": 1.0,
    }  # fmt: skip


def test_in_a_population_alone_and_exported_it_is_one_loss() -> None:
    """Hyperparameters, weights and shares, with and without windows; members of one kind at different numbers."""
    window = {"from": 0.2, "to": 0.7}
    specs = [spec(moving(kind, **more)) for kind in FORMULAS for more in ({}, window, {"from": 0.5})]
    specs += [spec(1.0, reduction={"cvar": {**moving("linear", **window), "start": 1.0, "end": 0.3}})]
    specs += [
        LossSpec.from_json(
            {"parts": [{"term": "cross_entropy"}, {"term": "focal", "weight": moving(kind, start=0.0, **window)}]}
        )
        for kind in FORMULAS
    ]
    source = torch.Generator().manual_seed(0)
    outputs, labels = torch.randn(1, len(specs), 12, 3, generator=source), torch.arange(12)[None] % 3
    population = PopulationLoss(specs, sizes=Sizes(3))
    loaded = []
    for own in specs:
        namespace: dict[str, type[torch.nn.Module]] = {}
        facts = LossFacts(own, "multiclass", classes=3, class_prior=(0.2, 0.3, 0.5))
        exec(compile(loss_source(facts), "loss.py", "exec"), namespace)
        loaded.append(namespace["Loss"]())
    for progress in (0.0, 0.15, 0.3, 0.65, 1.0):
        together = population(outputs, {"target": labels}, {}, population.initial[None], progress)[0]
        for own, exported, output, value in zip(specs, loaded, outputs[0], together, strict=True):
            searched = ComposedLoss(own)(output, labels[0], progress=progress)
            torch.testing.assert_close(value, searched, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(exported(output, labels[0], progress=progress), searched, rtol=1e-5, atol=1e-6)


def test_deferred_re_weighting_is_the_plain_loss_first_and_the_weighted_one_later() -> None:
    power = {"schedule": "step", "start": 0.0, "end": 1.0, "at": 0.8}
    prior = torch.tensor([0.7, 0.2, 0.1])
    loss = compose({"parts": [{"term": "weighted_cross_entropy", "power": power}]}, class_prior=prior)
    output, labels = torch.randn(9, 3, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 3
    plain = torch.nn.functional.cross_entropy(output, labels)
    whole = compose({"parts": [{"term": "weighted_cross_entropy", "power": 1.0}]}, class_prior=prior)(output, labels)
    torch.testing.assert_close(loss(output, labels, progress=0.79), plain)
    torch.testing.assert_close(loss(output, labels, progress=0.8), whole)
    assert not torch.isclose(plain, whole)


def test_trees_look_at_every_time_of_a_schedule_that_turns() -> None:
    """Cross-entropy is convex, generalised cross-entropy with a larger q is not; which it is late, the middle hides."""
    late = {"schedule": "step", "start": 0.01, "end": 1.0, "at": 0.9}
    early = LossSpec.from_json({"parts": [{"term": "generalised_cross_entropy", "q": 0.01}]})
    sizes = Sizes(2)
    later = LossSpec.from_json({"parts": [{"term": "generalised_cross_entropy", "q": late}]})
    assert kind_of(later, {}, sizes) == "bent"
    huber = LossSpec.from_json({"parts": [{"term": "focal", "gamma": {**late, "start": 0.0, "end": 5.0}}]})
    assert kind_of(LossSpec.from_json({"parts": [{"term": "focal", "gamma": 0.0}]}), {}, sizes) == "convex"
    assert kind_of(huber, {}, sizes) == "bent"
    assert early != later


def test_a_schedule_may_not_declare_the_names_of_the_window() -> None:
    with pytest.raises(SpecError, match="every schedule has from and to: give to of own_odd another name"):

        @schedule(formula="{start}", start=LEVEL, to=Float(0.0, 1.0, default=0.5))
        def own_odd(progress: torch.Tensor, *, start: torch.Tensor, to: torch.Tensor) -> torch.Tensor:
            """Odd."""
            return start + 0 * progress * to

    assert "own_odd" not in schedules
