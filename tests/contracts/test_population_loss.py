"""The contract of `PopulationLoss`: it is `ComposedLoss`, member by member and replica by replica.

Value and gradients, by the outputs and by what is learned, for every term, reduction and weighting.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from losssearch.data.batch import Groups, Sizes
from losssearch.errors import SpecError
from losssearch.losses import terms
from losssearch.losses.compose import ComposedLoss
from losssearch.losses.domains import Choice, Domain, Tree
from losssearch.losses.inputs import STANDARD
from losssearch.losses.kept import Kept, kept_states
from losssearch.losses.offer import Offer
from losssearch.losses.population import PopulationLoss
from losssearch.losses.population_step import States
from losssearch.losses.reduction import Reduction
from losssearch.losses.schedule import Scheduled
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.weighting import Weighting
from losssearch.tasks import TASKS
from tests.contracts.named_tensors import DOCUMENTS, TARGETS_OF, own_fields

REPLICAS, BATCH, ROWS, CLASSES, GROUPS = 2, 14, 20, 4, 3
PROGRESS = 0.3
TREES = (
    "square(sub(output, target))",
    "log(add(1, exp(mul(-1, mul(output, target)))))",
    "add(abs(sub(output, target)), mul(0.2, square(output)))",
    "max(tanh(square(output)), root(target))",
)
COUNTED = {"binary": 2, "multiclass": CLASSES, "ordinal": CLASSES}
"""Tasks with classes, and how many there are here."""


def linear(start: float, end: float) -> Scheduled:
    return Scheduled.of("linear", start=start, end=end)


every_task = pytest.mark.parametrize("task", list(TASKS))


@dataclass
class Inputs:
    outputs: Tensor
    learned: Tensor
    batch: dict[str, Tensor]
    facts: dict[str, Tensor]

    def of(self, r: int) -> dict[str, Tensor]:
        """What a composed loss takes by keyword of one replica."""
        own = {name: value[r] for name, value in (self.batch | self.facts).items()}
        del own["target"]
        return own


def inputs(task: str, population: PopulationLoss, source: torch.Generator) -> Inputs:
    classes = COUNTED.get(task, 0)
    members, width = len(population.specs), TASKS[task].of_size(DOCUMENTS).width(classes)
    lead = (REPLICAS, members, BATCH)
    shape = lead if width == 1 else (*lead, width)
    prior = torch.rand(REPLICAS, classes, generator=source, dtype=torch.float64) + 0.1
    labels = torch.randint(max(classes, 1), (REPLICAS, BATCH), generator=source)
    number = torch.randn(REPLICAS, BATCH, generator=source, dtype=torch.float64)
    noise = torch.randn(REPLICAS, *population.initial.shape, generator=source, dtype=torch.float64)
    return Inputs(
        outputs=torch.randn(shape, generator=source, dtype=torch.float64).requires_grad_(),
        learned=(population.initial + noise).requires_grad_(),
        batch={
            "target": labels if classes else TARGETS_OF.get(task, lambda shape, source: number)(number.shape, source),
            "group": torch.randint(GROUPS, (REPLICAS, BATCH), generator=source),
            "features": torch.randn(REPLICAS, BATCH, 2, generator=source, dtype=torch.float64),
            "index": torch.stack([torch.randperm(ROWS, generator=source)[:BATCH] for _ in range(REPLICAS)]),
            **own_fields(task, (REPLICAS, BATCH), source),
        },
        facts={
            "class_prior": prior / prior.sum(-1, keepdim=True),
            "zero": -torch.rand(REPLICAS, generator=source, dtype=torch.float64),
        },
    )


def blank(population: PopulationLoss) -> States:
    """What is carried at the start, in double precision."""
    return tuple(state.double() for state in population.start([0] * REPLICAS))


def learned_of(spec: LossSpec) -> list[Kept]:
    return [kept for kept in kept_states(spec, Sizes()) if kept.state.optimised]


def together(population: PopulationLoss, given: Inputs, progress: float = PROGRESS) -> tuple[Tensor, Tensor, Tensor]:
    """Of the second of two equal batches, so that what terms carry from batch to batch is not zero."""
    batch = (given.outputs, given.batch, given.facts, given.learned, progress)
    states = population.next_states(*batch, blank(population))
    values = population(*batch, states=states)
    gradients = torch.autograd.grad(values.sum(), (given.outputs, given.learned), materialize_grads=True)
    return values.detach(), *gradients


def alone(
    spec: LossSpec, given: Inputs, r: int, k: int, progress: float = PROGRESS, offer: Offer = STANDARD
) -> tuple[Tensor, Tensor, Tensor]:
    """Value and gradients of one member of one replica, by a module of its own."""
    loss = ComposedLoss(spec, groups=GROUPS, classes=classes_of(given), offer=offer, rows=ROWS).double()
    names = [kept.key for kept in learned_of(spec)]
    assert set(names) == set(loss.learned)
    parameters = [loss.learned[name] for name in names]
    with torch.no_grad():
        begins = [0]
        for parameter in parameters:
            begins.append(begins[-1] + parameter.numel())
            parameter.copy_(given.learned[r, k, begins[-2] : begins[-1]].view_as(parameter))
    output = given.outputs[r, k].detach().requires_grad_()
    target, more = given.batch["target"][r], given.of(r)
    loss(output, target, progress=progress, **more)
    value = loss(output, target, progress=progress, **more)
    gradient, *learned = torch.autograd.grad(value, (output, *parameters), materialize_grads=True)
    filled = torch.zeros_like(given.learned[r, k])
    for begin, slope in zip(begins, learned, strict=False):
        filled[begin : begin + slope.numel()] = slope.reshape(-1)
    return value.detach(), gradient, filled


def classes_of(given: Inputs) -> int:
    return max(given.facts["class_prior"].shape[-1], 2)


def population_of(task: str, specs: Sequence[LossSpec]) -> PopulationLoss:
    sizes = Sizes(COUNTED.get(task, 2), Groups(GROUPS), rows=ROWS)
    return PopulationLoss(specs, sizes=sizes, offer=TASKS[task].offer)


def check(task: str, specs: Sequence[LossSpec], seed: int = 0) -> None:
    population = population_of(task, specs)
    given = inputs(task, population, torch.Generator().manual_seed(seed))
    found = together(population, given)
    assert found[0].shape == (REPLICAS, len(specs))
    for r in range(REPLICAS):
        for k, spec in enumerate(specs):
            own = alone(spec, given, r, k, offer=population.offer)
            for ours, expected in zip((part[r, k] for part in found), own, strict=True):
                # a population holds its numbers in single precision, as it trains
                torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-7)


def drawn_part(name: str, source: torch.Generator, *, plain: bool = False) -> Part:
    """A part at random settings, with a random reduction and weighting unless ``plain``."""

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=source))

    def pick(count: int) -> int:
        return int(torch.randint(count, (), generator=source))

    def setting(domain: Domain) -> float | str:
        if isinstance(domain, Tree):
            return TREES[pick(len(TREES))]
        return (
            domain.options[pick(len(domain.options))]
            if isinstance(domain, Choice)
            else uniform(domain.low, domain.high)
        )

    hyper = {key: setting(domain) for key, domain in terms[name].domains.items()}
    if plain:
        return Part(name, hyper, scale=uniform(0.3, 3))
    weight = uniform(0.2, 2)
    return Part(
        name,
        hyper,
        (
            Weighting(weight=weight),
            Weighting(weight=linear(weight, uniform(0, 2))),
            Weighting("uncertainty"),
        )[pick(3)],
        Reduction("cvar", share=uniform(0.1, 1)) if terms[name].per_sample and pick(2) else Reduction(),
        uniform(0.3, 3),
    )


def fitting(task: str) -> list[str]:
    return [name for name, term in terms.items() if term.fits(TASKS[task].with_groups().offers)]


@pytest.mark.parametrize(("task", "name"), [(task, name) for task in TASKS for name in fitting(task)])
def test_every_term_equals_itself_alone(task: str, name: str) -> None:
    source = torch.Generator().manual_seed(1)
    check(task, [LossSpec((drawn_part(name, source, plain=True),)) for _ in range(3)])


@every_task
@pytest.mark.parametrize("seed", range(6))
def test_mixed_specs_equal_themselves_alone(task: str, seed: int) -> None:
    """One to three parts each, over all reductions and weightings, some kinds shared and some not."""
    source, names = torch.Generator().manual_seed(seed), fitting(task)
    specs = []
    for member in range(8):
        chosen = torch.randperm(len(names), generator=source)[: 1 + member % 3]
        specs.append(LossSpec(tuple(drawn_part(names[int(i)], source) for i in chosen)))
    check(task, specs, seed)


def test_the_draws_cover_every_weighting_and_reduction() -> None:
    source = torch.Generator().manual_seed(0)
    drawn = [drawn_part("huber", source) for _ in range(48)]
    assert len({(p.weighting.kind, p.reads_progress, p.reduction.kind) for p in drawn}) == 6


@pytest.mark.parametrize("members", [1, 2])
def test_two_members_of_one_spec_are_equal(members: int) -> None:
    spec = LossSpec((Part("focal"), Part("ldam", {}, Weighting("uncertainty"))))
    check("multiclass", [spec] * members)


def test_one_term_may_stand_in_a_loss_twice() -> None:
    """Then a group has more entries of one member than of another."""
    uncertain = Weighting("uncertainty")
    twice = LossSpec((Part("huber", {"delta": 0.2}, uncertain), Part("huber", {"delta": 2.0}, uncertain)))
    check("regression", [twice, LossSpec((Part("squared"),))])
    check("regression", [LossSpec((Part("huber", {"delta": 1.0}, uncertain),)), twice, twice])


@every_task
def test_members_without_learned_scalars_need_none(task: str) -> None:
    population = population_of(task, [TASKS[task].plain.spec()] * 2)
    assert population.initial.shape == (2, 0)
    check(task, population.specs)


def test_initial_scalars_are_padded_to_the_longest() -> None:
    robust = LossSpec((Part("general_robust", {}, Weighting("uncertainty")), Part("squared")))
    plain = LossSpec((Part("squared"),))
    initial = [float(kept.start()) for kept in learned_of(robust)]
    assert len(initial) == 3
    assert PopulationLoss([robust, plain]).initial.tolist() == [initial, [0.0] * 3]


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_progress_reaches_every_member(progress: float) -> None:
    specs = [
        LossSpec((Part("squared", {}, Weighting(weight=linear(start, end))),))
        for start, end in [(1.0, 0.0), (0.5, 2.0)]
    ]
    population = PopulationLoss(specs)
    given = inputs("regression", population, torch.Generator().manual_seed(0))
    values, gradients, _ = together(population, given, progress)
    for k, spec in enumerate(specs):
        value, gradient, _ = alone(spec, given, 1, k, progress)
        torch.testing.assert_close(values[1, k], value)
        torch.testing.assert_close(gradients[1, k], gradient)


@every_task
@pytest.mark.parametrize("poison", [torch.nan, torch.inf, -torch.inf, 1e300])
def test_a_member_that_is_not_finite_changes_no_other(task: str, poison: float) -> None:
    """To the bit, values and gradients; also for members that share all of its terms."""
    source, names = torch.Generator().manual_seed(5), fitting(task)
    mixed = [LossSpec(tuple(drawn_part(name, source) for name in names[at : at + 2])) for at in range(0, len(names), 2)]
    population = population_of(task, [mixed[0], *mixed])
    given = inputs(task, population, source)
    before = together(population, given)
    with torch.no_grad():
        given.outputs[:, 0] = poison
        given.learned[:, 0] = poison
    after = together(population, given)
    for clean, poisoned in zip(before, after, strict=True):
        torch.testing.assert_close(poisoned[:, 1:], clean[:, 1:], rtol=0, atol=0)


@every_task
@pytest.mark.parametrize("seed", range(2))
def test_weights_are_those_of_the_composed_loss(task: str, seed: int) -> None:
    """Value, gradient and memory, for every term that the task fits."""
    source, names = torch.Generator().manual_seed(seed), fitting(task)
    specs = [LossSpec((drawn_part(name, source),)) for name in names if terms[name].takes_weights]
    population = population_of(task, specs)
    given = inputs(task, population, source)
    weight = torch.randint(4, (REPLICAS, BATCH), generator=source).double()
    given.batch["weight"] = weight
    batch = (given.outputs, given.batch, given.facts, given.learned, PROGRESS)
    states = population.next_states(*batch, blank(population))
    values = population(*batch, states=states)
    (slopes,) = torch.autograd.grad(values.sum(), given.outputs)
    for k, spec in enumerate(specs):
        for r in range(REPLICAS):
            sizes = {"groups": GROUPS, "classes": classes_of(given), "rows": ROWS}
            loss = ComposedLoss(spec, offer=population.offer, **sizes).double()
            scalars = [kept.key for kept in learned_of(spec)]
            with torch.no_grad():
                begin = 0
                for name in scalars:
                    own = loss.learned[name]
                    own.copy_(given.learned[r, k, begin : begin + own.numel()].view_as(own))
                    begin += own.numel()
            output = given.outputs[r, k].detach().requires_grad_()
            target, own = given.batch["target"][r], given.of(r)
            loss(output, target, progress=PROGRESS, **own)
            value = loss(output, target, progress=PROGRESS, **own)
            (slope,) = torch.autograd.grad(value, output)
            torch.testing.assert_close(values[r, k], value, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(slopes[r, k], slope, rtol=1e-5, atol=1e-7)


def test_a_term_that_cannot_weigh_samples_is_named() -> None:
    population = PopulationLoss([LossSpec((Part("squared"),))])
    population.check_weights()
    unable = dataclasses.replace(terms["soft_f1"], reads_weight=False)
    with pytest.raises(SpecError, match="soft_f1 gives one value per batch and cannot weigh its samples"):
        unable.require_weights()
