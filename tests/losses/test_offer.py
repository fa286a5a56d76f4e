"""Names of its own that a kind of task offers to terms: a rate that depends on an exposure and on a fact."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

import losssearch as ls
from losssearch.data.batch import Field, Groups, Sizes, declare_field, field_of, require_known
from losssearch.errors import DataError, SpecError
from losssearch.losses import term as term_module
from losssearch.losses.compose import ComposedLoss
from losssearch.losses.inputs import STANDARD
from losssearch.losses.offer import Offer, Provider
from losssearch.losses.population import PopulationLoss
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.term import loss_term
from losssearch.tasks import get_task
from losssearch.training.boosting.objective import Objective
from losssearch.training.boosting.pieces import pieces_of

REPLICAS, MEMBERS, BATCH = 2, 3, 7


def log_rate(output: Tensor, batch: dict[str, Tensor], facts: dict[str, Tensor]) -> Tensor:
    return output.reshape(output.shape[0]) + batch["exposure"].to(output.dtype).log() + facts["base_rate"]


def spread(batch: dict[str, Tensor], sizes: Sizes, row_axis: int) -> Tensor:
    return batch["exposure"].std(row_axis)


def spread_of(output: Tensor, batch: dict[str, Tensor], facts: dict[str, Tensor]) -> Tensor:
    return batch["spread"].to(output.dtype)


OFFER: Offer = STANDARD | {
    "log_rate": Provider(
        log_rate, "logarithm of the rate [batch]", fields=("exposure",), facts=("base_rate",), ask="exposure [batch]"
    ),
    "spread": Provider(spread_of, "spread of exposures, scalar", fields=("exposure",), once=spread, per_sample=False),
}


@pytest.fixture
def spec() -> Iterator[LossSpec]:
    @loss_term(reference="made up", nonnegative=False)
    def counted(log_rate: Tensor, target: Tensor, spread: Tensor) -> Tensor:
        """Poisson deviance of counts, over the spread of exposures."""
        return (log_rate.exp() - target * log_rate) / spread

    yield LossSpec((Part(counted.name),))
    del term_module._registry[counted.name]


def given(seed: int = 0) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    source = torch.Generator().manual_seed(seed)
    batch = {
        "target": torch.randint(5, (REPLICAS, BATCH), generator=source).double(),
        "exposure": torch.rand(REPLICAS, BATCH, generator=source).double() + 0.5,
    }
    outputs = torch.randn(REPLICAS, MEMBERS, BATCH, generator=source, dtype=torch.float64)
    return outputs, batch, {"base_rate": torch.tensor([0.3, -0.2], dtype=torch.float64)}


def by_hand(output: Tensor, batch: dict[str, Tensor], facts: dict[str, Tensor]) -> Tensor:
    rate = output + batch["exposure"].log() + facts["base_rate"]
    return ((rate.exp() - batch["target"] * rate) / batch["exposure"].std()).mean()


def test_a_population_and_a_composed_loss_read_them(spec: LossSpec) -> None:
    outputs, batch, facts = given()
    population = PopulationLoss([spec] * MEMBERS, offer=OFFER)
    learned = population.initial.expand(REPLICAS, -1, -1)
    values = population(outputs, batch, facts, learned, 0.0)
    for step in range(3):  # recorded once, then repeated on other numbers
        outputs, batch, facts = given(step)
        slopes, _, _ = population.slopes(outputs, batch, facts, learned, 0.0)
        values = population(outputs, batch, facts, learned, 0.0)
        for r in range(REPLICAS):
            own, known = {name: value[r] for name, value in batch.items()}, {"base_rate": facts["base_rate"][r]}
            loss = ComposedLoss(spec, facts=known, offer=OFFER).double()
            for k in range(MEMBERS):
                leaf = outputs[r, k].clone().requires_grad_()
                expected = by_hand(leaf, own, known)
                (slope,) = torch.autograd.grad(expected, leaf)
                torch.testing.assert_close(
                    loss(outputs[r, k], own["target"], exposure=own["exposure"]), expected.detach()
                )
                torch.testing.assert_close(values[r, k], expected.detach(), rtol=1e-6, atol=1e-7)
                torch.testing.assert_close(slopes[r, k], slope, rtol=1e-6, atol=1e-7)


def test_trees_read_them(spec: LossSpec) -> None:
    outputs, batch, facts = given()
    own, known = {name: value[0] for name, value in batch.items()}, {"base_rate": facts["base_rate"][0]}
    made = Objective(pieces_of(spec, known, Sizes(), OFFER), own, classes=0, rounds=10)
    slope, _ = made(outputs[0, 0].numpy())
    leaf = outputs[0, 0].clone().requires_grad_()
    (expected,) = torch.autograd.grad(BATCH * by_hand(leaf, own, known), leaf)
    torch.testing.assert_close(torch.from_numpy(made.unit * slope), expected)


def test_what_a_kind_does_not_offer_is_named(spec: LossSpec) -> None:
    message = "reads log_rate, spread, which this kind of task does not offer; it offers: logits, "
    with pytest.raises(SpecError, match=message):
        PopulationLoss([spec])
    with pytest.raises(SpecError, match=message):
        ComposedLoss(spec)


def test_what_is_missing_is_asked_for(spec: LossSpec) -> None:
    outputs, batch, facts = given()
    population = PopulationLoss([spec] * MEMBERS, offer=OFFER)
    learned = population.initial.expand(REPLICAS, -1, -1)
    bare = {"target": batch["target"]}
    with pytest.raises(SpecError, match=r"reads log_rate: give exposure \[batch\]"):
        population(outputs, bare, facts, learned, 0.0)
    with pytest.raises(SpecError, match=r"reads log_rate: give exposure \[batch\]"):
        population(outputs, batch, {}, learned, 0.0)


def test_what_no_term_reads_is_refused() -> None:
    loss = ComposedLoss(LossSpec((Part("squared"),)))
    with pytest.raises(SpecError, match="no term of this loss reads grup; its terms read: target"):
        loss(torch.ones(3), torch.zeros(3), grup=torch.zeros(3))


def test_a_loss_that_fits_classes_and_numbers_is_taken_for_one_of_classes() -> None:
    data = {"parts": [{"term": "attribute_correlation"}]}
    outputs, group = torch.tensor([3.0, -1.0, 0.5, -4.0]), torch.tensor([[1.0], [0.0], [1.0], [0.0]])
    target = torch.zeros(4)
    by_default = ls.compose(data, groups=1)(outputs, target, group=group)
    numbers = ls.compose(data, groups=1, offer=get_task("regression").offer)(outputs, target, group=group)
    classes = ls.compose(data, groups=1, offer=get_task("binary").offer)(outputs, target, group=group)
    correlated = torch.corrcoef(torch.stack((outputs.sigmoid(), group[:, 0])))[0, 1].square()
    torch.testing.assert_close(by_default, classes)
    torch.testing.assert_close(by_default, correlated)
    torch.testing.assert_close(numbers, torch.corrcoef(torch.stack((outputs, group[:, 0])))[0, 1].square())


def test_only_what_is_read_is_made() -> None:
    def never(output: Tensor, batch: dict[str, Tensor], facts: dict[str, Tensor]) -> Tensor:
        raise AssertionError

    offer = STANDARD | {"other": Provider(never, "never read")}
    loss = PopulationLoss([LossSpec((Part("squared"),))], sizes=Sizes(sensitive=Groups(2)), offer=offer)
    batch = {"target": torch.zeros(1, 4)}
    assert float(loss(torch.ones(1, 1, 4), batch, {}, loss.initial[None], 0.0)) == 1.0


def test_fields_are_declared_once() -> None:
    assert field_of("target").axis == "row"
    assert field_of("class_prior").axis is None
    with pytest.raises(DataError, match="a second 'target'"):
        declare_field(Field("target", "query", "another"))
    with pytest.raises(DataError, match="got 'exposures': declare it first"):
        require_known({"exposures": torch.zeros(2)})
    with pytest.raises(DataError, match="a fact has no axis, and 'target' is declared otherwise"):
        require_known({"target": torch.zeros(2)}, facts=True)
