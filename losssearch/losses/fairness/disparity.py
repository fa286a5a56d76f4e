"""Group disparity: a statistic of groups × a violation × a mechanism, for each kind of task.

The memory holds the window of soft decisions, the multiplier and, for the mechanism ``proxy``, the window of hard ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.domains import Choice, Float
from losssearch.losses.fairness.mechanisms import MECHANISMS, constrained, next_multiplier
from losssearch.losses.fairness.statistics import (
    CLASSIFICATION_STATISTICS,
    DECISION_FORMS,
    REGRESSION_STATISTICS,
    binary_forms,
    multiclass_forms,
    regression_forms,
    statistic_cells,
)
from losssearch.losses.fairness.violations import VIOLATIONS, violation_value
from losssearch.losses.fairness.window import group_rates, next_window, window_rows, window_sums
from losssearch.losses.state import Dimensions, State
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits

_REFERENCE = (
    "statistics and norms: Buyl et al. 2024, fairret; multipliers: Cotter et al. 2019, proxy-Lagrangian; "
    "Nocedal and Wright 2006, section 17.4"
)
_LIMIT = Float(0.0, 10.0, default=0.05)
_DECAY = Float(0.0, 0.999, default=0.98)
"""0.9 is enough for two groups; 0.98 reads six, the least 2 % of rows, to within 0.05 from batches of 512."""
_SHORT_DECAY = Float(0.0, 0.95, default=0.9)
"""Of means without bounds: in a longer window a strong penalty pushes on after the gap has changed its sign."""
_SHRINKAGE = Float(0.0, 100.0, default=1.0)
_RATE = Float(1e-4, 0.5, default=0.01, log=True)
_TEMPERATURE = Float(0.01, 10.0, default=0.5, log=True)

_Forms = tuple[Tensor, Tensor]


def disparity(
    forms: _Forms,
    group: Tensor,
    memory: Tensor,
    statistic: str,
    violation: str,
    mechanism: str,
    limit: Tensor,
    decay: Tensor,
    shrinkage: Tensor,
) -> Tensor:
    """What the model descends, a scalar, given the samples' forms."""
    measured = window_violation(forms, group, memory, statistic, violation, decay, shrinkage)
    row = window_rows(forms[0].shape[0])
    return constrained(mechanism, measured, limit, memory[0 if mechanism == "penalty" else row, 0])


def window_violation(
    forms: _Forms, group: Tensor, memory: Tensor, statistic: str, violation: str, decay: Tensor, shrinkage: Tensor
) -> Tensor:
    """The violation in the window with this batch in it."""
    numerator, denominator, _ = window_sums(forms, group, memory, decay)
    rates, overall, present = group_rates(numerator, denominator, shrinkage)
    return violation_value(violation, rates, overall, present, shares=statistic in DECISION_FORMS)


def next_disparity(
    soft: _Forms,
    hard: _Forms,
    group: Tensor,
    memory: Tensor,
    statistic: str,
    violation: str,
    mechanism: str,
    limit: Tensor,
    decay: Tensor,
    shrinkage: Tensor,
    rate: Tensor,
) -> Tensor:
    """The memory after a batch."""
    rows = window_rows(soft[0].shape[0])
    window = next_window(soft, group, memory[:rows], decay)
    if mechanism == "penalty":
        return window
    judged, kept = (hard, memory[rows + 1 :]) if mechanism == "proxy" else (soft, memory[:rows])
    measured = window_violation(judged, group, kept, statistic, violation, decay, shrinkage)
    moved = next_multiplier(mechanism, measured, limit, memory[rows], rate)  # one number, in the column of every group
    pieces = [window, moved[None]]
    return torch.cat([*pieces, next_window(hard, group, kept, decay)] if mechanism == "proxy" else pieces).detach()


def disparity_rows(cells: int, mechanism: str) -> int:
    """Rows of memory for a statistic with this number of cells."""
    rows = window_rows(cells)
    return {"penalty": rows, "proxy": 2 * rows + 1}.get(mechanism, rows + 1)


def _binary_rows(sizes: Dimensions) -> tuple[int, int]:
    return disparity_rows(statistic_cells(sizes.choices["statistic"], 1), sizes.choices["mechanism"]), sizes.groups


def _multiclass_rows(sizes: Dimensions) -> tuple[int, int]:
    return disparity_rows(
        statistic_cells(sizes.choices["statistic"], sizes.classes), sizes.choices["mechanism"]
    ), sizes.groups


def _regression_rows(sizes: Dimensions) -> tuple[int, int]:
    return disparity_rows(1, sizes.choices["mechanism"]), sizes.groups


def next_group_disparity(
    logit: Tensor,
    labels: Tensor,
    group: Tensor,
    *,
    memory: Tensor,
    statistic: str,
    violation: str,
    mechanism: str,
    threshold: Tensor,
    temperature: Tensor,
    limit: Tensor,
    decay: Tensor,
    shrinkage: Tensor,
    rate: Tensor,
) -> Tensor:
    """The memory of `group_disparity` after a batch."""
    soft = binary_forms(statistic, logit, torch.sigmoid((logit - threshold) / temperature), labels)
    hard = soft
    if mechanism == "proxy":
        hard = binary_forms(statistic, logit, (logit > threshold).to(logit.dtype), labels)
    return next_disparity(soft, hard, group, memory, statistic, violation, mechanism, limit, decay, shrinkage, rate)


@loss_term(
    reference=_REFERENCE,
    soft_labels=True,
    per_sample=False,
    nonnegative=False,
    scaled=False,
    memory=State(_binary_rows, moved_by="update", update=next_group_disparity, restarts=True),
    weighs_group=True,
    statistic=Choice(*CLASSIFICATION_STATISTICS, default="positive_rate"),
    violation=Choice(*VIOLATIONS, default="worst_pair"),
    mechanism=Choice(*MECHANISMS, default="penalty"),
    threshold=Float(-10.0, 10.0, default=0.0),
    temperature=_TEMPERATURE,
    limit=_LIMIT,
    decay=_DECAY,
    shrinkage=_SHRINKAGE,
    rate=_RATE,
    traits=Traits(oracle="fairlearn.metrics; fairret.loss.NormLoss"),
)
def group_disparity(
    logit: Tensor,
    labels: Tensor,
    group: Tensor,
    *,
    memory: Tensor,
    statistic: str,
    violation: str,
    mechanism: str,
    threshold: Tensor,
    temperature: Tensor,
    limit: Tensor,
    decay: Tensor,
    shrinkage: Tensor,
    rate: Tensor,
) -> Tensor:
    """How far a statistic of two-class decisions differs between groups, beyond a limit.

    A decision is ``p = σ((z - threshold) / temperature)``; a group's rate is a ratio of sums over an exponential window
    of mini-batches (``decay``), with ``shrinkage`` rows more at the overall rate; the violation v of all groups' rates
    becomes ``max(v - limit, 0)`` (penalty), ``λ (v - limit)`` with a multiplier λ that grows while the limit is broken
    (dual; proxy where λ follows hard decisions), or the augmented Lagrangian. ``calibration`` compares the mean of
    ``σ(z) - y``. Shapes: logit [batch], labels [batch] in {0, 1}, group [batch, groups] → scalar. Limits: as the
    temperature falls to 0, worst_pair less its limit is fairlearn's ``*_difference`` less the limit.
    """
    decisions = torch.sigmoid((logit - threshold) / temperature)
    forms = binary_forms(statistic, logit, decisions, labels)
    return disparity(forms, group, memory, statistic, violation, mechanism, limit, decay, shrinkage)


def next_group_disparity_multiclass(
    logits: Tensor,
    labels: Tensor,
    group: Tensor,
    *,
    memory: Tensor,
    statistic: str,
    violation: str,
    mechanism: str,
    temperature: Tensor,
    limit: Tensor,
    decay: Tensor,
    shrinkage: Tensor,
    rate: Tensor,
) -> Tensor:
    """The memory of `group_disparity_multiclass` after a batch."""
    soft = multiclass_forms(statistic, logits, torch.softmax(logits / temperature, -1), labels)
    hard = soft
    if mechanism == "proxy":
        classes = torch.arange(logits.shape[-1], device=logits.device)
        decided = (logits.argmax(-1, keepdim=True) == classes).to(logits.dtype)
        hard = multiclass_forms(statistic, logits, decided, labels)
    return next_disparity(soft, hard, group, memory, statistic, violation, mechanism, limit, decay, shrinkage, rate)


@loss_term(
    reference=_REFERENCE,
    soft_labels=True,
    shift_invariant=True,
    per_sample=False,
    nonnegative=False,
    scaled=False,
    memory=State(_multiclass_rows, moved_by="update", update=next_group_disparity_multiclass, restarts=True),
    weighs_group=True,
    statistic=Choice(*CLASSIFICATION_STATISTICS, default="positive_rate"),
    violation=Choice(*VIOLATIONS, default="worst_pair"),
    mechanism=Choice(*MECHANISMS, default="penalty"),
    temperature=_TEMPERATURE,
    limit=_LIMIT,
    decay=_DECAY,
    shrinkage=_SHRINKAGE,
    rate=_RATE,
    traits=Traits(oracle="fairlearn.metrics"),
)
def group_disparity_multiclass(
    logits: Tensor,
    labels: Tensor,
    group: Tensor,
    *,
    memory: Tensor,
    statistic: str,
    violation: str,
    mechanism: str,
    temperature: Tensor,
    limit: Tensor,
    decay: Tensor,
    shrinkage: Tensor,
    rate: Tensor,
) -> Tensor:
    """How far a statistic of decisions among classes differs between groups, beyond a limit.

    As `group_disparity`, with decisions ``softmax(z / temperature)`` and a cell for each class against the rest;
    accuracy and mean loss have one cell for all classes. The pairwise violations read the worst class. Shapes: logits
    [batch, classes], labels [batch], group [batch, groups] → scalar.
    """
    forms = multiclass_forms(statistic, logits, torch.softmax(logits / temperature, -1), labels)
    return disparity(forms, group, memory, statistic, violation, mechanism, limit, decay, shrinkage)


def next_group_disparity_regression(
    prediction: Tensor,
    target: Tensor,
    group: Tensor,
    *,
    memory: Tensor,
    statistic: str,
    violation: str,
    mechanism: str,
    limit: Tensor,
    decay: Tensor,
    shrinkage: Tensor,
    rate: Tensor,
) -> Tensor:
    """The memory of `group_disparity_regression` after a batch."""
    forms = regression_forms(statistic, prediction, target)
    return next_disparity(forms, forms, group, memory, statistic, violation, mechanism, limit, decay, shrinkage, rate)


@loss_term(
    reference=_REFERENCE,
    per_sample=False,
    nonnegative=False,
    scaled=False,
    memory=State(_regression_rows, moved_by="update", update=next_group_disparity_regression, restarts=True),
    weighs_group=True,
    statistic=Choice(*REGRESSION_STATISTICS, default="mean_prediction"),
    violation=Choice(*VIOLATIONS, default="worst_pair"),
    mechanism=Choice("penalty", "dual", "augmented", default="penalty"),
    limit=_LIMIT,
    decay=_SHORT_DECAY,
    shrinkage=_SHRINKAGE,
    rate=_RATE,
    traits=Traits(oracle="fairlearn.metrics"),
)
def group_disparity_regression(
    prediction: Tensor,
    target: Tensor,
    group: Tensor,
    *,
    memory: Tensor,
    statistic: str,
    violation: str,
    mechanism: str,
    limit: Tensor,
    decay: Tensor,
    shrinkage: Tensor,
    rate: Tensor,
) -> Tensor:
    """How far the mean of predictions, or of their errors, differs between groups, beyond a limit.

    As `group_disparity`, in units of the standardised target; mean loss is the mean squared error, ``kl`` that of
    normals of unit variance. Shapes: prediction [batch], target [batch], group [batch, groups] → scalar.
    """
    forms = regression_forms(statistic, prediction, target)
    return disparity(forms, group, memory, statistic, violation, mechanism, limit, decay, shrinkage)
