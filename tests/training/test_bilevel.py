"""The hypergradient: what it is, whom it moves, and that it leaves everybody else alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from losssearch.data import draws, load, make_replicas, partition
from losssearch.data.batch import Sizes
from losssearch.data.replicas import Replicas
from losssearch.losses.inputs import STANDARD
from losssearch.losses.population import PopulationLoss
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.state import State
from losssearch.models import build_model
from losssearch.training import Candidate, TrainingPlan, train_population
from losssearch.training.bilevel import Bilevel, Point, descended
from losssearch.training.levels import Levels, Objective, Turn
from losssearch.training.members import Members
from losssearch.training.population_training import PopulationTraining
from losssearch.training.slices import slices

CLASSES, REPLICAS, MEMBERS, FEATURES, ROWS = 3, 2, 2, 5, 12
PLAIN = LossSpec((Part("cross_entropy"),))
LEARNED = ("auto_balance", "class_temperature", "class_focal")
OBJECTIVE = Objective(PLAIN, "class")


def spec_of(*names: str) -> LossSpec:
    return LossSpec(tuple(map(Part, names)))


@pytest.fixture(scope="module")
def digits() -> Replicas:
    dataset = load("builtin:digits")
    parts = partition(dataset, seed=0)
    return make_replicas(dataset, draws(dataset, parts.search, seed=0, count=2, purpose="test"))


def accuracy(outputs: Tensor, target: Tensor, tuned: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    return (outputs.argmax(-1) == target[:, None]).double().mean(-1), lambda other: other


@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_it_is_the_gradient_of_one_step_unrolled(model: str) -> None:
    """The oracle differentiates L_up(θ - η ∂_θ L_φ(θ)) by φ with `torch.func`, in float64."""
    source = torch.Generator().manual_seed(0)
    stacked = build_model(model, FEATURES, CLASSES)
    initial = stacked.initial(0)
    names = stacked.shapes
    flat = torch.cat([initial[name].flatten() for name in names]).double()
    flat = flat + 0.3 * torch.randn(REPLICAS, MEMBERS, len(flat), generator=source, dtype=torch.float64)

    def batch() -> dict[str, Tensor]:
        features = torch.randn(REPLICAS, ROWS, FEATURES, generator=source, dtype=torch.float64)
        return {"features": features, "target": torch.arange(ROWS).expand(REPLICAS, -1) % CLASSES}

    lower, upper = batch(), batch()
    population = PopulationLoss([spec_of("auto_balance")] * MEMBERS, sizes=Sizes(CLASSES))
    start = [own.double() + 0.2 * torch.rand(own.shape, generator=source).double() for own in population.start([0, 1])]
    (one,) = slices(stacked, population, MEMBERS, [True] * MEMBERS)
    rates, learned = torch.tensor([0.05, 0.5], dtype=torch.float64), torch.zeros(REPLICAS, MEMBERS, 0).double()
    outputs = one.passage.forward(named(flat, names), {}, lower["features"], training=True, seed=0).clone()
    slope, _, _ = population.slopes(outputs, lower, {}, learned, 0.5, states=tuple(start))
    by_name = one.passage.backward(slope)
    gradient = torch.cat([by_name[name].flatten(2) for name in names], dim=-1)
    at = Point(one, names, flat, gradient, {}, Turn(lower, upper, 1), outputs, {}, learned, rates, 0.5, 0)
    found = Bilevel(OBJECTIVE, population.sizes, STANDARD, CLASSES).hypergradient(tuple(start), at)
    values = {place: state[:, :, 0] for place, state in enumerate(start)}
    shift, stretch = (values[place] for place in found)

    def loss(theta: Tensor, x: Tensor, y: Tensor, phi: tuple[Tensor, Tensor] | None) -> Tensor:
        z = stacked.forward(named(theta[None, None], names), {}, x[None], training=True, seed=0)[0, 0]
        return F.cross_entropy(z if phi is None else z * phi[1] + phi[0], y)

    for r in range(REPLICAS):
        for k in range(MEMBERS):

            def unrolled(phi: tuple[Tensor, Tensor], r: int = r, k: int = k) -> Tensor:
                step = torch.func.grad(loss)(flat[r, k], lower["features"][r], lower["target"][r], phi)
                return loss(flat[r, k] - rates[k] * step, upper["features"][r], upper["target"][r], None)

            expected = torch.func.grad(unrolled)((shift[r, k], stretch[r, k]))
            for own, true in zip(found.values(), expected, strict=True):
                error = (rates[k] * own[r, k] - true).norm() / true.norm()
                assert error <= 1e-4, error


def named(flat: Tensor, names: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    pieces = flat.split([torch.Size(shape).numel() for shape in names.values()], dim=-1)
    return {name: piece.unflatten(-1, shape) for (name, shape), piece in zip(names.items(), pieces, strict=True)}


def population(replicas: Replicas, *names: str, at_once: int | None = None, moving: bool = True) -> Members:
    model = build_model("mlp", replicas.width, replicas.classes)
    loss = PopulationLoss([spec_of(name) for name in names], sizes=replicas.sizes)
    bilevel = Bilevel(OBJECTIVE, replicas.sizes, STANDARD, replicas.classes) if moving else None
    return Members(
        model,
        loss,
        torch.arange(len(names)),
        torch.full((len(names),), 1e-2),
        replicas.seeds,
        weight_decay=0.0,
        clip=None,
        device=torch.device("cpu"),
        at_once=at_once,
        bilevel=bilevel,
    )


def train(own: Members, replicas: Replicas, first: int = 0, last: int = 24) -> Members:
    """Steps of a training of 24, of which the hypergradient is due at five."""
    for step, turn in enumerate(Levels(replicas, OBJECTIVE, 32).turns(1, 24, 1)):
        if first <= step < last:
            rows = {name: value[:, 32 * step : 32 * step + 32] for name, value in replicas.train.items()}
            own.step(rows, replicas.facts, progress=step / 24, factor=1.0, seed=step, turn=turn)
    return own


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-5)  # finite differences magnify the last digit


def test_members_in_a_population_are_what_they_are_alone(digits: Replicas) -> None:
    names = ("cross_entropy", "auto_balance", "focal", "class_focal")
    together = train(population(digits, *names), digits)
    for place, name in enumerate(names):
        alone = train(population(digits, name), digits)
        close(together.flat[:, place], alone.flat[:, 0])
        for (_, key), value in alone.states.items():
            close(together.states[place, key], value)
            start, *_ = value.unbind(1)
            assert not torch.equal(start, population(digits, name).states[0, key][:, 0]), "nothing moved"


def test_members_without_such_states_are_the_same_to_the_bit(digits: Replicas) -> None:
    own = train(population(digits, "cross_entropy", "focal", "auto_balance"), digits)
    plain = train(population(digits, "cross_entropy", "focal", moving=False), digits)
    assert torch.equal(own.flat[:, :2], plain.flat)


def test_a_population_is_compacted_with_values_and_moments(digits: Replicas) -> None:
    names = ("auto_balance", "cross_entropy", "auto_balance", "class_temperature")
    whole = train(population(digits, *names), digits)
    cut = train(population(digits, *names), digits, last=16)
    cut.keep([3, 1, 2])
    train(cut, digits, first=16)
    for place, member in enumerate((3, 1, 2)):
        close(cut.flat[:, place], whole.flat[:, member])
    for (member, key), value in cut.states.items():
        close(value, whole.states[(3, 1, 2)[member], key])


def test_slices_do_not_change_it(digits: Replicas) -> None:
    names = ("auto_balance", "cross_entropy", "auto_balance", "auto_balance")
    whole, sliced = (train(population(digits, *names, at_once=most), digits) for most in (None, 2))
    close(whole.flat, sliced.flat)
    for key, value in whole.states.items():
        close(value, sliced.states[key])


def test_the_same_seeds_give_the_same_bits(digits: Replicas) -> None:
    one, other = (train(population(digits, *LEARNED), digits) for _ in range(2))
    assert torch.equal(one.flat, other.flat)
    assert all(torch.equal(value, other.states[key]) for key, value in one.states.items())


def test_a_recorded_step_is_the_step(digits: Replicas) -> None:
    """The first call is recorded, the second repeats it; another population computes the second anew."""
    loss = PopulationLoss([spec_of(name) for name in LEARNED], sizes=digits.sizes)
    states, learned = loss.start(digits.seeds), torch.zeros(digits.count, len(LEARNED), 0)
    source = torch.Generator().manual_seed(0)
    draws_of = [torch.randn(digits.count, len(LEARNED), 32, digits.classes, generator=source) for _ in range(4)]
    batch = {name: value[:, :32] for name, value in digits.train.items()}
    given = {"batch": batch, "facts": digits.facts, "learned": learned, "progress": 0.5, "states": states}
    loss.mixed_slopes(*draws_of[:2], **given)
    repeated = loss.mixed_slopes(*draws_of[2:], **given)
    fresh = PopulationLoss(loss.specs, sizes=digits.sizes).mixed_slopes(*draws_of[2:], **given)
    assert len(repeated) == 4
    assert all(torch.equal(repeated[place], value) for place, value in fresh.items())
    tapes = [tape for (name, *_), tape in loss._tapes.items() if name == "_mixed"]
    assert [own is not None for tape in tapes for own in tape._known.values()] == [True], "it could not be repeated"


def test_it_stays_within_its_range_and_survives_what_is_not_finite() -> None:
    state = State((2,), 0.0, "validation", within=(-0.1, 0.05), rate=1.0)
    carried = torch.zeros(1, 3, 3, 2)
    gradient = torch.tensor([[[1.0, -1.0], [torch.nan, 1.0], [0.0, 0.0]]])
    moved = descended(carried, gradient, state, 1, 1.0)
    assert moved[0, :, 0].tolist() == [[pytest.approx(-0.1), pytest.approx(0.05)], [0, 0], [0, 0]]
    assert torch.equal(moved[0, 1], carried[0, 1])
    step = torch.optim.Adam([weight := torch.zeros(2, requires_grad=True)], lr=0.01)
    own = State((2,), 0.0, "validation", rate=0.01)
    at = torch.zeros(1, 1, 3, 2)
    for turn, slope in enumerate(([0.3, -2.0], [0.1, 5.0], [-0.4, 1.0]), 1):
        weight.grad = torch.tensor(slope)
        step.step()
        at = descended(at, weight.grad[None, None], own, turn, 1.0)
    close(at[0, 0, 0], weight.detach())


def test_the_final_training_keeps_what_was_found_and_takes_all_rows(digits: Replicas) -> None:
    model, plan = build_model("mlp", digits.width, digits.classes), TrainingPlan(epochs=4, batch_size=32)
    candidates = [Candidate(spec_of("cross_entropy"), (1e-2,)), Candidate(spec_of("auto_balance"), (1e-2,))]
    given = (model, candidates, digits, plan, accuracy)
    search = train_population(*given, objective=OBJECTIVE)
    final = train_population(*given, objective=OBJECTIVE, refit=True)
    assert final[0].utilities == search[0].utilities
    assert set(final[1].learned) == {"0_shift", "0_stretch"}
    known = searched(digits, candidates, plan).best_states
    best = max(range(digits.count), key=lambda replica: final[1].utilities[replica])
    assert torch.equal(torch.from_numpy(final[1].learned["0_shift"]), known[1, "0_shift"][best])
    fixed = Members(
        model,
        PopulationLoss([spec_of("auto_balance")], sizes=digits.sizes),
        torch.zeros(1),
        torch.full((1,), 1e-2),
        digits.seeds,
        weight_decay=plan.weight_decay,
        clip=None,
        device=torch.device("cpu"),
        found=[{key: value for (member, key), value in known.items() if member == 1}],
    )
    before = {key: value.clone() for key, value in fixed.states.items()}
    rows = {name: value[:, :32] for name, value in digits.train.items()}
    fixed.step(rows, digits.facts, progress=0.9, factor=1.0, seed=0)  # no turn: a batch of all rows
    assert all(torch.equal(value, before[key]) for key, value in fixed.states.items())


def searched(replicas: Replicas, candidates: list[Candidate], plan: TrainingPlan) -> Members:
    training = PopulationTraining(
        build_model("mlp", replicas.width, replicas.classes),
        candidates,
        replicas,
        plan,
        accuracy,
        torch.device("cpu"),
        None,
        1.0,
        STANDARD,
        OBJECTIVE,
    )
    for _ in training.run(hold=False):
        pass
    return training.members
