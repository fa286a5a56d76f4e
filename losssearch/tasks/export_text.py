"""A kind of task's part of an exported loss: the text of ``forward``, and the example that the file checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from losssearch.losses.spec import LossSpec
from losssearch.tasks.heads import Head, narrowest, ranges

SHOWN_CLASSES = 12
"""The example has at most this many classes: its gradient is stored in the file."""


class Known(Protocol):
    """What is known of a loss that is handed over."""

    @property
    def spec(self) -> LossSpec:
        """The loss."""
        ...

    @property
    def classes(self) -> int:
        """How many classes the searched data has."""
        ...

    @property
    def class_prior(self) -> tuple[float, ...] | None:
        """The share of each class."""
        ...

    @property
    def reads_prior(self) -> bool:
        """Whether a term needs the share of each class."""
        ...

    @property
    def reads_labels(self) -> bool:
        """Whether a term needs labels, or something that is made of them."""
        ...

    @property
    def remembers(self) -> bool:
        """Whether a term carries something from batch to batch."""
        ...


Example: TypeAlias = tuple[list[str], Tensor, Tensor, Tensor | None]
"""Lines that make ``loss``, ``output`` and ``target``, and the output, target and class prior that they make."""


@dataclass(frozen=True)
class FieldText:
    """A field of a batch in an exported loss.

    Args:
        summary: What it holds, for the docstring of ``forward``.
        example: From the rows of the example to the text of an expression that makes the field, and its value.
    """

    summary: str
    example: Callable[[int], tuple[str, Tensor]]


@dataclass(frozen=True)
class ExportText:
    """What the text of an exported loss says of a kind of task.

    Args:
        shapes: What ``output`` and ``target`` are, for the docstring of ``forward``; of the loss, where that depends.
        inputs: From what is known of the loss to the lines that make the tensors that its terms read.
        example: The example of the file's check.
        soft: What probabilities may also be given as, after ``[batch, classes]``.
        unit: Whether the loss takes targets in their own unit too, by ``target_mean`` and ``target_scale``.
        fields: Further fields of a batch that terms of this kind read, which ``forward`` takes by their names.
    """

    shapes: str | Callable[[Known], str]
    inputs: Callable[[Known], list[str]]
    example: Callable[[Known], Example]
    soft: str = ""
    unit: bool = False
    fields: Mapping[str, FieldText] = field(default_factory=dict)


def class_labels_line(known: Known) -> list[str]:
    """The line that checks labels, where a term reads them."""
    if not known.reads_labels:
        return []
    ids = f', "{known.spec.needs_ids}"' if known.spec.needs_ids else ""
    return [f"labels, output = class_labels(target, output{ids})"]


def of_logits(known: Known) -> list[str]:
    """The lines that make what is neutral of ``logits``, where a term reads it."""
    lines = {
        "scores": "scores = logits",
        "predicted": "predicted = torch.softmax(logits, -1)",
        "plain_loss": 'plain_loss = torch.nn.functional.cross_entropy(logits, labels, reduction="none")',
        "goal": "goal = torch.nn.functional.one_hot(labels, logits.shape[-1]).to(output.dtype)",
    }
    return [line for name, line in lines.items() if name in known.spec.reads]


def of_heads(heads: Sequence[Head], columns: int = 1) -> ExportText:
    """The text for a target of numbers, ``columns`` per row, and outputs that are cut into ``heads``."""
    width = sum(head.width for head in heads)
    shape = "[batch]" if columns == 1 else f"[batch, {columns}]"
    named = ", ".join(f"{head.name} ({head.width})" for head in heads)

    def inputs(known: Known) -> list[str]:
        lines = [f"target = target.reshape(output.shape[0]{'' if columns == 1 else f', {columns}'}).to(output.dtype)"]
        lines.append(f"output = output.reshape(output.shape[0], {width})")
        for head, columns_ in ranges(heads):
            if head.name in known.spec.reads:
                place = f"{columns_.start}" if head.width == 1 else f"{columns_.start}:{columns_.stop}"
                lines.append(f"{head.name} = output[:, {place}]")
        if "scores" in known.spec.reads:
            lines.append("scores = output")
        return lines

    def example(known: Known) -> Example:
        rows = 12
        output = 2 * torch.arange(1, rows * width + 1, dtype=torch.float64).sin().reshape(rows, width)
        target = 1.5 * torch.arange(2, 2 * rows * columns + 1, 2, dtype=torch.float64).cos()
        lines = [
            "loss = Loss().double()",
            f"output = 2 * torch.arange(1, {rows * width + 1}, dtype=torch.float64).sin().reshape({rows}, {width})",
            f"target = 1.5 * torch.arange(2, {2 * rows * columns + 1}, 2, dtype=torch.float64).cos()",
        ]
        if columns > 1:
            target = target.reshape(rows, columns)
            lines[-1] += f".reshape({rows}, {columns})"
        return lines, output, target, None

    return ExportText(
        f"``output`` [batch, {width}]: {named}; ``target`` {shape}, standardised as the searched data's was.",
        inputs,
        example,
    )


def of_shared(
    heads: Callable[[int], tuple[Head, ...]],
    tensors: Mapping[str, str],
    *,
    target: tuple[str, Sequence[str]],
    example: Callable[[int], tuple[str, Tensor]],
    fields: Mapping[str, FieldText] = MappingProxyType({}),
    more: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> ExportText:
    """The text for heads that share their columns: the loss takes an output as wide as the head that it reads.

    Args:
        heads: From the number of classes to the heads.
        tensors: For each tensor that a head gives, the expression that makes it of ``output`` ``[batch, columns]``.
        target: What ``target`` is, for the docstring of ``forward``, and the lines that bring it into shape.
        example: From the rows of the example to the text of an expression that makes the target, and its value.
        fields: See `ExportText`.
        more: Lines that make a tensor that one expression does not.
    """

    def read(known: Known) -> Head:
        return narrowest(heads(known.classes), known.spec.reads)

    def shapes(known: Known) -> str:
        head = read(known)
        shape = "[batch] or [batch, 1]" if head.width == 1 else f"[batch, {head.width}]"
        return f"``output`` {shape}: {', '.join(head.columns) or head.name}; {target[0]}."

    def inputs(known: Known) -> list[str]:
        head = read(known)
        lines = [f"output = output.reshape(output.shape[0], {head.width})", *target[1]]
        lines += [f"{name} = {text}" for name, text in tensors.items() if name in known.spec.reads]
        lines += [line for name, own in more.items() if name in known.spec.reads for line in own]
        return lines

    def made(known: Known) -> Example:
        width, rows = read(known).width, 12
        text, value = example(rows)
        shape = f".reshape({rows}, {width})" if width > 1 else ""
        output = 2 * torch.arange(1, rows * width + 1, dtype=torch.float64).sin()
        lines = [
            "loss = Loss().double()",
            f"output = 2 * torch.arange(1, {rows * width + 1}, dtype=torch.float64).sin(){shape}",
            f"target = {text}",
        ]
        return lines, output.reshape(rows, width) if width > 1 else output, value, None

    return ExportText(shapes, inputs, made, fields=fields)
