"""Terms that PyTorch has a function of its own for, once their numbers are known.

A term works on tensors alone, so that a population evaluates it for all members at once. A single loss knows its
numbers: one fused function then stands for the several operations of the term, forward and backward.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

from torch import Tensor
from torch.nn import functional as F

from losssearch.losses.spec import Part
from losssearch.losses.term import Setting


@dataclass(frozen=True)
class Direct:
    """A function of ``torch.nn.functional`` that takes what the term reads, in order.

    ``keywords``: the term's hyperparameters, all of them, and what the function calls each.
    """

    function: Callable[..., Tensor]
    keywords: Mapping[str, str] = field(default_factory=dict)

    def arguments(self, part: Part) -> dict[str, float]:
        """The part's numbers by the function's own names."""
        return {keyword: _plain(part.hyperparameters[name]) for name, keyword in self.keywords.items()}

    def of(self, part: Part) -> Callable[..., Tensor]:
        """From what the term reads to the mean of the part's losses, or each of them where its reduction is another."""
        return partial(self.function, **self.arguments(part), reduction=reduction(part))

    def each(self, part: Part) -> Callable[..., Tensor]:
        """From what the term reads to each of the part's losses."""
        return partial(self.function, **self.arguments(part), reduction="none")

    def source(self, part: Part, reduction: str = "none") -> str:
        """The part's losses, reduced so, as an expression, with ``F`` for ``torch.nn.functional``."""
        arguments = [*part.term.reads, *(f"{name}={value!r}" for name, value in self.arguments(part).items())]
        if reduction != "mean":
            arguments.append(f'reduction="{reduction}"')
        return f"F.{self.function.__name__}({', '.join(arguments)})"


def _plain(setting: Setting) -> float:
    assert isinstance(setting, int | float)  # noqa: S101  (a direct function has plain numbers alone)
    return float(setting)


def reduction(part: Part) -> str:
    """What a direct function is told: the mean is its own, all else is left to the caller."""
    return "mean" if part.reduction.is_mean else "none"


def direct_of(part: Part) -> Direct | None:
    """The function that stands for the part's term, where there is one and all of its numbers are known."""
    return None if part.scheduled else DIRECT.get(part.name)


def takes_floats(part: Part) -> bool:
    """Whether the part's term is called with numbers of Python's, and none of them follows a schedule."""
    return part.name in PLAIN and not part.scheduled


DIRECT: Mapping[str, Direct] = MappingProxyType(
    {
        "cross_entropy": Direct(F.cross_entropy, {"smoothing": "label_smoothing"}),
        "squared": Direct(F.mse_loss),
        "absolute": Direct(F.l1_loss),
        "huber": Direct(F.huber_loss, {"delta": "delta"}),
    }
)
"""By the term's name."""

PLAIN = frozenset(
    {
        "active_passive",
        "asymmetric_squared",
        "binary_cross_entropy",
        "cost_sensitive_cross_entropy",
        "cross_entropy",
        "focal",
        "generalised_cross_entropy",
        "huber",
        "ldam",
        "logit_adjustment",
        "poly1",
        "quantile",
        "smooth_average_precision",
        "symmetric_cross_entropy",
        "tversky",
        "weighted_cross_entropy",
    }
)
"""Terms that compute the same where their numbers are numbers and not tensors, in fewer operations. Others ask them for
what only tensors have."""
