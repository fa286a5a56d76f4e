"""AdamW over stacked parameters is torch's AdamW, member by member."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from losssearch.training.adam import StackedAdam

REPLICAS, MEMBERS, COLUMNS = 2, 3, 7
RATES = (1e-3, 1e-2, 0.3)
FACTORS = (1.0, 0.7, 0.4, 0.25, 0.1, 0.1)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def torch_adamw(
    start: Tensor, gradients: list[Tensor], rate: float, decay: float, decayed: int, clip: float | None
) -> list[Tensor]:
    """The path of one member; its first ``decayed`` columns are under weight decay."""
    first, rest = start[:decayed].clone().requires_grad_(), start[decayed:].clone().requires_grad_()
    optimiser = torch.optim.AdamW(
        [{"params": [first], "weight_decay": decay}, {"params": [rest], "weight_decay": 0.0}], lr=rate
    )
    path = []
    for gradient, factor in zip(gradients, FACTORS, strict=True):
        for group in optimiser.param_groups:
            group["lr"] = rate * factor
        first.grad, rest.grad = gradient[:decayed].clone(), gradient[decayed:].clone()
        if clip is not None:
            nn.utils.clip_grad_norm_([first, rest], clip)
        optimiser.step()
        path.append(torch.cat([first, rest]).detach().clone())
    return path


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("clip", [None, 0.1, 2.0, 1e3])
def test_every_step_is_that_of_torch(decay: float, clip: float | None) -> None:
    start, decayed = draw(0, REPLICAS, MEMBERS, COLUMNS), 4
    gradients = [draw(1 + step, REPLICAS, MEMBERS, COLUMNS) * 10.0 ** (step - 3) for step in range(len(FACTORS))]
    columns = torch.tensor([decay] * decayed + [0.0] * (COLUMNS - decayed), dtype=torch.float64)
    optimiser = StackedAdam(start.clone(), torch.tensor(RATES, dtype=torch.float64), columns, clip)
    path = []
    for gradient, factor in zip(gradients, FACTORS, strict=True):
        optimiser.step(gradient, factor)
        path.append(optimiser.parameters.clone())
    for r in range(REPLICAS):
        for k, rate in enumerate(RATES):
            own = [gradient[r, k] for gradient in gradients]
            expected = torch_adamw(start[r, k], own, rate, decay, decayed, clip)
            for ours, theirs in zip(path, expected, strict=True):
                # torch adds 1e-6 to the norm that it clips by
                torch.testing.assert_close(ours[r, k], theirs, rtol=1e-5, atol=1e-6)


def test_leaves_the_gradient_as_it_was() -> None:
    gradient = draw(1, 1, 2, 3)
    before = gradient.clone()
    StackedAdam(draw(0, 1, 2, 3), torch.ones(2), torch.ones(3), clip=0.1).step(gradient, 1.0)
    assert torch.equal(gradient, before)


@pytest.mark.parametrize("poison", [torch.nan, torch.inf, 1e30])
def test_a_gradient_that_is_not_finite_moves_its_own_member_alone(poison: float) -> None:
    """To the bit."""
    paths = []
    for value in (0.5, poison):
        optimiser = StackedAdam(draw(0, 2, 3, 4).float(), torch.full((3,), 0.1), torch.full((4,), 0.1), clip=1.0)
        for seed in range(3):
            gradient = draw(seed, 2, 3, 4).float()
            gradient[:, 1, 2] = value
            optimiser.step(gradient, 1.0)
        paths.append(optimiser.parameters)
    assert torch.equal(paths[0][:, [0, 2]], paths[1][:, [0, 2]])
    assert not torch.equal(paths[0][:, 1], paths[1][:, 1])


def test_those_who_are_kept_go_on_as_if_nothing_had_happened() -> None:
    def steps(optimiser: StackedAdam, seeds: range, members: list[int]) -> None:
        for seed in seeds:
            optimiser.step(draw(seed, 2, 4, 5)[:, members], 0.5)

    rates, columns = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64), torch.full((5,), 0.1).double()
    through = StackedAdam(draw(9, 2, 4, 5), rates, columns, clip=1.0)
    steps(through, range(6), [0, 1, 2, 3])
    kept = StackedAdam(draw(9, 2, 4, 5), rates, columns, clip=1.0)
    steps(kept, range(3), [0, 1, 2, 3])
    members = torch.tensor([1, 3])
    kept.keep(kept.parameters[:, members], members)
    steps(kept, range(3, 6), [1, 3])
    assert torch.equal(kept.parameters, through.parameters[:, members])
