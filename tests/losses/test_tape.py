"""The recorded operations of a function give what the function gives, to the bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from losssearch.data.batch import Groups, Sizes
from losssearch.losses import arrays, terms
from losssearch.losses.population import PopulationLoss
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.tape import Tape
from losssearch.tasks import TASKS
from tests.contracts.named_tensors import DOCUMENTS, TARGETS_OF, own_fields

GROUPS, REPLICAS, BATCH = 3, 2, 12


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def slope_of(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], tuple[Tensor]]:
    def slope(x: Tensor) -> tuple[Tensor]:
        leaf = x.detach().requires_grad_()
        with torch.enable_grad():
            total = function(leaf).sum()
        return torch.autograd.grad(total, (leaf,))

    return slope


ONES = torch.ones(4, 5)
FUNCTIONS: dict[str, Callable[[Tensor], tuple[Tensor, ...]]] = {
    "a gradient": slope_of(lambda x: (x.sigmoid() * x).exp()),
    "a gradient under vmap": slope_of(vmap(lambda row: torch.where(row > 0, row, 0.0) @ row)),
    "several results": lambda x: (*x.split(2), x.sort(-1).values, x.sort(-1).indices),
    "the input itself": lambda x: (x, x.view(4, 5), x.view(20)),
    "a constant": lambda x: (torch.arange(3), x + 1, torch.full((2,), torch.inf)),
    "times one": lambda x: (x * 1, 1 * x, x / ONES, ONES * x, ONES / x, x * torch.ones(2, 4, 5)),
    "shapes alone": lambda x: (torch.zeros_like(x), x.new_ones(3), torch.full_like(x, 2.0) * x),
    "twice the same": lambda x: (x.exp() + x.exp(),),
    "not used": lambda x: (x.exp(), x.cos())[:1],
    "an index": lambda x: (x[torch.tensor([2, 0])], x[:, 1:3]),
    "numbers not finite": lambda x: (torch.where(x > 0, x, -torch.inf), x / 0, (x - x) / (x - x)),
    "another shape in place": lambda x: ((x + 1).unsqueeze_(0), (x[:1] + 1).squeeze_(0)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_repeats_what_was_recorded(name: str) -> None:
    """With other numbers than those that were recorded; oracle: the function."""
    tape, function, called = Tape(), FUNCTIONS[name], []

    def counted(x: Tensor) -> tuple[Tensor, ...]:
        called.append(x)
        return function(x)

    for seed in range(3):
        x = numbers(4, 5, seed=seed)
        for found, expected in zip(tape(counted, x), function(x), strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    assert len(called) == 1


REFUSED: dict[str, Callable[[Tensor], tuple[Tensor, ...]]] = {
    "random numbers": lambda x: (x + torch.rand_like(x),),
    "a number read": lambda x: (x * float(x.sum()),),
    "a mask": lambda x: (x[x > 0],),
    "in place": lambda x: (x.clone().add_(1),),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_repeated_is_called(name: str) -> None:
    tape, function = Tape(), REFUSED[name]
    for seed in range(3):
        x = numbers(4, 5, seed=seed)
        torch.manual_seed(seed)
        (found,) = tape(function, x)
        torch.manual_seed(seed)
        torch.testing.assert_close(found, function(x)[0], rtol=0, atol=0)


def test_each_shape_layout_and_type_is_recorded_apart() -> None:
    tape, called = Tape(), []

    def shaped(x: Tensor, y: Tensor | None) -> tuple[Tensor]:
        called.append(x.shape)
        return (x.reshape(-1) / x.shape[0] if y is None else x + y,)

    x = numbers(4, 5)
    given = [(x, None), (x.T, None), (x.double(), None), (x[:2], None), (x, x)]
    for _ in range(2):
        for pair in given:
            torch.testing.assert_close(tape(shaped, *pair), shaped(*pair))
    assert len(called) == 3 * len(given)


def test_an_error_while_recording_leaves_nothing_behind() -> None:
    tape = Tape()

    def fails(x: Tensor) -> tuple[Tensor]:
        raise MemoryError

    with pytest.raises(MemoryError):
        tape(fails, numbers(2))
    torch.testing.assert_close(tape(lambda x: (x + 1,), numbers(2)), (numbers(2) + 1,))


@pytest.mark.parametrize("task", TASKS)
def test_every_term_can_be_repeated(task: str) -> None:
    """A term that cannot would make all steps of a population that holds it slow; oracle: the loss by autograd."""
    classes = {"binary": 2, "multiclass": 4, "ordinal": 4}.get(task, 0)
    arrays._known.clear()
    names = [name for name, term in terms.items() if term.fits(TASKS[task].with_groups().offers)]
    for name in names:
        loss = PopulationLoss(
            [LossSpec((Part(name),))] * 2, sizes=Sizes(classes, Groups(GROUPS), rows=BATCH), offer=TASKS[task].offer
        )
        states, evaluate, called = loss.start([0] * REPLICAS), loss._slopes, []

        def counted(*given: object, evaluate: object = evaluate, called: list[str] = called) -> object:
            called.append("once")
            return evaluate(*given)  # type: ignore[operator]

        loss._slopes = counted  # type: ignore[method-assign, assignment]
        for seed in range(3):
            source = torch.Generator().manual_seed(seed)
            width = TASKS[task].of_size(DOCUMENTS).width(classes)
            shape = (REPLICAS, 2, BATCH, width) if width > 1 else (REPLICAS, 2, BATCH)
            outputs = torch.randn(shape, generator=source)
            labels = torch.randint(max(classes, 1), (REPLICAS, BATCH), generator=source)
            number, drawn = torch.randn(REPLICAS, BATCH, generator=source), TARGETS_OF.get(task)
            batch = {
                "target": labels if classes else number if drawn is None else drawn(number.shape, source).float(),
                "group": torch.randint(GROUPS, (REPLICAS, BATCH), generator=source),
                "features": torch.randn(REPLICAS, BATCH, 2, generator=source),
                "index": torch.stack([torch.randperm(BATCH, generator=source) for _ in range(REPLICAS)]),
                **{name: own.float() for name, own in own_fields(task, (REPLICAS, BATCH), source).items()},
            }
            facts = {
                "class_prior": torch.full((REPLICAS, classes), 1 / max(classes, 1)),
                "zero": -torch.rand(REPLICAS, generator=source),
            }
            given = (batch, facts, loss.initial.expand(REPLICAS, -1, -1).contiguous(), 0.1 * seed)
            slope, _, after = loss.slopes(outputs, *given, states=states)
            leaf = outputs.clone().requires_grad_()
            (expected,) = torch.autograd.grad(loss(leaf, *given, states=states).sum(), (leaf,))
            torch.testing.assert_close(slope, expected, rtol=0, atol=0)
            expected = loss.next_states(leaf, *given, states)
            states = loss.carried(states, after, batch)
            torch.testing.assert_close(states, expected, rtol=0, atol=0)
        assert len(called) == 1, name
