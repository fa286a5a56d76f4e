"""The standard tensors that terms read: scores and labels, predictions and targets, groups and distances."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from losssearch.data.batch import Attribute, Sensitive
from losssearch.errors import SpecError
from losssearch.losses.offer import Offer, Provider
from losssearch.losses.spec import LossSpec

if TYPE_CHECKING:
    from losssearch.data.batch import Batch, Sizes

OF_GROUPS = frozenset({"group", "distance"})
"""What fairness terms read in addition to outputs and targets."""


def _single(output: Tensor) -> bool:
    return output.dim() == 1 or output.shape[-1] == 1


def _classes(output: Tensor) -> int:
    return 2 if _single(output) else output.shape[-1]


def _scores(output: Tensor) -> Tensor:
    return output.reshape(output.shape[0]) if _single(output) else output


def _logits(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    scores = _scores(output)
    return torch.stack((-scores / 2, scores / 2)).mT if _single(output) else scores


def _probabilities(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    return torch.softmax(_logits(output, batch, facts), -1)


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, reduction="none")


def _squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    return (prediction - target).square()


def _one_hot(logits: Tensor, labels: Tensor) -> Tensor:
    if labels.is_floating_point():
        return labels
    return (labels.unsqueeze(-1) == torch.arange(logits.shape[-1], device=logits.device)).to(logits.dtype)


def _as_column(target: Tensor) -> Tensor:
    return target[:, None]


def _column(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    return _prediction(output, batch, facts)[:, None]


def require_two_classes(output: Tensor) -> None:
    """Raise `SpecError` where outputs are not those of two classes."""
    if _classes(output) != 2:
        rows = output.shape[0]
        raise SpecError(
            f"a term of this loss is for two classes, with outputs [{rows}], [{rows}, 1] or [{rows}, 2]; "
            f"got outputs {list(output.shape)}"
        )


def _logit(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    require_two_classes(output)
    scores = _scores(output)
    return scores if _single(output) else scores[..., -1] - scores[..., 0]


def _labels(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    target, rows, classes = batch["target"], output.shape[0], _classes(output)
    if target.is_floating_point() and target.shape == (rows, classes):
        return target
    if target.numel() != rows:
        raise SpecError(
            f"targets must be class ids [{rows}] or probabilities [{rows}, {classes}] for outputs "
            f"{list(output.shape)}, got {list(target.shape)}"
        )
    return target.reshape(rows).long()


def _prediction(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    if not _single(output):
        rows = output.shape[0]
        raise SpecError(
            f"a regression loss reads one prediction per sample, [{rows}] or [{rows}, 1]; "
            f"got outputs {list(output.shape)}"
        )
    return _scores(output)


def _target(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    target, rows = batch["target"], output.shape[0]
    if target.numel() != rows:
        raise SpecError(
            f"targets must be one number per sample, [{rows}] for outputs {list(output.shape)}; "
            f"got {list(target.shape)}"
        )
    return target.reshape(rows).to(output.dtype)


def _class_prior(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    prior, classes = facts["class_prior"], _classes(output)
    if prior.shape != (classes,):
        raise SpecError(f"class_prior must be [{classes}], one share per class, got {list(prior.shape)}")
    return prior.to(output.dtype)


def _fact(output: Tensor, batch: Batch, facts: Batch, *, name: str) -> Tensor:
    return facts[name].to(output.dtype)


def _field(output: Tensor, batch: Batch, facts: Batch, *, name: str) -> Tensor:
    return batch[name].to(output.dtype)


def _per_row(output: Tensor, batch: Batch, facts: Batch, *, name: str) -> Tensor:
    value = batch[name]
    if value.shape[0] != output.shape[0]:
        rows = output.shape[0]
        raise SpecError(f"{name} must have one row per sample, got {len(value)} for {rows} outputs")
    return value.to(output.dtype)


def _progress(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    return facts["progress"]


def _group(batch: Batch, sizes: Sizes, row_axis: int) -> Tensor:
    return memberships(batch["group"], sizes.sensitive)


def _distance(batch: Batch, sizes: Sizes, row_axis: int) -> Tensor:
    return pairwise_distance(batch["features"].flatten(row_axis + 1))


PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {
        "logits": Provider(_logits, "class scores [batch, classes]; a binary model's logit z is shown as (-z/2, z/2)"),
        "scores": Provider(_logits, "what the model puts out [batch, columns]: class scores, or the prediction"),
        "predicted": Provider(
            _probabilities, "what the model predicts [batch, columns]: class probabilities, or the prediction"
        ),
        "plain_loss": Provider(
            _cross_entropy,
            "what the plain loss of the task says of each sample [batch]: cross-entropy, or squared error",
            of=("logits", "labels"),
        ),
        "goal": Provider(
            _one_hot,
            "what is to be predicted [batch, columns]: one-hot class ids, or the standardised target",
            of=("logits", "labels"),
        ),
        "logit": Provider(_logit, "score of the positive class of a binary model [batch]"),
        "labels": Provider(_labels, "class ids [batch], int64", fields=("target",)),
        "class_prior": Provider(
            _class_prior,
            "share of each class in the training part [classes]",
            facts=("class_prior",),
            ask="the share of each class, a tensor [classes]",
        ),
        "prediction": Provider(_prediction, "model output [batch], in units of the standardised target"),
        "target": Provider(_target, "standardised target [batch]", fields=("target",)),
        "zero": Provider(
            partial(_fact, name="zero"),
            "where the target's own zero lies in the unit of target, scalar; 0 where targets are not standardised",
            facts=("zero",),
            ask="where the target's own zero lies, 0 for raw targets",
        ),
        "progress": Provider(_progress, "share of training done, scalar in [0, 1]"),
        "group": Provider(
            partial(_per_row, name="group"),
            "how far each sample belongs to each sensitive group [batch, groups]; one-hot, soft or continuous",
            fields=("group",),
            once=_group,
            ask="ids [batch] or memberships [batch, groups]",
            per_sample=False,
        ),
        "parameters": Provider(
            partial(_field, name="parameters"),
            "parameters of the model in one vector [numbers], where a training loop gives them",
            fields=("parameters",),
            ask="parameters, one vector of those of the model; losses in a training loop of your own have them",
        ),
        "input_gradient": Provider(
            partial(_per_row, name="input_gradient"),
            "gradient by the features of each sample [batch, features], where a training loop gives it",
            fields=("input_gradient",),
            ask="input_gradient [batch, features]; losses in a training loop of your own have it",
        ),
        "mixed": Provider(
            partial(_per_row, name="mixed"),
            "what the model predicts for mixtures of samples [batch, columns], where a training loop gives it",
            fields=("mixed",),
            ask="mixed [batch, columns]; losses in a training loop of your own have it",
        ),
        "mixture": Provider(
            partial(_per_row, name="mixture"),
            "mixtures of what the model predicts [batch, columns], where a training loop gives them",
            fields=("mixture",),
            ask="mixture [batch, columns]; losses in a training loop of your own have it",
        ),
        "distance": Provider(
            partial(_per_row, name="distance"),
            "root mean square difference of the features of each pair of samples [batch, batch]",
            fields=("features",),
            once=_distance,
            ask="features, a tensor [batch, ...]",
            per_sample=False,
        ),
    }
)
"""The providers of the tensors that the built-in kinds of task offer."""

STANDARD = Offer(dict(PROVIDERS))
"""All of these, for outputs that are class scores."""

NUMBERS = STANDARD | {
    "scores": replace(PROVIDERS["scores"], make=_column, columns=1),
    "predicted": replace(PROVIDERS["predicted"], make=_column, columns=1),
    "plain_loss": replace(PROVIDERS["plain_loss"], make=_squared_error, of=("prediction", "target")),
    "goal": replace(PROVIDERS["goal"], make=_as_column, of=("target",), columns=1),
}
"""All of these, for outputs that are predictions of a number."""


_more: dict[str, Offer] = {}


def offer_also(kind: str, offer: Offer) -> None:
    """Let losses that come without their task read what a kind of task offers under names of its own."""
    _more[kind] = offer


def offer_of(spec: LossSpec) -> Offer:
    """The offer of a loss that comes without its task: what its terms read tells whether the target is numbers.

    A loss that reads tensors of another kind of task has the offer of the first that gives all of them.
    """
    if spec.reads - STANDARD.providers.keys():
        found = next((offer for offer in _more.values() if spec.reads <= offer.providers.keys()), None)
        if found is not None:
            return found
    numbers = any(part.term.of_numbers for part in spec.parts) or spec.reads & {"prediction", "target"}
    return NUMBERS if numbers else STANDARD


def memberships(group: Tensor, sensitive: Sensitive) -> Tensor:
    """``[..., batch, groups]`` float, from ids ``[..., batch]`` in [0, groups) or from memberships given as they are.

    The values of an attribute that is a number are ``[..., batch, 1]``, which is kept, or ``[batch]``, which gets the
    column. An id outside [0, groups) belongs to no group. Raises `SpecError` where the tensor fits neither.
    """
    if isinstance(sensitive, Attribute) and (group.dim() == 1 or not group.is_floating_point()):
        return group.unsqueeze(-1).to(torch.promote_types(group.dtype, torch.get_default_dtype()))
    columns = 0 if sensitive is None else 1 if isinstance(sensitive, Attribute) else sensitive.count
    if group.is_floating_point():
        if columns and group.shape[-1] != columns:
            raise SpecError(f"memberships must have {columns} columns, one per group, got {list(group.shape)}")
        return group
    if not columns:
        raise SpecError("group ids need the number of groups: give groups=, or memberships [batch, groups]")
    return (group.unsqueeze(-1) == torch.arange(columns, device=group.device)).to(torch.get_default_dtype())


def pairwise_distance(features: Tensor) -> Tensor:
    """Root mean square difference ``[..., batch, batch]`` of the features ``[..., batch, features]`` of each pair.

    From the differences themselves: products would leave rounding errors where two rows are equal.
    """
    apart: Tensor = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    return apart / math.sqrt(features.shape[-1])
