"""From what a model puts out to the named tensors that terms read."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from losssearch.errors import SpecError
from losssearch.losses.term import SAMPLE_WEIGHT

CLASSIFICATION = frozenset({"logits", "logit", "labels"})
BESIDE = frozenset({"group", "memory", "distance"})
"""What fairness terms read beside outputs and targets."""

_ASKED = {
    "class_prior": "the share of each class, a tensor [classes]",
    "zero": "where the target's own zero lies, 0 for raw targets",
}


def named_inputs(
    output: Tensor,
    target: Tensor,
    reads: frozenset[str],
    class_prior: Tensor | None,
    progress: Tensor,
    group: Tensor | None = None,
    memory: Tensor | None = None,
    distance: Tensor | None = None,
    zero: Tensor | None = None,
    sample_weight: Tensor | None = None,
) -> dict[str, Tensor]:
    """Name the tensors of one batch of one member.

    ``output``: ``[batch]`` or ``[batch, 1]`` (a binary logit or a prediction), or ``[batch, classes]``.
    A binary logit z is also shown as the two class scores (-z/2, z/2), so that terms over classes serve
    both kinds of task. ``target``: [batch], or the probabilities of classes ``[batch, classes]`` as
    `losssearch.losses.arriving.class_labels` gives them. ``group``, ``memory``, ``distance`` and ``zero`` are given as
    `READABLE` says, ``sample_weight`` is one weight per sample. Raises `SpecError` where a term reads ``class_prior``
    or ``zero`` and there is none, or where the shapes do not fit: broadcasting would give a number that means nothing.
    """
    if output.dim() not in (1, 2):
        raise SpecError(f"an output must be [batch], [batch, 1] or [batch, classes], got {list(output.shape)}")
    single = output.dim() == 1 or output.shape[-1] == 1
    classes = 2 if single else output.shape[-1]
    soft = bool(reads & CLASSIFICATION) and target.is_floating_point() and target.shape == (output.shape[0], classes)
    if target.numel() != output.shape[0] and not soft:
        raise SpecError(f"there must be as many targets as outputs, got {list(target.shape)} and {list(output.shape)}")
    _check_given("class_prior", class_prior, reads)
    _check_given("zero", zero, reads)
    if "prediction" in reads and not single:
        raise SpecError(f"a regression loss reads one prediction a sample, got outputs {list(output.shape)}")
    if "logit" in reads and classes != 2:
        raise SpecError(f"a term of this loss is for two classes, got outputs {list(output.shape)}")
    if "class_prior" in reads and class_prior is not None and class_prior.shape != (classes,):
        raise SpecError(f"class_prior must be [{classes}], one share a class, got {list(class_prior.shape)}")
    score = output.reshape(output.shape[0]) if single else output
    named = {"progress": progress}
    beside = {"group": group, "memory": memory, "distance": distance, "zero": zero, SAMPLE_WEIGHT: sample_weight}
    for name, tensor in beside.items():
        if tensor is not None:
            named[name] = tensor.to(output.dtype)
    if class_prior is not None and "class_prior" in reads:
        named["class_prior"] = class_prior.to(output.dtype)
    if reads & CLASSIFICATION:
        named["labels"] = target if soft else target.reshape(output.shape[0]).long()
        named["logits"] = torch.stack((-score / 2, score / 2)).mT if single else score
        if "logit" in reads:
            named["logit"] = score if single else score[..., -1] - score[..., 0]
    else:
        named["prediction"] = score
        named["target"] = target.reshape(output.shape[0]).to(output.dtype)
    return named


def _check_given(name: str, tensor: Tensor | None, reads: frozenset[str]) -> None:
    if tensor is None and name in reads:
        raise SpecError(f"a term of this loss reads {name}: give {_ASKED[name]}")


def memberships(group: Tensor, groups: int) -> Tensor:
    """``[..., batch, groups]`` float, from ids ``[..., batch]`` in [0, groups) or from memberships given as they are.

    A single group says nothing, so with ``groups`` 1 the values are those of a sensitive attribute that is a number:
    ``[..., batch, 1]`` as it is, ``[batch]`` with the column added. An id outside [0, groups) belongs to no group.
    Raises `SpecError` where neither fits.
    """
    if groups == 1 and (group.dim() == 1 or not group.is_floating_point()):
        return group.unsqueeze(-1).to(torch.promote_types(group.dtype, torch.get_default_dtype()))
    if group.is_floating_point():
        if groups and group.shape[-1] != groups:
            raise SpecError(f"memberships must have {groups} columns, one a group, got {list(group.shape)}")
        return group
    if not groups:
        raise SpecError("group ids need the number of groups: give groups=, or memberships [batch, groups]")
    return (group.unsqueeze(-1) == torch.arange(groups, device=group.device)).to(torch.get_default_dtype())


def pairwise_distance(features: Tensor) -> Tensor:
    """Root mean square difference ``[..., batch, batch]`` of the features ``[..., batch, features]`` of each pair.

    From the differences themselves: products would leave rounding errors where two rows are equal.
    """
    apart: Tensor = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    return apart / math.sqrt(features.shape[-1])
