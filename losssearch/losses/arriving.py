"""What is checked of the tensors that a loss is called with. An exported loss holds these very functions.

Shapes are checked always. Values are looked at where that costs no waiting: on the CPU, outside ``torch.compile`` and
``torch.func.vmap``. Elsewhere a value that breaks the rule makes the loss NaN.
"""

from __future__ import annotations

import torch
from torch import Tensor


def bounds(values: Tensor) -> tuple[float, float] | None:
    """Least and largest of ``values``, NaN where one is; None where they cannot be read without waiting."""
    if torch.compiler.is_compiling() or values.device.type != "cpu" or not values.numel():
        return None
    try:
        low, high = torch.aminmax(values)
        return low.item(), high.item()
    except RuntimeError:  # under vmap, and of tensors that are only shapes
        return None


def row_numbers(index: Tensor | None, rows: int, output: Tensor) -> Tensor:
    """The numbers of a batch's samples among ``rows`` training rows [batch], int64, each at most once.

    Raises `ValueError` for anything else, as far as values can be read.
    """
    if index is None:
        raise ValueError("this loss keeps something for each training row: give the numbers of the samples, index=")
    if index.shape != output.shape[:1] or index.is_floating_point() or index.dtype == torch.bool:
        raise ValueError(
            f"index must hold one whole number for each of the {output.shape[0]} samples, got {index.dtype} "
            f"{list(index.shape)}"
        )
    index = index.long()
    found = bounds(index)
    if found is None:
        return index
    if found[0] < 0:
        raise ValueError(f"index counts the training rows from 0, got {found[0]}")
    if found[1] >= rows:
        raise ValueError(f"index must be below the number of training rows, rows={rows}; got {found[1]}")
    counted = torch.bincount(index)
    if int(counted.max()) > 1:
        raise ValueError(f"index must hold each training row once in a batch, got row {int(counted.argmax())} again")
    return index


def marked(output: Tensor, valid: Tensor) -> Tensor:
    """``output``, NaN for the samples that are not ``valid`` [batch], and so is their gradient."""
    mark = torch.where(valid, 1.0, torch.nan).to(output.dtype)
    return output * (mark if output.dim() == 1 else mark.unsqueeze(-1))


def class_labels(target: Tensor, output: Tensor, ids_for: str = "") -> tuple[Tensor, Tensor]:
    """Labels that terms read, and ``output``: class ids [batch], int64, or probabilities [batch, classes].

    ``target`` holds class ids [batch]; probabilities [batch, classes] with rows that sum to 1; or, of two classes, the
    probability of class 1 [batch]. Where a term ``ids_for`` reads class ids alone, probabilities must be 0 or 1.
    Raises `ValueError` for any other target; where its values cannot be read, ``output`` is NaN for such a sample.
    """
    batch = output.shape[0]
    classes = max(output.shape[1], 2) if output.dim() == 2 else 2
    if target.shape == (batch, classes):
        shares = target.to(output.dtype)
        return _of_shares(shares, output, ids_for)
    if target.shape not in ((batch,), (batch, 1)):
        raise ValueError(
            f"there must be as many targets as outputs: class ids [{batch}] or probabilities [{batch}, {classes}], "
            f"got {list(target.shape)} for outputs {list(output.shape)}"
        )
    values = target.reshape(batch)
    if classes == 2 and values.is_floating_point() and not ids_for:
        found = bounds(values)
        positive = values.to(output.dtype)
        if found is None:
            valid = (positive >= 0) & (positive <= 1)
            output, positive = marked(output, valid), torch.where(valid, positive, 0)
        elif not (found[0] >= 0 and found[1] <= 1):
            odd = values[~((values >= 0) & (values <= 1))][0].item()
            raise ValueError(f"a target of two classes must be 0, 1 or a probability between, got {odd:g}")
        return torch.stack((1 - positive, positive), dim=-1), output
    return _of_ids(values, output, classes, ids_for)


def _of_ids(values: Tensor, output: Tensor, classes: int, ids_for: str) -> tuple[Tensor, Tensor]:
    labels = values.long()
    if values.dtype == torch.bool:
        return labels, output
    found = bounds(values)
    if found is None:
        valid = (values >= 0) & (values < classes) & (values == labels)
        return torch.where(valid, labels, 0), marked(output, valid)
    if found[0] >= 0 and found[1] < classes and (not values.is_floating_point() or bool((values == labels).all())):
        return labels, output
    odd = values[~((values >= 0) & (values < classes) & (values == labels))][0].item()
    if ids_for and 0 < odd < 1:
        raise ValueError(f"{ids_for} reads class ids, not probabilities: a target must be 0 or 1, got {odd:g}")
    raise ValueError(
        f"a target must be a class id from 0 to {classes - 1}, or probabilities [batch, {classes}]; got {odd:g}"
    )


def _of_shares(shares: Tensor, output: Tensor, ids_for: str) -> tuple[Tensor, Tensor]:
    # half precision has three digits
    slack = 1e-3 if torch.finfo(shares.dtype).eps < 1e-4 else 2e-2
    found = bounds(shares)
    fits = ((shares >= 0).all(-1)) & ((shares.sum(-1) - 1).abs() <= slack)
    if ids_for:
        fits = fits & (shares == shares.round()).all(-1)
    if found is None:
        output, shares = marked(output, fits), torch.where(fits.unsqueeze(-1), shares, 1 / shares.shape[-1])
    elif not bool(fits.all()):
        row = int((~fits).nonzero()[0])
        shown = ", ".join(f"{share:.4g}" for share in shares[row, :8].tolist()) + ", ..." * (shares.shape[1] > 8)
        rule = (
            f"{ids_for} reads class ids, not probabilities: a row of a target must be one-hot"
            if ids_for
            else "a row of a target must hold probabilities that sum to 1"
        )
        raise ValueError(f"{rule}, got [{shown}] in row {row}")
    return (shares.argmax(-1) if ids_for else shares), output


def term_tensors(name: str, reads: tuple[str, ...], tensors: tuple[Tensor, ...], ids_for: str = "") -> list[Tensor]:
    """What a term is called with, as it reads it; raises `ValueError` where the shapes do not fit.

    Logits [batch] or [batch, 1] of two classes are shown as (-z/2, z/2), and two scores as their difference where the
    term reads one logit; predictions and targets may be columns. Labels are those of `class_labels`.
    """
    if len(tensors) != len(reads):
        raise ValueError(f"{name} reads {', '.join(reads)}, so it takes {len(reads)} tensors; got {len(tensors)}")
    named = dict(zip(reads, tensors, strict=True))
    output = next((named[kind] for kind in ("logits", "logit", "prediction") if kind in named), tensors[0])
    batch = output.shape[0] if output.dim() else 0
    one = output.shape in ((batch,), (batch, 1))
    if "logits" in named and not (one or output.dim() == 2):
        raise ValueError(f"{name} reads logits [batch, classes], or [batch] of two classes, got {list(output.shape)}")
    if "logit" in named and not (one or output.shape == (batch, 2)):
        raise ValueError(f"{name} reads the logit of class 1 [batch], or two scores, got {list(output.shape)}")
    if "prediction" in named and not one:
        raise ValueError(f"{name} reads predictions [batch], got {list(output.shape)}")
    if "labels" in named:
        named["labels"], output = class_labels(named["labels"], output, ids_for)
    if one:
        output = output.reshape(batch)
        if "logits" in named:
            output = torch.stack((-output / 2, output / 2), dim=-1)
    elif "logit" in named:
        output = output[:, 1] - output[:, 0]
    named.update({kind: output for kind in ("logits", "logit", "prediction") if kind in named})
    classes = 2 if "logit" in named else output.shape[-1] if output.dim() else 0
    columns = dict.fromkeys(("target", "risk", "score", "time", "event", "grade", "interval"), (batch,))
    shapes = {"class_prior": (classes,), "group": (batch, -1), "distance": (batch, batch), **columns}
    for kind, shape in shapes.items():
        found = named[kind].shape if kind in named else shape
        if kind in columns and found == (batch, 1):
            named[kind] = named[kind].reshape(batch)
        elif len(found) != len(shape) or any(want not in (-1, got) for want, got in zip(shape, found, strict=True)):
            wanted = ", ".join("groups" if size < 0 else str(size) for size in shape)
            raise ValueError(f"{name} reads {kind} [{wanted}] for outputs {list(output.shape)}, got {list(found)}")
    return [named[kind] for kind in reads]
