"""A loss spec as a PyTorch module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from losssearch.data.batch import Sizes, sensitive
from losssearch.errors import SpecError
from losssearch.losses.balancing import balance_numbers, balanced, next_balance, output_norms
from losssearch.losses.composed_inputs import arrived, numbers_of_rows, reduction_of
from losssearch.losses.composed_states import read_states, require_room, write_states
from losssearch.losses.domains import CLASSES, GROUPS
from losssearch.losses.inputs import offer_of
from losssearch.losses.kept import Kept, kept_states
from losssearch.losses.offer import Offer
from losssearch.losses.part import next_states, updated
from losssearch.losses.prepared import Prepared
from losssearch.losses.spec import LossSpec
from losssearch.losses.term import TermReduction

if TYPE_CHECKING:
    from losssearch.data.batch import Batch

_UNREAD = torch.zeros(())
"""Stands for the progress that a loss without a schedule does not read."""


class ComposedLoss(nn.Module):
    """The loss that a spec describes, as a PyTorch module; made by `losssearch.compose` and `losssearch.load_loss`.

    What the loss learns are parameters: pass ``loss.parameters()`` to the optimiser in addition to the model's.
    ``class_prior`` ``[classes]`` is kept as a buffer for the terms that read it, and so is ``zero``, the position of
    the target's own zero in the unit of the targets that it receives (0 for raw ones). What the loss carries from batch
    to batch are buffers too, moved by every call in training mode; their shapes may depend on ``groups``, ``classes``
    and ``rows``, the numbers of sensitive groups, classes and training rows. ``seed``: of states that start at random.

    ``reduction`` is "mean", "sum" or "none" over samples, as in PyTorch; a loss with a part that returns one value per
    batch, or the mean of the largest losses of one, only has "mean". ``offer`` says how the tensors that terms read are
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
        rows: int = 0,
        seed: int = 0,
        sizes: Sizes = Sizes(),  # noqa: B008  (a frozen value)
    ) -> None:
        super().__init__()
        offer = offer or offer_of(spec)
        groups = GROUPS.check("groups", groups)
        self.spec, self.groups = spec, groups
        self.reduction = reduction_of(spec, reduction)
        self._ids_for = spec.needs_ids
        self._reads = spec.reads
        self._reads_norms = spec.balance.record.reads_norms
        self._reading = offer.reading(self._reads)
        own = {"class_prior": class_prior, "zero": None if zero is None else torch.tensor(float(zero)), **(facts or {})}
        self.register_buffer("class_prior", own["class_prior"])
        for name in self._reading.facts:
            self.register_buffer(name, own.get(name))
        self._parts = [Prepared(part) for part in spec.parts]
        # One tensor of all numbers that terms compute with: each small tensor made in `forward` costs a step dearly.
        numbers = [value for part in self._parts for value in part.tensors.values()]
        self._numbers = torch.tensor([*numbers, *balance_numbers(spec.balance).values()], dtype=torch.float64)
        if not groups and any(part.term.states and "group" in part.term.reads for part in spec.parts):
            raise SpecError("a term of this loss carries statistics of groups: give their number, groups=")
        if classes is None:
            classes = 2 if own["class_prior"] is None else len(own["class_prior"])
        classes = CLASSES.check("classes", classes)
        known = replace(sizes, classes=classes, sensitive=sensitive(groups), rows=rows or sizes.rows)
        self._sizes = offer.sized(known)
        kept = list(kept_states(spec, self._sizes))
        self._by_row = any(own.state.by_row for own in kept)
        more = kept_states(spec, offer.sized(replace(known, classes=classes + 1)))
        self._by_class = [own.shape for own in kept] != [own.shape for own in more]
        self._keep(kept, seed)

    def _keep(self, kept: list[Kept], seed: int) -> None:
        """Register what the parts and the balance keep: parameters what is learned, buffers all else."""
        places = [*range(len(self.spec.parts)), None]
        self._kept = {place: [own for own in kept if own.place == place] for place in places}
        self._buffers_of = {own.key: own.buffer for own in kept if own.state.handed_over}
        require_room(kept, self._sizes, self.groups)
        learned = [own for own in kept if own.state.optimised]
        self.learned = nn.ParameterDict({own.key: nn.Parameter(own.start(seed)) for own in learned})
        for own in kept:
            if not own.state.optimised:
                self.register_buffer(own.buffer, own.start(seed))

    @property
    def restart_at(self) -> tuple[float, ...]:
        """The shares of the training at which the model and its optimiser start anew, while the loss stays as it is."""
        return self.spec.restart_at

    @property
    def carries(self) -> bool:
        """Whether it carries something from batch to batch."""
        return any(own.state.update is not None for kept in self._kept.values() for own in kept)

    @property
    def remembers_rows(self) -> bool:
        """Whether it keeps something for each training row, so that a call needs their numbers, ``index``."""
        return self._by_row

    def found(self) -> dict[str, Tensor]:
        """A copy of what the loss hands over to a new training, by name: ``0_alpha``."""
        return {key: self._handed(key).detach().cpu().clone() for key in self._buffers_of}

    def _handed(self, key: str) -> Tensor:
        return self.learned[key] if key in self.learned else self.get_buffer(self._buffers_of[key])

    def set_learned(self, values: Mapping[str, float | Tensor]) -> None:
        """Let the loss begin with what `found` gave, by the names ``0_alpha`` or ``learned.0_alpha``."""
        for name, value in values.items():
            own = self._handed(name.removeprefix("learned."))
            own.data = torch.as_tensor(value).detach().to(own).clone()

    @classmethod
    def of_facts(cls, spec: LossSpec, facts: Batch, sizes: Sizes, offer: Offer | None = None) -> ComposedLoss:
        """The loss of a spec on data with these facts and sizes."""
        classes = sizes.classes or None
        return cls(spec, groups=sizes.groups, classes=classes, facts=facts, offer=offer, sizes=sizes)

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
        index: Tensor | None = None,
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
        ``zero`` is given, a scalar, it takes the place of the loss's own. Terms that keep a state for each training row
        read ``index``, the numbers of the samples among these rows ``[batch]``. Terms of a kind of task with names of
        its own read ``more``: further fields ``[batch, ...]`` and facts. Raises `SpecError` where none reads what is
        given.
        """
        if self._reads_norms and not torch.is_grad_enabled():
            given = {"weight": weight, "reduction": reduction, "class_prior": class_prior, "progress": progress}
            given |= {"group": group, "features": features, "zero": zero, "index": index, **more}
            with torch.enable_grad():  # gradients at the outputs are asked for in evaluation too
                evaluated: Tensor = self(output, target, **given)
            return evaluated.detach()
        reduced = self.reduction if reduction is None else reduction_of(self.spec, reduction)
        output, target, weight = arrived(self._reads, self._reading, self._ids_for, output, target, weight)
        if self._by_row:
            index = numbers_of_rows(index, self._sizes.rows, output)
        if self._reads_norms and not output.requires_grad:
            output = output.detach().requires_grad_()
        done = _UNREAD
        if "progress" in self._reads:
            done = progress.to(output) if isinstance(progress, Tensor) else output.new_full((), progress)
        reading = self._reading
        if more:
            reading.require_read(more)
        facts = self._facts(done, {"class_prior": class_prior, "zero": zero, **more})
        fields = {"target": target, "weight": weight, "group": group, "features": features, **more}
        batch = {name: value for name, value in fields.items() if value is not None}
        named = reading.named(output, reading.shared(batch, self._sizes, row_axis=0), facts)
        if self._by_class and "logits" in named and named["logits"].shape[-1] != self._sizes.classes:
            raise SpecError(
                f"this loss keeps something of each of {self._sizes.classes} classes, got outputs of "
                f"{named['logits'].shape[-1]}: give classes= where the loss is made"
            )
        named["progress"] = done
        numbers = iter(self._numbers_like(output))
        values = []
        for place, part in enumerate(self._parts):
            own = part.own_numbers(numbers)
            states = read_states(self, self.learned, self._kept[place], output, index) if part.states else {}
            values.append(part.value(named, own, states, reduced != "mean"))
            if part.follows and self.training:
                with torch.no_grad():
                    write_states(self, self._kept[place], next_states(part.part, named, own, states), index)
        if not self.spec.balance.is_sum:
            return self._balanced(values, output, done, numbers)
        total = values[0]
        for value in values[1:]:
            total = total + value
        if reduced == "mean":
            return total
        total = total if weight is None else total * weight
        return total.sum() if reduced == "sum" else total

    def _facts(self, progress: Tensor, given: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
        """The facts that terms read: those given with the batch, or the loss's own."""
        facts = {"progress": progress}
        for name in self._reading.facts:
            value = given.get(name)
            if (value := getattr(self, name) if value is None else value) is not None:
                facts[name] = value
        return facts

    def _balanced(self, parts: Sequence[Tensor], output: Tensor, progress: Tensor, numbers: Iterator[Tensor]) -> Tensor:
        balance, values = self.spec.balance, torch.stack(list(parts))
        norms = output_norms(parts, output) if self._reads_norms else None
        own = {name: next(numbers) for name in balance_numbers(balance)}
        states = read_states(self, self.learned, self._kept[None], values, None)
        if self.training and updated(balance.record.states):
            with torch.no_grad():
                write_states(self, self._kept[None], next_balance(balance, values, norms, progress, own, states), None)
        return balanced(balance, values, norms, progress, own, states)

    def _numbers_like(self, output: Tensor) -> Sequence[Tensor]:
        """What the terms compute with, of the type of ``output``."""
        if output.device.type == "cpu":
            return self._numbers.to(output.dtype).unbind()
        # Filled on the device: a copy from the host would make every step wait for the device.
        return [output.new_full((), number) for number in self._numbers.tolist()]

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
    rows: int = 0,
    seed: int = 0,
) -> ComposedLoss:
    """Build the loss module of a spec.

    Args:
        spec: a `LossSpec`, or its JSON form as a mapping.
        class_prior: the share of each class ``[classes]``, for terms that read it.
        groups: the number of sensitive groups, for fairness terms.
        classes: the number of classes, if it is neither two nor the length of ``class_prior``.
        zero: the position of the target's own zero in the unit of the targets, for terms that read it: ``-mean /
            scale`` for standardised targets, 0 for raw ones.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` over samples.
        offer: the tensors that a kind of task offers to terms; those of the built-in kinds by default. A loss whose
            terms all read ``scores`` or ``predicted`` alone, as a penalty on groups does, fits classes and numbers, and
            is taken for one of classes: for numbers give ``losssearch.tasks.get_task("regression").offer``.
        rows: the number of training rows, for terms that keep a state for each.
        seed: the seed of states that start at random.

    Returns:
        The loss, called as ``loss(output, target, weight=…, progress=…)``.

    Raises:
        SpecError: the spec breaks a rule; the message says which.

    Example:
        >>> import torch
        >>> import losssearch as ls
        >>> loss = ls.compose(
        ...     {"parts": [{"term": "binary_cross_entropy"}, {"term": "pairwise_auc", "weight": 0.5}]}
        ... )
        >>> loss(torch.tensor([2.0, -1.0, 0.5]), torch.tensor([1, 0, 0]))
        tensor(0.3559)
    """
    read = spec if isinstance(spec, LossSpec) else LossSpec.from_json(spec)
    return ComposedLoss(
        read,
        class_prior,
        groups=groups,
        classes=classes,
        zero=zero,
        reduction=reduction,
        offer=offer,
        rows=rows,
        seed=seed,
    )
