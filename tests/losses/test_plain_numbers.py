"""Terms that take plain numbers: value and gradient are as with tensors, in all corners of their ranges."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from losssearch.losses.direct import PLAIN
from losssearch.losses.term import registry

ROWS, CLASSES = 64, 4


def of_term(name: str) -> list[Tensor]:
    """What the term reads, the outputs first."""
    reads = registry[name].reads
    generator = torch.Generator().manual_seed(3)
    classes = 2 if "logit" in reads else CLASSES
    made = {
        "logits": 3 * torch.randn(ROWS, classes, generator=generator),
        "logit": 3 * torch.randn(ROWS, generator=generator),
        "prediction": torch.randn(ROWS, generator=generator),
        "labels": torch.randint(0, classes, (ROWS,), generator=generator),
        "target": torch.randn(ROWS, generator=generator),
        "class_prior": torch.arange(1.0, classes + 1) / sum(range(classes + 1)),
    }
    return [made[read] for read in reads]


def slope(name: str, numbers: dict[str, Tensor] | dict[str, float]) -> tuple[Tensor, Tensor]:
    output, *others = of_term(name)
    output.requires_grad_()
    value = registry[name](output, *others, **numbers).mean()
    (gradient,) = torch.autograd.grad(value, output)
    return value.detach(), gradient


@pytest.mark.parametrize("corner", ["low", "default", "high"])
@pytest.mark.parametrize("name", sorted(PLAIN))
def test_a_number_is_as_good_as_a_tensor(name: str, corner: str) -> None:
    numbers = {key: float(getattr(domain, corner)) for key, domain in registry[name].domains.items()}
    plain, tensors = slope(name, numbers), slope(name, {key: torch.tensor(value) for key, value in numbers.items()})
    torch.testing.assert_close(plain[0], tensors[0], rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(plain[1], tensors[1], rtol=1e-5, atol=1e-8)
