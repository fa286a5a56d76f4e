"""A metric that is a plain function of one model's outputs and target, called for one model at a time."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from losssearch.errors import OptionError, SpecError
from losssearch.evaluation.measure import Measure, Resampled
from losssearch.evaluation.record import Metric
from losssearch.tasks.view import View

WEIGHT, BATCH, OUTPUTS, GROUP = "weight", "batch", "outputs", "group"
TARGETS = ("target", "labels")
"""What the target may be called."""
READS = ("decisions", "probabilities", "scores", "predictions")
"""What the views of the built-in kinds of task offer; a kind of its own may offer more."""


@dataclass(frozen=True)
class PerMember(Measure):
    """A user's function, and what it ``reads``, by position. Outputs and targets are given in double precision."""

    function: Callable[..., Any]
    reads: tuple[str, ...]
    view: View
    name: str
    takes_weight: bool

    @property
    def target_columns(self) -> bool:
        """See `Measure.target_columns`."""
        return self.view.target_columns

    @property
    def reads_group(self) -> bool:
        """Whether it reads the group of each row, so that targets are cells of label and group."""
        return GROUP in self.reads

    @property
    def weighs(self) -> bool:
        """See `Measure.weighs`."""
        return self.takes_weight

    def plain(self, outputs: Tensor, target: Tensor) -> Tensor:
        """See `Measure.plain`."""
        return torch.stack([self._value(*one) for one in zip(outputs, target, strict=True)])

    def weighed(self, outputs: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """See `Measure.weighed`."""
        return torch.stack([self._value(*one) for one in zip(outputs, target, weight.double(), strict=True)])

    def resampled(self, outputs: Tensor, target: Tensor) -> Resampled:
        """See `Measure.resampled`: with a weight by how often a row was drawn, without one by repeating it."""

        def value(weights: Tensor) -> Tensor:
            return torch.stack([self._drawn(outputs, target, often) for often in weights.unbind(-1)])

        return value

    def _drawn(self, outputs: Tensor, target: Tensor, often: Tensor) -> Tensor:
        if self.takes_weight:
            rows = often.nonzero().squeeze(1)
            return self._value(outputs[rows], target[rows], often[rows].double())
        rows = torch.repeat_interleave(torch.arange(len(often), device=often.device), often.long())
        return self._value(outputs[rows], target[rows])

    def _value(self, outputs: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        shown = outputs.double()
        given = self._given(shown, target if self.view.labels else target.double(), weight)
        arguments = [given if name == BATCH else given[name] for name in self.reads]
        keywords = {WEIGHT: weight} if self.takes_weight else {}
        try:
            found = self.function(*arguments, **keywords)
        except Exception as error:
            said = " ".join(str(error).split())[:200]
            raise OptionError(f"metric {self.name} raised {type(error).__name__}: {said}") from error
        try:
            number = torch.as_tensor(found, dtype=torch.float64, device=outputs.device)
        except (TypeError, ValueError, RuntimeError):
            raise OptionError(f"metric {self.name} must return one number, got {type(found).__name__}") from None
        if number.numel() != 1:
            raise OptionError(f"metric {self.name} must return one number, got values of shape {list(number.shape)}")
        return number.detach().reshape(())

    def _given(self, outputs: Tensor, target: Tensor, weight: Tensor | None) -> Mapping[str, Tensor]:
        wanted = set(self.view.reads) if BATCH in self.reads else set(self.reads) & set(self.view.reads)
        given = {name: self.view.reads[name](outputs) for name in wanted}
        if self.reads_group:
            classes = outputs.shape[-1] if self.view.columns else 2
            given[GROUP], target = target // classes, target % classes
        given |= {OUTPUTS: outputs, **dict.fromkeys(TARGETS, target)}
        return given if weight is None else given | {WEIGHT: weight}


def function_of(metric: Metric) -> Callable[..., Any] | None:
    """The user's function that computes a metric; None if there is none."""
    measure = metric.function
    return measure.function if isinstance(measure, PerMember) else None


def per_member(function: Callable[..., Any], view: View | None, offered: Iterable[str] = ()) -> PerMember:
    """The measure that calls ``function``; without a view, only its parameters are looked at.

    ``offered``: what the views of the function's kinds of task offer, besides what those of the built-in ones do.

    Raises:
        SpecError: For parameters that no metric can read.
        OptionError: For one that this kind of task has nothing for.
    """
    name = getattr(getattr(function, "func", function), "__name__", type(function).__name__)
    fixed = function.keywords if isinstance(function, functools.partial) else {}
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        raise SpecError(f"metric {name} must have named parameters, such as (outputs, target)") from None
    parameters = [one for one in signature.parameters.values() if one.name not in fixed]
    if odd := [one.name for one in parameters if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]:
        raise SpecError(f"metric {name}'s parameters must be named one by one, got {', '.join(odd)}")
    positional = [one for one in parameters if one.kind is not one.KEYWORD_ONLY and one.name != WEIGHT]
    reads = [one.name for one in positional if one.default is one.empty]
    if not reads:
        raise SpecError(f"metric {name} must read something, such as (outputs, target), got no parameters")
    known = (OUTPUTS, *TARGETS, BATCH, *READS, GROUP, *(one for one in offered if one not in READS))
    if view is None and (unknown := [one for one in reads if one not in known]):
        raise SpecError(
            f"metric {name} is given what its parameters are called, and may read {', '.join((*known, WEIGHT))}; "
            f"got {', '.join(unknown)}: name them so, such as (outputs, target)"
        )
    if view is not None and (unknown := [one for one in reads if one not in _offered(view)]):
        offers = ", ".join(sorted(_offered(view)))
        raise OptionError(f"metric {name} reads {', '.join(unknown)}; in this kind of task it may read {offers}")
    takes_weight = any(one.name == WEIGHT for one in parameters)
    return PerMember(
        class_axis=view is not None and view.columns,
        function=function,
        reads=tuple(reads),
        view=view or View("", decide=lambda outputs: outputs),
        name=name,
        takes_weight=takes_weight,
    )


def _offered(view: View) -> set[str]:
    """Names that a metric may read; the group goes with labels alone, see `losssearch.evaluation.worst_cell.cells`."""
    return {OUTPUTS, BATCH, *TARGETS, *view.reads, *([GROUP] if view.labels else ())}
