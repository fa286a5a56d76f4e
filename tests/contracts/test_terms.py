"""The contract of every loss term in the registry. A new term needs no new test here."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import vmap
from torch.overrides import TorchFunctionMode

from losssearch.losses import LossTerm, terms
from losssearch.losses.domains import Choice, Tree
from losssearch.losses.state import Dimensions
from tests.contracts.named_tensors import NAMED, at_the_ends, drawn

GIVEN = ("parameters", "input_gradient", "mixed")
"""What a training loop gives in place of outputs."""
OWN = tuple(name for name, tensor in NAMED.items() if tensor.output)
OUTPUTS = (
    *("logits", "logit", "prediction", "scores", "predicted", "plain_loss"),
    *("risk", "hazards", "score", "cut_logits", *GIVEN),
    *OWN,
)
SAMPLES = (
    *OUTPUTS,
    *NAMED,
    "labels",
    "goal",
    "target",
    "group",
    "distance",
    "time",
    "event",
    "grade",
    "mixture",
    "interval",
)
BY_CLASS = {"logits", "predicted", "goal"}
"""What has one column per class in these tests, and so decides how large a state is."""
GRADES = 4
WHOLE = ("labels", "grade")
GROUPS = 3
EXTREME = 1e4
TREES = ("log(add(1, exp(mul(-1, output))))", "div(square(sub(output, target)), root(output))")
Values = dict[str, Tensor | str]

every_term = pytest.mark.parametrize("term", terms.values(), ids=list(terms))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def inputs(
    term: LossTerm, source: torch.Generator, batch: int = 12, dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    """Random tensors that the term reads: four classes where it reads logits, otherwise two."""
    classes = 4 if "logits" in term.reads else 2
    prior = torch.rand(classes, generator=source, dtype=torch.float64) + 0.05
    made = {
        "logits": 2 * torch.randn(batch, classes, generator=source, dtype=torch.float64),
        "logit": 2 * torch.randn(batch, generator=source, dtype=torch.float64),
        "labels": torch.randint(classes, (batch,), generator=source),
        "class_prior": prior / prior.sum(),
        "prediction": torch.randn(batch, generator=source, dtype=torch.float64),
        "target": torch.randn(batch, generator=source, dtype=torch.float64),
        "zero": -torch.rand((), generator=source, dtype=torch.float64),
        "progress": torch.rand((), generator=source, dtype=torch.float64),
        "group": torch.eye(GROUPS, dtype=torch.float64)[torch.randint(GROUPS, (batch,), generator=source)],
        "distance": distance(torch.randn(batch, 2, generator=source, dtype=torch.float64)),
        "plain_loss": torch.rand(batch, generator=source, dtype=torch.float64),
        "goal": torch.eye(4, dtype=torch.float64)[torch.randint(4, (batch,), generator=source)],
        "scores": torch.randn(batch, 4, generator=source, dtype=torch.float64),
        "predicted": torch.rand(batch, 4, generator=source, dtype=torch.float64),
    }
    made |= drawn(term.reads, batch, source)
    # Made for those that read them alone, so that the others meet the numbers that they always met.
    if not made.keys() >= set(term.reads):
        made |= {
            "risk": 2 * torch.randn(batch, generator=source, dtype=torch.float64),
            "hazards": 2 * torch.randn(batch, GRADES, generator=source, dtype=torch.float64),
            "time": torch.randint(1, 9, (batch,), generator=source).double(),  # some of them equal
            "event": (torch.rand(batch, generator=source) < 0.6).double(),
            "interval": torch.randint(GRADES, (batch,), generator=source).double(),
            "score": 2 * torch.randn(batch, generator=source, dtype=torch.float64),
            "cut_logits": 2 * torch.randn(batch, GRADES - 1, generator=source, dtype=torch.float64),
            "grade": torch.randint(GRADES, (batch,), generator=source),
            "mixed": torch.randn(batch, 4, generator=source, dtype=torch.float64),
            "mixture": torch.randn(batch, 4, generator=source, dtype=torch.float64),
            "input_gradient": torch.randn(batch, 4, generator=source, dtype=torch.float64),
            "parameters": torch.randn(batch, generator=source, dtype=torch.float64),
        }
    return [made[name] if name in WHOLE else made[name].to(dtype) for name in term.reads]


def classes_of(term: LossTerm, output: Tensor | None = None) -> int:
    """How many classes the shapes of a term's states have in these tests."""
    if "grade" in term.reads:
        return GRADES
    if not BY_CLASS & set(term.reads):
        return 2
    return 4 if output is None else output.shape[-1]


def distance(features: Tensor) -> Tensor:
    return (features[:, None] - features).square().mean(-1).sqrt()


def carried(term: LossTerm, classes: int, rows: int = 12) -> Values:
    """What the term keeps in addition to what it learns, as it starts at its default choices; of ``rows`` samples."""
    choices = {name: value for name, value in term.defaults.items() if isinstance(value, str)}
    dimensions = Dimensions(classes, GROUPS, rows, choices=choices)
    return {k: s.start(dimensions, k) for k, s in term.states.items() if k not in term.learned}


def remembering(term: LossTerm, source: torch.Generator) -> Values:
    """The same as a few batches leave it, of the number of classes that `inputs` have."""
    kept = carried(term, classes_of(term))
    return {k: torch.rand(v.shape, generator=source, dtype=torch.float64) for k, v in kept.items()}  # type: ignore[union-attr]


def evaluate(term: LossTerm, tensors: list[Tensor], hyper: Values) -> Tensor:
    """The term at ``hyper``, with what it carries as it starts where that is not given."""
    output = tensors[output_index(term)]
    kept = carried(term, classes_of(term, output), len(output))
    return term(*tensors, **{k: v.to(output) for k, v in kept.items()} | hyper)  # type: ignore[union-attr]


def output_index(term: LossTerm) -> int:
    return next(i for i, name in enumerate(term.reads) if name in OUTPUTS)


def every_output(term: LossTerm) -> list[int]:
    """The places of all that the term reads of the model."""
    return [i for i, name in enumerate(term.reads) if name in OUTPUTS]


def values(term: LossTerm, source: torch.Generator | None = None, dtype: torch.dtype = torch.float64) -> Values:
    """Hyperparameters and learned scalars: the defaults, or a draw from inside the ranges."""
    drawn: Values = {}
    for name, domain in term.domains.items():
        if source is None or isinstance(domain, Choice | Tree):
            value = domain.default
        else:
            value = domain.low + (domain.high - domain.low) * float(torch.rand((), generator=source))
        drawn[name] = value if isinstance(value, str) else torch.tensor(value, dtype=dtype)
    for name, learned in term.learned.items():
        shape = learned.size(Dimensions(classes_of(term)))
        noise = torch.zeros(shape) if source is None else torch.randn(shape, generator=source)
        assert isinstance(learned.init, float)
        drawn[name] = (learned.init + noise.double()).to(dtype)
    return drawn


def corners(term: LossTerm) -> Iterator[Values]:
    """Every combination of range ends, defaults and options; learned scalars far out on either side."""
    names, ends = [], []
    for name, domain in term.domains.items():
        names.append(name)
        if isinstance(domain, Tree):
            ends.append((domain.default, *TREES))
            continue
        ends.append(domain.options if isinstance(domain, Choice) else (domain.low, domain.default, domain.high))
    for name, learned in term.learned.items():
        names.append(name)
        assert isinstance(learned.init, float)
        shape = learned.size(Dimensions(classes_of(term)))
        ends.append(tuple(torch.full(shape, learned.init + far) for far in (-8.0, 0.0, 8.0)))
    if carried(term, 2):  # whose rows are those of the default choices; the others have their own tests
        ends = [(term.defaults[n],) if isinstance(e[0], str) else e for n, e in zip(names, ends, strict=True)]
    for chosen in itertools.product(*ends):
        yield {n: torch.tensor(v) if isinstance(v, float | int) else v for n, v in zip(names, chosen, strict=True)}


def extremes(term: LossTerm) -> list[Tensor]:
    """A batch with every combination of saturated and neutral outputs, and every label."""
    if own := at_the_ends(term.reads):
        return [own[name] for name in term.reads]
    if "grade" in term.reads:
        rows = list(itertools.product(itertools.product((-EXTREME, 0.0, EXTREME), repeat=3), range(GRADES)))
        cuts = torch.tensor([cuts for cuts, _ in rows])
        return [
            {"cut_logits": cuts, "score": cuts[:, 0], "grade": torch.tensor([grade for _, grade in rows])}[name]
            for name in term.reads
        ]
    if {"risk", "hazards"} & set(term.reads):
        cases = list(itertools.product(itertools.product((-EXTREME, 0.0, EXTREME), repeat=2), (1.0, 3.0, 9.0), (0, 1)))
        outputs = torch.tensor([output for output, _, _ in cases])
        made = {"risk": outputs[:, 0], "hazards": outputs}
        made |= {"time": torch.tensor([time for _, time, _ in cases])}
        made |= {"interval": (made["time"] > 2.0).float()}
        made |= {"event": torch.tensor([float(event) for _, _, event in cases])}
        return [made[name] for name in term.reads]
    if "prediction" in term.reads:
        pairs = list(itertools.product((-EXTREME, -1.0, 0.0, 1e-6, 1.0, EXTREME), (-10.0, 0.0, 1.0)))
        made = {"prediction": torch.tensor([p for p, _ in pairs]), "target": torch.tensor([t for _, t in pairs])}
    elif "logits" in term.reads:
        rows = list(itertools.product(itertools.product((-EXTREME, 0.0, EXTREME), repeat=3), range(3)))
        made = {"logits": torch.tensor([r for r, _ in rows]), "labels": torch.tensor([y for _, y in rows])}
    else:
        pairs = list(itertools.product((-EXTREME, -50.0, 0.0, 50.0, EXTREME), (0, 1)))
        made = {"logit": torch.tensor([z for z, _ in pairs]), "labels": torch.tensor([y for _, y in pairs])}
    rows_of_scores = torch.tensor(list(itertools.product((-EXTREME, 0.0, EXTREME), repeat=3)))
    if neutral := {"scores", "predicted"} & set(term.reads):
        made = dict.fromkeys(neutral, rows_of_scores) | {"labels": torch.zeros(len(rows_of_scores))}
        made["goal"] = torch.eye(3)[torch.arange(len(rows_of_scores)) % 3]
    elif "plain_loss" in term.reads:
        made = {"plain_loss": torch.tensor([0.0, 1e-6, 1.0, EXTREME]).repeat(9)}
        made["labels"] = torch.zeros(36)
    if given := {*GIVEN, "mixture"} & set(term.reads):
        made = dict.fromkeys(given, rows_of_scores) | {"labels": torch.zeros(len(rows_of_scores))}
        made["parameters"] = rows_of_scores.flatten()
    classes = 3 if "logits" in term.reads else 2
    batch = len(made.get("target", made.get("labels", torch.empty(0))))
    made |= {"class_prior": torch.eye(classes)[0], "progress": torch.tensor(0.5)}
    made |= {"group": torch.eye(GROUPS)[torch.arange(batch) % GROUPS], "zero": torch.tensor(-1.0)}
    made |= {"distance": distance(torch.arange(batch)[:, None] % 5 * EXTREME), "event": torch.arange(batch) // 3 % 2.0}
    return [made[name] for name in term.reads]


class Detached(TorchFunctionMode):
    """Has what is detached be what it was at the first evaluation: a constant, as far as a derivative goes."""

    def __init__(self, constants: list[Tensor]) -> None:
        super().__init__()
        self.constants, self.first, self.count = constants, not constants, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is not Tensor.detach:
            return result
        if self.first:
            self.constants.append(result.clone())
        self.count += 1
        return self.constants[self.count - 1]


def value_and_gradient(
    term: LossTerm, tensors: list[Tensor], hyper: Values, at: int | None = None
) -> tuple[Tensor, list[Tensor]]:
    """The loss, and the gradient of its sum by an output, the first by default, and by the learned scalars."""
    at = output_index(term) if at is None else at
    tensors = [t.clone().requires_grad_() if i == at else t for i, t in enumerate(tensors)]
    hyper = {k: v.clone().requires_grad_() if k in term.learned else v for k, v in hyper.items()}
    loss = evaluate(term, tensors, hyper)
    moved = [tensors[at], *(hyper[name] for name in term.learned)]
    return loss.detach(), list(torch.autograd.grad(loss.sum(), moved))


@every_term
def test_gives_one_value_a_sample_or_one_a_batch(term: LossTerm) -> None:
    loss = evaluate(term, inputs(term, generator()), values(term))
    assert loss.shape == ((12,) if term.per_sample else ())


@every_term
@pytest.mark.parametrize("replicas", [None, 2])
def test_population_equals_loop(term: LossTerm, replicas: int | None) -> None:
    source, members, at = generator(), 3, output_index(term)
    shared = [inputs(term, source) for _ in range(replicas or 1)]
    outputs = torch.stack([torch.stack([inputs(term, source)[at] for _ in range(members)]) for _ in shared])
    outputs.requires_grad_()
    drawn = [values(term, source) | remembering(term, source) for _ in range(members)]
    choices = {k: v for k, v in drawn[0].items() if isinstance(v, str)}
    numbers = {k: torch.stack([d[k] for d in drawn]) for k in drawn[0] if k not in choices}

    def one(tensors: list[Tensor], hyper: dict[str, Tensor]) -> Tensor:
        return term(*tensors, **hyper, **choices)

    dims = [0 if i == at else None for i in range(len(term.reads))]
    population = vmap(one, in_dims=(dims, 0))
    if replicas:
        stacked = [outputs if i == at else torch.stack([s[i] for s in shared]) for i in range(len(term.reads))]
        together = vmap(population, in_dims=(0, None))(stacked, numbers)
    else:
        together = population([outputs[0] if i == at else t for i, t in enumerate(shared[0])], numbers)[None]
    (together_gradient,) = torch.autograd.grad(together.sum(), outputs)
    for r, k in itertools.product(range(replicas or 1), range(members)):
        tensors = [outputs[r, k].detach() if i == at else t for i, t in enumerate(shared[r])]
        alone, gradients = value_and_gradient(term, tensors, drawn[k])
        torch.testing.assert_close(together[r, k].detach(), alone)
        torch.testing.assert_close(together_gradient[r, k], gradients[0])


@every_term
@pytest.mark.parametrize("draw", [0, 1, 2])
def test_first_and_second_derivatives_are_right(term: LossTerm, draw: int) -> None:
    """Central differences, by the output, by every number that may be tuned and by what is learned."""
    source = generator().manual_seed(draw)
    tensors, chosen = inputs(term, source, batch=5), values(term, source)
    numbers = [k for k, v in chosen.items() if isinstance(v, Tensor)]
    choosing = {k: d for k, d in term.domains.items() if isinstance(d, Choice | Tree)}
    every = [(d.default,) if isinstance(d, Tree) or carried(term, 2) else d.options for d in choosing.values()]
    for at, choices in itertools.product(every_output(term), itertools.product(*every)):
        named = dict(zip(choosing, choices, strict=True))

        constants: list[Tensor] = []

        def loss(
            output: Tensor,
            *moved: Tensor,
            at: int = at,
            named: dict[str, str] = named,
            constants: list[Tensor] = constants,
        ) -> Tensor:
            given = [output if i == at else t for i, t in enumerate(tensors)]
            with Detached(constants):
                return evaluate(term, given, {**dict(zip(numbers, moved, strict=True)), **named})

        points = [t.clone().requires_grad_() for t in (tensors[at], *(chosen[k] for k in numbers))]
        loss(*points)
        assert torch.autograd.gradcheck(loss, points)
        assert torch.autograd.gradgradcheck(loss, points)


@every_term
def test_finite_at_extreme_outputs_and_range_ends(term: LossTerm) -> None:
    source = generator()
    inside = [values(term, source, torch.float32) for _ in range(8)]
    for hyper in [*corners(term), *inside]:
        for at in every_output(term):
            loss, gradients = value_and_gradient(term, extremes(term), hyper, at)
            assert loss.isfinite().all(), hyper
            assert all(gradient.isfinite().all() for gradient in gradients), hyper


@every_term
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("made", [torch.float32, torch.float64])
def test_keeps_the_dtype_of_the_output(term: LossTerm, dtype: torch.dtype, made: torch.dtype) -> None:
    tensors = [
        t.to(made) if name in ("class_prior", "progress", "zero") else t
        for name, t in zip(term.reads, inputs(term, generator(), dtype=dtype), strict=True)
    ]
    assert evaluate(term, tensors, values(term, dtype=made)).dtype == dtype


@every_term
def test_makes_its_tensors_on_the_device_of_the_output(term: LossTerm) -> None:
    """The meta device stands in for an accelerator: mixing it with the CPU raises."""
    tensors = [tensor.to("meta") for tensor in inputs(term, generator())]
    hyper = {k: v.to("meta") if isinstance(v, Tensor) else v for k, v in values(term).items()}
    assert evaluate(term, tensors, hyper).device.type == "meta"


@every_term
def test_single_precision_agrees_with_double(term: LossTerm) -> None:
    tensors, hyper = inputs(term, generator(), batch=64), values(term)
    double, double_gradients = value_and_gradient(term, tensors, hyper)
    narrow = [t.float() if t.is_floating_point() else t for t in tensors]
    single, single_gradients = value_and_gradient(
        term, narrow, {k: v.float() if isinstance(v, Tensor) else v for k, v in hyper.items()}
    )
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-5)
    for one, other in zip(single_gradients, double_gradients, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("term", [t for t in terms.values() if t.nonnegative], ids=lambda t: t.name)
def test_is_nonnegative_where_declared(term: LossTerm) -> None:
    source = generator()
    for hyper in [*corners(term), *(values(term, source, torch.float32) for _ in range(8))]:
        assert evaluate(term, inputs(term, source, 200, torch.float32), hyper).min() >= -1e-6
        assert evaluate(term, extremes(term), hyper).min() >= -1e-6


@pytest.mark.parametrize("term", [t for t in terms.values() if t.shift_invariant], ids=lambda t: t.name)
def test_is_shift_invariant_where_declared(term: LossTerm) -> None:
    assert "logits" in term.reads
    source, at = generator(), output_index(term)
    tensors, hyper = inputs(term, source), values(term, source)
    shift = 10 * torch.randn(12, 1, generator=source, dtype=torch.float64)
    moved = [t + shift if i == at else t for i, t in enumerate(tensors)]
    torch.testing.assert_close(evaluate(term, moved, hyper), evaluate(term, tensors, hyper))


TEMPERED = {"beyond the target", "smoothed probabilities"}
"""Where descent ends if outputs that are right already may become too sure, or must go further than the target."""


def towards_the_better(output: str, gradient: Tensor, named: dict[str, Tensor]) -> Tensor:
    """Slopes that a better output must not have above 0."""
    if output == "risk":  # the first event sooner, and the last of those without one later
        time, event = named["time"], named["event"] > 0
        first = time == time[event].min()
        last = time == time.max()
        return torch.cat((gradient[first & event].sum()[None], -gradient[last & ~event]))
    if output == "hazards":
        before = named["interval"][:, None] - torch.arange(GRADES)
        return gradient * torch.where(before > 0, -1.0, (before == 0) * named["event"][:, None])
    if output == "cut_logits":
        return gradient * torch.where(named["grade"][:, None] > torch.arange(GRADES - 1), 1.0, -1.0)
    ends = torch.where(named["grade"] == GRADES - 1, 1.0, torch.where(named["grade"] == 0, -1.0, 0.0))
    return gradient * ends


# Chance agreement depends on all rows: a sample that comes closer to its label can raise the kappa of chance by more.
BY_CHANCE = {"soft_kappa"}


@pytest.mark.parametrize(
    "term",
    [
        t
        for t in terms.values()
        if t.scaled and t.traits.argmin not in TEMPERED and t.name not in BY_CHANCE and t.family != "network"
    ],
    ids=lambda t: t.name,
)
def test_a_better_output_never_costs_more(term: LossTerm) -> None:
    """At the defaults, more score for the label, or a prediction closer to the target, lowers the loss.

    Networks are held to it where they are taught, and to a grid: tests/losses/test_networks.py.
    """
    tensors = inputs(term, generator(), batch=200)
    named = dict(zip(term.reads, tensors, strict=True))
    _, (gradient, *_) = value_and_gradient(term, tensors, values(term))
    if "logits" in term.reads:
        slope = gradient.gather(1, named["labels"][:, None])
    elif "logit" in term.reads:
        slope = gradient * (2 * named["labels"] - 1)
    elif "plain_loss" in term.reads:
        slope = -gradient
    elif (first := term.reads[output_index(term)]) in NAMED:
        toward = NAMED[first].toward
        if toward is None:
            pytest.skip(f"better values of {first} lie in no simple direction")
        slope = gradient * toward(named)
    elif "goal" in term.reads:
        slope = (gradient * named["goal"]).sum(-1)
    elif output := {"risk", "hazards", "score", "cut_logits"} & set(term.reads):
        slope = towards_the_better(output.pop(), gradient, named)
    else:
        better = (named["target"] - named["prediction"]).sign()
        slope = gradient * torch.where(named.get("event", torch.ones(())) > 0, better, 1.0)
    assert slope.max() <= 1e-12
    assert slope.min() < 0


@every_term
def test_order_of_the_batch_does_not_matter(term: LossTerm) -> None:
    source = generator()
    tensors, hyper = inputs(term, source), values(term, source)
    order = torch.randperm(12, generator=source)
    shuffled = [
        (t[order][:, order] if name == "distance" else t[order]) if name in SAMPLES else t
        for name, t in zip(term.reads, tensors, strict=True)
    ]
    torch.testing.assert_close(evaluate(term, shuffled, hyper).mean(), evaluate(term, tensors, hyper).mean())


@pytest.mark.parametrize("term", [t for t in terms.values() if "labels" in t.reads], ids=lambda t: t.name)
@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("batch", [1, 6])
def test_a_batch_of_one_class_is_fine(term: LossTerm, label: int, batch: int) -> None:
    tensors = [
        torch.full((batch,), label) if name == "labels" else t
        for name, t in zip(term.reads, inputs(term, generator(), batch), strict=True)
    ]
    loss, gradients = value_and_gradient(term, tensors, values(term))
    assert loss.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in gradients)


@every_term
def test_learned_scalars_get_a_gradient(term: LossTerm) -> None:
    _, (_, *gradients) = value_and_gradient(term, inputs(term, generator()), values(term))
    assert len(gradients) == len(term.learned)
    assert all((gradient != 0).all() for gradient in gradients)


@every_term
def test_the_record_is_complete(term: LossTerm) -> None:
    assert terms[term.name] is term
    assert term.function.__module__ in (
        f"losssearch.losses.{kind}.{term.family}" for kind in ("primitives", "adaptive", "fairness", "learned", "noise")
    )
    assert len(term.summary) > 20
    assert "Shapes:" in term.function.__doc__
