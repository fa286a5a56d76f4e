"""Terms that another process declared: a worker takes them over, and its own declaration comes before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from losssearch.errors import SpecError
from losssearch.execution.portable import PortableTerm
from losssearch.losses import loss_term, term
from losssearch.losses.domains import Float
from losssearch.losses.state import Learned


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
