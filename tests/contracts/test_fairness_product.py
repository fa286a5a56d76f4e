"""The contract of group disparity over every statistic × violation × mechanism × task."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from losssearch.losses import LossTerm, terms
from losssearch.losses.state import Dimensions

GROUPS, CLASSES = 3, 3
PRODUCT = [
    (term, statistic, mechanism)
    for term in terms.values()
    if term.family == "disparity"
    for statistic in term.domains["statistic"].options
    for mechanism in term.domains["mechanism"].options
]
VIOLATIONS = terms["group_disparity"].domains["violation"].options

every_product = pytest.mark.parametrize(
    ("term", "statistic", "mechanism"), PRODUCT, ids=[f"{t.name}-{s}-{m}" for t, s, m in PRODUCT]
)


def batch(term: LossTerm, statistic: str, mechanism: str, seed: int = 0, rows: int = 12) -> list[Tensor]:
    """What the term reads; all groups and, where there are labels, all classes in each."""
    source = torch.Generator().manual_seed(seed)
    classes = CLASSES if "logits" in term.reads else 2
    made = {
        "logits": 2 * torch.randn(rows, classes, generator=source, dtype=torch.float64),
        "logit": 2 * torch.randn(rows, generator=source, dtype=torch.float64),
        "prediction": torch.randn(rows, generator=source, dtype=torch.float64),
        "target": torch.randn(rows, generator=source, dtype=torch.float64),
        "labels": torch.arange(rows) // GROUPS % classes,
        "group": torch.eye(GROUPS, dtype=torch.float64)[torch.arange(rows) % GROUPS],
    }
    return [made[name] for name in term.reads]


def kept(term: LossTerm, statistic: str, mechanism: str, groups: int = GROUPS) -> Tensor:
    """The memory as it starts."""
    choices = {"statistic": statistic, "mechanism": mechanism}
    classes = CLASSES if "logits" in term.reads else 2
    return term.states["memory"].start(Dimensions(classes, groups, choices=choices), "memory").double()


def updated(term: LossTerm, tensors: list[Tensor], **given: Any) -> Tensor:
    """The next memory."""
    update = term.states["memory"].update
    assert update
    return update(*tensors, **given)


def numbers(term: LossTerm, **given: float) -> dict[str, Tensor]:
    values = {name: given.get(name, value) for name, value in term.defaults.items()}
    return {k: torch.tensor(v, dtype=torch.float64) for k, v in values.items() if not isinstance(v, str)}


@every_product
def test_derivatives_are_right(term: LossTerm, statistic: str, mechanism: str) -> None:
    """Central differences by the output and by every number, with an empty memory, where the gradient is exact."""
    tensors, tuned = batch(term, statistic, mechanism), numbers(term, limit=0.01)
    memory = kept(term, statistic, mechanism)
    for violation in VIOLATIONS:
        choices: Any = {"statistic": statistic, "mechanism": mechanism, "violation": violation}

        def loss(output: Tensor, *moved: Tensor, choices: Any = choices) -> Tensor:
            return term(output, *tensors[1:], **dict(zip(tuned, moved, strict=True)), **choices, memory=memory)

        points = [t.clone().requires_grad_() for t in (tensors[0], *tuned.values())]
        assert torch.autograd.gradcheck(loss, points, fast_mode=True), violation


@every_product
def test_population_equals_loop(term: LossTerm, statistic: str, mechanism: str) -> None:
    """Value, gradient and next memory under vmap over members, with a memory in use."""
    members = [batch(term, statistic, mechanism, seed) for seed in range(3)]
    stacked = [torch.stack(tensors) for tensors in zip(*members, strict=True)]
    stacked[0].requires_grad_()
    tuned = [numbers(term, limit=0.01 * (k + 1), decay=0.3 * k) for k in range(3)]
    for seed, own in enumerate(tuned):
        source = torch.Generator().manual_seed(seed)
        blank = kept(term, statistic, mechanism)
        own["memory"] = torch.rand(blank.shape, generator=source, dtype=torch.float64)
    together = {name: torch.stack([own[name] for own in tuned]) for name in tuned[0]}
    for violation in VIOLATIONS:
        choices: Any = {"statistic": statistic, "mechanism": mechanism, "violation": violation}
        values = vmap(lambda t, n, choices=choices: term(*t, **n, **choices))(stacked, together)
        memories = vmap(lambda t, n, choices=choices: updated(term, t, **n, **choices))(stacked, together)
        (gradients,) = torch.autograd.grad(values.sum(), stacked[0])
        for k in range(3):
            output = members[k][0].clone().requires_grad_()
            alone = term(output, *members[k][1:], **tuned[k], **choices)
            torch.testing.assert_close(values[k], alone)
            torch.testing.assert_close(gradients[k], torch.autograd.grad(alone, output)[0])
            torch.testing.assert_close(memories[k], updated(term, members[k], **tuned[k], **choices))


@every_product
@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.nightly)], ids=["pairs", "all"])
def test_finite_at_extremes_and_with_empty_groups(term: LossTerm, statistic: str, mechanism: str, every: bool) -> None:
    """Every pair of a violation, a size of outputs, empty groups and ends of ranges; nightly all combinations."""
    tensors = [t.float() if t.is_floating_point() else t for t in batch(term, statistic, mechanism, rows=18)]
    at = term.reads.index("group")
    ends = [{}, {"temperature": 0.01, "threshold": 10.0, "shrinkage": 0.0}, {"limit": 0.0, "decay": 0.999}]
    kinds, sizes, groups = list(enumerate(VIOLATIONS)), (0, 1), list(enumerate(([0, 1, 2], [0, 1], [1])))
    for (kind, violation), far, (place, ids), end in itertools.product(kinds, sizes, groups, range(len(ends))):
        if not every and (kind + far + place + end) % len(ends):
            continue
        size, given = 1e4 * far, ends[end]
        wide = size * torch.linspace(-1, 1, 18).round()
        output = (wide if tensors[0].dim() == 1 else wide[:, None] * torch.tensor([1.0, -1.0, 0.0])).requires_grad_()
        filled = [output, *tensors[1:]]
        filled[at] = torch.eye(GROUPS)[torch.tensor(ids)[torch.arange(18) % len(ids)]]
        choices: Any = {"statistic": statistic, "mechanism": mechanism, "violation": violation}
        tuned = {
            k: v.float() for k, v in numbers(term, **{k: v for k, v in given.items() if k in term.domains}).items()
        }
        tuned["memory"] = kept(term, statistic, mechanism).float()
        value = term(*filled, **tuned, **choices)
        (gradient,) = torch.autograd.grad(value, output, materialize_grads=True)
        assert value.isfinite(), (violation, size, ids, given)
        assert gradient.isfinite().all(), (violation, size, ids, given)
        assert updated(term, filled, **tuned, **choices).isfinite().all()


@every_product
def test_an_empty_group_changes_nothing(term: LossTerm, statistic: str, mechanism: str) -> None:
    tensors = batch(term, statistic, mechanism)
    wider = [
        torch.cat((t, torch.zeros_like(t[:, :1])), 1) if n == "group" else t
        for n, t in zip(term.reads, tensors, strict=True)
    ]
    for violation in VIOLATIONS:
        choices: Any = {"statistic": statistic, "mechanism": mechanism, "violation": violation}
        tuned = numbers(term, limit=0.0)
        more = kept(term, statistic, mechanism, GROUPS + 1)
        found = term(*wider, **tuned, **choices, memory=more)
        memory = kept(term, statistic, mechanism)
        torch.testing.assert_close(found, term(*tensors, **tuned, **choices, memory=memory))


@every_product
def test_equal_batches_in_the_window_are_as_one(term: LossTerm, statistic: str, mechanism: str) -> None:
    """Value and gradient, whatever the window holds of the same batch."""
    tensors, memory = batch(term, statistic, mechanism), kept(term, statistic, mechanism)
    tuned = numbers(term, shrinkage=0.0, limit=0.0, rate=0.0)
    choices: Any = {"statistic": statistic, "mechanism": mechanism, "violation": "worst_pair"}
    found = []
    for _ in range(3):
        output = tensors[0].clone().requires_grad_()
        value = term(output, *tensors[1:], **tuned, **choices, memory=memory)
        found.append((value.detach(), torch.autograd.grad(value, output)[0]))
        memory = updated(term, tensors, **tuned, **choices, memory=memory)
    for value, gradient in found[1:]:
        torch.testing.assert_close(value, found[0][0])
        torch.testing.assert_close(gradient, found[0][1])
