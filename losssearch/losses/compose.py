"""A loss spec as a PyTorch module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from losssearch.data.batch import Sizes, sensitive
from losssearch.errors import SpecError
from losssearch.losses.arriving import class_labels
from losssearch.losses.direct import direct_of, takes_floats
from losssearch.losses.domains import CLASSES, GROUPS, MOST_MEMORY
from losssearch.losses.inputs import offer_of, require_two_classes
from losssearch.losses.offer import Offer
from losssearch.losses.part import (
    learned_scalars,
    memory_rows,
    part_numbers,
    reduce,
    term_arguments,
    term_inputs,
    weighted,
)
from losssearch.losses.schedule import Scheduled
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.term import SAMPLE_WEIGHT, TermReduction
from losssearch.losses.weights import checked_reduction, sample_weights, weighted_mean

if TYPE_CHECKING:
    from losssearch.data.batch import Batch

_UNREAD = torch.zeros(())
"""Stands for the progress that a loss without a schedule does not read."""


class _Prepared:
    """A part with all that can be looked up before the first batch; its value is that of `part.part_value`."""

    def __init__(self, part: Part) -> None:
        self.part, self.term = part, part.term
        direct = direct_of(part)
        self.direct = direct.of(part) if direct and part.reduction.is_mean else None
        self.direct_each = direct.each(part) if direct else None
        self.learned = tuple(learned_scalars(part))
        self.mean = part.reduction.is_mean
        fixed = part.weighting.fixed
        self.factor = None if fixed is None else fixed / part.scale
        numbers = part_numbers(part)
        as_floats = {"scale", *(name for name in numbers if self._is_float(name))}
        self.floats: dict[str, Any] = {name: value for name, value in numbers.items() if name in as_floats}
        unused = {name for name in numbers if direct and name.startswith("hyper.")}
        self.tensors = {name: value for name, value in numbers.items() if name not in as_floats | unused}
        self.moves = bool(part.scheduled or part.term.learned or any(n.startswith("hyper.") for n in self.tensors))
        choices = {k: v for k, v in part.hyperparameters.items() if isinstance(v, str)}
        plain = {k: float(v) for k, v in part.hyperparameters.items() if isinstance(v, int | float)}
        self.given: dict[str, Any] = choices | plain
        """What the term takes by keyword, where nothing of it moves."""

    def _is_float(self, name: str) -> bool:
        """Whether the function that takes a number computes the same where it is Python's."""
        if name.startswith("hyper."):
            return takes_floats(self.part)
        own = self.part.weighting
        schedules = [number.record for _, number in own.numbers if isinstance(number, Scheduled)]
        return name.startswith("weight.") and own.record.plain and all(record.plain for record in schedules)

    def value(
        self,
        named: Mapping[str, Tensor],
        numbers: Iterator[Tensor],
        learned: Mapping[str, Tensor],
        remember: Callable[[Tensor], None] | None,
        each: bool = False,
    ) -> Tensor:
        """Weighted, reduced and scaled; takes its own from the iterator of ``numbers``.

        Where the term has a memory, ``remember`` is told the next. With ``each`` the samples are not reduced, [batch].
        """
        own = self.floats | {name: next(numbers) for name in self.tensors} if self.tensors else self.floats
        value = self._reduced(named, own, learned, remember, each)
        if self.factor is None:
            return weighted(self.part, value, named["progress"], own, learned)
        return value if self.factor == 1.0 else self.factor * value

    def _reduced(
        self,
        named: Mapping[str, Tensor],
        numbers: Mapping[str, Any],
        learned: Mapping[str, Tensor],
        remember: Callable[[Tensor], None] | None,
        each: bool,
    ) -> Tensor:
        weight = named.get(SAMPLE_WEIGHT)
        if self.direct and weight is None and not each:
            return self.direct(*(named[name] for name in self.term.reads))
        losses = self._losses(named, numbers, learned, remember)
        if each or not self.term.per_sample:
            return losses
        if self.mean:
            return losses.mean() if weight is None else weighted_mean(losses, weight)
        return reduce(self.part, losses, weight, numbers, named["progress"])

    def _losses(
        self,
        named: Mapping[str, Tensor],
        numbers: Mapping[str, Any],
        learned: Mapping[str, Tensor],
        remember: Callable[[Tensor], None] | None,
    ) -> Tensor:
        """What the term gives: [batch], or a scalar of a batch-level one."""
        term = self.term
        read = term_inputs(term, named)
        if self.direct_each:
            return self.direct_each(*read)
        given = term_arguments(self.part, named, numbers, learned) if self.moves else self.given
        losses = term(*read, **given)
        if remember and term.memory:
            with torch.no_grad():
                remember(term.memory.update(*read, **given))
        return losses


class ComposedLoss(nn.Module):
    """The loss that a spec describes.

    Learned scalars are parameters: give ``loss.parameters()`` to the optimiser beside the model's.
    ``class_prior`` ``[classes]`` is kept as a buffer for the terms that read it, and so is ``zero``, where the target's
    own zero lies in the unit of the targets that it will be given (0 for raw ones). What fairness terms carry from
    mini-batch to mini-batch are buffers too, moved by every call in training mode; they have a column for each of
    ``groups`` sensitive groups, and some a row for each of ``classes``.

    ``reduction`` is "mean", "sum" or "none" over samples, as in PyTorch; a loss with a part that gives one value per
    batch, or the mean of the worst share of one, has "mean" alone. ``offer`` says how the tensors that terms read are
    made, by default as the other terms tell; a kind of task that offers tensors of its own has its own, and its terms
    may read further ``facts``.
    """

    def __init__(
        self,
        spec: LossSpec,
        class_prior: Tensor | None = None,
        *,
        groups: int = 0,
        classes: int | None = None,
        zero: float | None = None,
        reduction: TermReduction = "mean",
        facts: Batch | None = None,
        offer: Offer | None = None,
    ) -> None:
        super().__init__()
        offer = offer or offer_of(spec)
        groups = GROUPS.check("groups", groups)
        self.spec, self.groups = spec, groups
        self.reduction = self._checked(reduction)
        self._ids_for = spec.needs_ids
        self.learned = nn.ParameterDict(
            {
                f"{index}_{name}": nn.Parameter(torch.tensor(initial))
                for index, part in enumerate(spec.parts)
                for name, initial in learned_scalars(part).items()
            }
        )
        self._reads = spec.reads
        self._reading = offer.reading(self._reads - {"memory"})  # each part has a memory of its own
        own = {"class_prior": class_prior, "zero": None if zero is None else torch.tensor(float(zero)), **(facts or {})}
        self.register_buffer("class_prior", own["class_prior"])
        for name in self._reading.facts:
            self.register_buffer(name, own.get(name))
        self._parts = [_Prepared(part) for part in spec.parts]
        # One tensor of all numbers that terms compute with: each small tensor made in `forward` costs a step dearly.
        numbers = [value for part in self._parts for value in part.tensors.values()]
        self._numbers = torch.tensor(numbers, dtype=torch.float64)
        if "memory" in self._reads and not groups:
            raise SpecError("a term of this loss carries statistics of groups: give their number, groups=")
        if classes is None:
            classes = 2 if own["class_prior"] is None else len(own["class_prior"])
        classes = CLASSES.check("classes", classes)
        if (carried := groups * sum(memory_rows(part, classes) for part in spec.parts)) > MOST_MEMORY:
            raise SpecError(
                f"a loss may carry {MOST_MEMORY} numbers from batch to batch; this one needs {carried} for {classes} "
                f"classes and {groups} groups"
            )
        self._sizes = Sizes(classes, sensitive(groups))
        for index, part in enumerate(spec.parts):
            if part.term.memory:
                self.register_buffer(f"memory_{index}", torch.zeros(memory_rows(part, classes), groups))

    @classmethod
    def of_facts(cls, spec: LossSpec, facts: Batch, sizes: Sizes, offer: Offer | None = None) -> ComposedLoss:
        """The loss of a spec on data with these facts and sizes."""
        return cls(spec, groups=sizes.groups, classes=sizes.classes or None, facts=facts, offer=offer)

    def forward(
        self,
        output: Tensor,
        target: Tensor,
        *,
        weight: Tensor | None = None,
        reduction: TermReduction | None = None,
        class_prior: Tensor | None = None,
        progress: float | Tensor = 0.0,
        group: Tensor | None = None,
        features: Tensor | None = None,
        zero: Tensor | None = None,
        **more: Tensor,
    ) -> Tensor:
        """The loss of a batch: ``output`` ``[batch]``, ``[batch, 1]`` or ``[batch, classes]``; a scalar.

        ``target`` holds class ids ``[batch]``, or probabilities: ``[batch, classes]`` with rows that sum to 1, or of
        two classes that of class 1 ``[batch]``. With probabilities the loss is its expectation over labels, as in
        PyTorch's cross-entropy. Raises `SpecError` for any other target, and for probabilities where a term reads class
        ids alone. Values are read on the CPU alone, outside ``torch.compile``: elsewhere one that breaks the rule makes
        the loss NaN.

        ``weight`` ``[batch]``: a sample counts as often as its weight says, so that the mean is ``Σ w ℓ / Σ w`` (0
        where all weights are 0), the sum ``Σ w ℓ``, and with the reduction "none" each loss is ``w ℓ``. ``reduction``
        takes the place of the loss's own.

        ``progress`` in [0, 1] is the share of training done; what follows a schedule reads it. Fairness terms read
        ``group``, ids ``[batch]`` or memberships ``[batch, groups]``, and some ``features`` ``[batch, ...]``. Where
        ``zero`` is given, a scalar, it takes the place of the loss's own. Terms of a kind of task with names of its own
        read ``more``: further fields ``[batch, ...]`` and facts. Raises `SpecError` where none reads what is given.
        """
        reduced = self.reduction if reduction is None else self._checked(reduction)
        output, target, weight = self._arrived(output, target, weight)
        done = _UNREAD
        if "progress" in self._reads:
            done = progress.to(output) if isinstance(progress, Tensor) else output.new_full((), progress)
        reading, facts = self._reading, {"progress": done}
        if more:
            reading.require_read(more)
        now = {"class_prior": class_prior, "zero": zero, **more}
        for name in reading.facts:
            value = now.get(name)
            if (value := getattr(self, name) if value is None else value) is not None:
                facts[name] = value
        fields = {"target": target, "weight": weight, "group": group, "features": features, **more}
        batch = {name: value for name, value in fields.items() if value is not None}
        named = reading.named(output, reading.shared(batch, self._sizes, row_axis=0), facts)
        named["progress"] = done
        numbers = iter(self._numbers_like(output))
        total: Tensor | None = None
        for index, part in enumerate(self._parts):
            learned = {name: self.learned[f"{index}_{name}"] for name in part.learned} if part.learned else {}
            remember = None
            if part.term.memory:
                named["memory"] = self.get_buffer(f"memory_{index}").to(output.dtype)
                remember = partial(self._remember, f"memory_{index}") if self.training else None
            value = part.value(named, numbers, learned, remember, reduced != "mean")
            total = value if total is None else total + value
        assert total is not None  # noqa: S101  (a spec has at least one part)
        if reduced == "mean":
            return total
        total = total if weight is None else total * weight
        return total.sum() if reduced == "sum" else total

    def _numbers_like(self, output: Tensor) -> Sequence[Tensor]:
        """What the terms compute with, of the type of ``output``."""
        if output.device.type == "cpu":
            return self._numbers.to(output.dtype).unbind()
        # Filled on the device: a copy from the host would make every step wait for the device.
        return [output.new_full((), number) for number in self._numbers.tolist()]

    def _checked(self, reduction: str) -> str:
        try:
            return checked_reduction(reduction, self.spec.batch_level)
        except ValueError as error:
            raise SpecError(str(error)) from None

    def _arrived(self, output: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Outputs, targets and weights once they are checked."""
        if "logit" in self._reads and output.dim() == 2:
            require_two_classes(output)  # before targets are checked against so many classes
        try:
            if weight is not None:
                weight = sample_weights(weight, output)
            if "labels" in self._reads and output.dim() in (1, 2):
                target, output = class_labels(target, output, self._ids_for)
        except ValueError as error:
            raise SpecError(str(error)) from None
        return output, target, weight

    def _remember(self, name: str, memory: Tensor) -> None:
        # In place it would change what the backward pass still reads.
        setattr(self, name, memory.to(self.get_buffer(name).dtype))

    def extra_repr(self) -> str:
        """The formula."""
        return self.spec.formula()

    def _repr_html_(self) -> str:
        from losssearch.losses.rendering import loss_html  # a notebook alone asks

        return loss_html(self.spec)


def compose(
    spec: LossSpec | Mapping[str, object],
    *,
    class_prior: Tensor | None = None,
    groups: int = 0,
    classes: int | None = None,
    zero: float | None = None,
    reduction: TermReduction = "mean",
    offer: Offer | None = None,
) -> ComposedLoss:
    """Build the module of a spec, or of its JSON form; raise `SpecError` with the rule that it breaks.

    ``groups``: how many sensitive groups there are, for fairness terms; ``classes``: how many classes, where it is
    neither two nor the length of ``class_prior``; ``zero``: where the target's own zero lies in the unit of the targets
    (minus mean over scale of standardised ones, 0 for raw ones), for the terms that read it; ``reduction``: "mean",
    "sum" or "none" over samples.
    """
    read = spec if isinstance(spec, LossSpec) else LossSpec.from_json(spec)
    return ComposedLoss(read, class_prior, groups=groups, classes=classes, zero=zero, reduction=reduction, offer=offer)
