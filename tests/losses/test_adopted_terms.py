"""What another process declared: a worker takes it over, and its own declaration comes before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor

from losssearch.errors import SpecError
from losssearch.execution import portable
from losssearch.execution.job import Job
from losssearch.execution.portable import PortableRecord, PortableTerm
from losssearch.losses import loss_term, record, term
from losssearch.losses.domains import Float
from losssearch.losses.schedule import LEVEL
from losssearch.losses.state import Learned, State
from losssearch.training import TrainingPlan


def scaled_hinge(logit: Tensor, labels: Tensor, *, size: Tensor, bias: Tensor) -> Tensor:
    """A hinge of a width of its own."""
    return torch.relu(1 - size * (2 * labels - 1) * (logit + bias))


DECLARED = {
    "reference": "made up",
    "shift_invariant": False,
    "size": Float(0.5, 2.0, default=1.0),
    "bias": Learned(0.1),
}


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    term._registry.pop("scaled_hinge", None)
    term._adopted.discard("scaled_hinge")


def test_a_term_arrives_with_all_that_was_declared() -> None:
    there = loss_term(**DECLARED)(scaled_hinge)
    parcel = PortableTerm.of(there)
    term._registry.pop("scaled_hinge")  # as in a process that never heard of it
    parcel.enter()
    assert term.registry["scaled_hinge"] == there


def test_entering_twice_changes_nothing() -> None:
    parcel = PortableTerm.of(loss_term(**DECLARED)(scaled_hinge))
    first = term.registry["scaled_hinge"]
    parcel.enter()
    assert term.registry["scaled_hinge"] is first
    with pytest.raises(SpecError, match="term names must be unique"):
        loss_term(**DECLARED)(scaled_hinge)


def test_a_declaration_of_ones_own_takes_the_place_of_an_adopted_one() -> None:
    term.adopt_term(scaled_hinge, DECLARED)
    other = loss_term(**{**DECLARED, "reference": "the module itself"})(scaled_hinge)
    assert term.registry["scaled_hinge"] is other


def lifted(value: Tensor, *, floor: Tensor, share: Tensor) -> Tensor:
    """A weight of at least a floor."""
    return torch.maximum(share, floor) * value


def stairs(progress: Tensor, *, start: Tensor, steps: Tensor) -> Tensor:
    """Goes down in steps."""
    return start * (1 - torch.floor(progress * steps) / steps)


def root(losses: Tensor, sample_weight: Tensor | None, *, power: Tensor) -> Tensor:
    """A mean of powers."""
    return losses.clamp(min=1e-6).pow(power).mean()


def shares(values: Tensor) -> Tensor:
    """The largest part."""
    return values.max()


RECORDS: list[tuple[str, Callable[..., Tensor], dict[str, Any]]] = [
    (
        "weighting",
        lifted,
        {"formula": "up {part}", "affine": True, "floor": Float(0, 1, default=0.1), "share": State((), 1.0)},
    ),
    ("schedule", stairs, {"formula": "{start} in {steps}", "start": LEVEL, "steps": Float(1, 9, default=3)}),
    ("reduction", root, {"formula": "root {part}", "reference": "made up", "power": Float(0.5, 2, default=1)}),
    ("balance", shares, {"formula": "most {part}", "latex": "m"}),
]


@pytest.mark.parametrize(("what", "function", "declared"), RECORDS, ids=[what for what, _, _ in RECORDS])
def test_another_record_arrives_with_all_that_was_declared(
    what: str, function: Callable[..., Tensor], declared: dict[str, Any]
) -> None:
    declare, _ = portable._DECLARED[what]
    module: Any = import_module(f"losssearch.losses.{what}")
    name = function.__name__
    try:
        there = declare(**declared)(function)
        parcel = PortableRecord.of(there)
        parcel.enter()
        assert module._registry[name] is there
        del module._registry[name]  # as in a process that never heard of it
        parcel.enter()
        assert module._registry[name] == there
        assert portable.foreign_records(job_of([])) == []
        again = declare(**declared)(function)  # as where the module is imported after all
        assert module._registry[name] is again
        record._adopted.discard((what, name))
        with pytest.raises(SpecError, match="must be unique"):
            declare(**declared)(function)
    finally:
        module._registry.pop(name, None)
        record._adopted.discard((what, name))


def test_the_records_of_a_job_are_those_that_its_losses_use() -> None:
    declared = [portable._DECLARED[what][0](**given)(function) for what, function, given in RECORDS]
    spec = {
        "parts": [
            {"term": "huber", "reduction": {"root": 1.5}, "weight": {"weighting": "lifted", "floor": 0.2}},
            {"term": "absolute", "weight": {"schedule": "stairs", "start": 1.0, "steps": 2.0}},
        ],
        "balance": "shares",
    }
    try:
        assert portable.foreign_records(job_of([spec])) == declared
        assert portable.foreign_records(job_of([{"parts": spec["parts"][1:]}])) == declared[1:2]
        assert portable.foreign_records(job_of([{"parts": [{"term": "huber"}]}])) == []
    finally:
        for what, function, _ in RECORDS:
            module: Any = import_module(f"losssearch.losses.{what}")
            module._registry.pop(function.__name__, None)


def job_of(specs: list[dict[str, Any]]) -> Job:
    candidates = tuple((spec, (0.01,), False) for spec in specs)
    return Job(0, "a", candidates, "regression", "rmse", "mlp", TrainingPlan(epochs=1, batch_size=1))
