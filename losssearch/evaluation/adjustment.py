"""Adjustments that are tuned on validation outputs after training, per member, and applied to held-out outputs.

- threshold, for binary decisions: ``logit - threshold``
- temperature, for probabilities: ``logits / temperature``
- prior_shift, for multiclass decisions: ``logits - tau * log prior``
- shift, for regression: ``prediction + shift``
- none, for rankings

Those of several numbers are in `losssearch.evaluation.several`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from losssearch.data.batch import Batch
from losssearch.errors import OptionError
from losssearch.evaluation.members import map_members
from losssearch.evaluation.prior_shift import log_prior
from losssearch.evaluation.record import Fit, Metric
from losssearch.evaluation.several import SEVERAL
from losssearch.tasks.view import AdjustmentKind


@dataclass(frozen=True)
class Adjustment:
    """One number per member, or several, and how they change outputs.

    ``parameter`` is ``[...]``, float64: a threshold in logits, a temperature, a ``tau``, or a shift in the target's
    unit; 1 for a temperature and 0 for the others changes nothing. It is ``[..., count]`` for a kind in
    `losssearch.evaluation.several`. ``log_prior`` is ``[..., C]`` for a prior shift, else None.
    """

    kind: AdjustmentKind
    parameter: Tensor
    log_prior: Tensor | None = None

    def apply(self, outputs: Tensor) -> Tensor:
        """Adjusted ``outputs`` (``[..., N]`` or ``[..., N, C]``), in their own dtype."""
        if self.kind == "none":
            return outputs
        if (several := SEVERAL.get(self.kind)) is not None:
            return several.apply(outputs, self.parameter.to(outputs.dtype))
        by_member = self.parameter.to(outputs.dtype)
        by_member = by_member.reshape(by_member.shape + (1,) * (outputs.dim() - by_member.dim()))
        if self.log_prior is not None:
            return outputs - by_member * self.log_prior.to(outputs.dtype).unsqueeze(-2)
        if self.kind == "temperature":
            return outputs / by_member
        return outputs + by_member if self.kind == "shift" else outputs - by_member

    def select(self, index: Tensor | slice | int | tuple[Tensor | slice | int, ...]) -> Adjustment:
        """The adjustment of some members, by an index into the leading dimensions."""
        prior = None if self.log_prior is None else self.log_prior[index]
        return Adjustment(self.kind, self.parameter[index], prior)

    def where(self, mask: Tensor, other: Adjustment) -> Adjustment:
        """This adjustment for members in ``mask`` ``[...]``, ``other`` for the rest."""
        chosen = mask.unsqueeze(-1) if self.kind in SEVERAL else mask
        return Adjustment(self.kind, torch.where(chosen, self.parameter, other.parameter), self.log_prior)


def fit_adjustment(
    metric: Metric,
    outputs: Tensor,
    target: Tensor,
    *,
    tuned: Tensor | bool = True,
    facts: Batch | None = None,
    weight: Tensor | None = None,
) -> Adjustment:
    """Find the best adjustment for a metric, for every member of a population.

    Args:
        metric: Its ``adjustment`` says what is tuned.
        outputs: ``[..., N]`` or ``[..., N, C]``; of validation rows.
        target: ``[..., N]``; leading dimensions broadcast to those of ``outputs``.
        tuned: Members to tune, ``[...]``; the others are left as they are, as is one with a non-finite output.
        facts: Of the training rows; a prior shift needs ``class_prior``, the share of each class, ``[..., C]``.
        weight: Sample weights above zero, ``[..., N]``; a row of weight 2 counts as two equal rows.

    Raises:
        OptionError: For shapes that do not fit, or a missing class prior.
    """
    class_axis = metric.function.class_axis
    lead = outputs.shape[: outputs.dim() - (2 if class_axis else 1)]
    untouched = 1.0 if metric.adjustment == "temperature" else 0.0
    if metric.fit is None:
        return Adjustment("none", torch.zeros(lead, dtype=torch.float64, device=outputs.device))
    others, prior = [target], None
    if metric.adjustment == "prior_shift":
        if (class_prior := (facts or {}).get("class_prior")) is None:
            raise OptionError(f"class_prior is needed to tune {metric.name}")
        others.append(class_prior)
        prior = log_prior(class_prior.to(outputs.device)).expand(*lead, -1)
    only = tuned if isinstance(tuned, Tensor) else torch.tensor(tuned, device=outputs.device)
    fit = metric.fit
    if weight is not None:
        metric.check_weights()
        others.append(weight)
        fit = partial(_with_weights, metric.fit)
    columns = frozenset({0} if metric.function.target_columns else ())
    if (several := SEVERAL.get(metric.adjustment)) is not None:
        only = only | several.always(outputs)
        count = outputs.shape[-1] if len(several.untouched) == 1 else len(several.untouched)
        found = map_members(fit, outputs, *others, class_axis=class_axis, only=only, columns=columns, count=count)
        return Adjustment(metric.adjustment, several.neutral(found))
    parameter = map_members(fit, outputs, *others, class_axis=class_axis, only=only, columns=columns)
    return Adjustment(metric.adjustment, parameter.nan_to_num(untouched), prior)


def _with_weights(fit: Fit, outputs: Tensor, *others: Tensor) -> Tensor:
    """A fit whose last tensor is how often each row counts."""
    return fit(outputs, *others[:-1], weight=others[-1])


def evaluate(
    metric: Metric,
    outputs: Tensor,
    target: Tensor,
    *,
    tuned: Tensor | bool,
    facts: Batch | None = None,
    weight: Tensor | None = None,
) -> tuple[Tensor, Adjustment]:
    """The metric after the best adjustment on these rows, and that adjustment.

    Arguments and errors are those of `fit_adjustment`. Values are ``[...]``, float64; nan for a member with a
    non-finite output.
    """
    adjustment = fit_adjustment(metric, outputs, target, tuned=tuned, facts=facts, weight=weight)
    return metric.function(adjustment.apply(outputs), target, weight), adjustment
