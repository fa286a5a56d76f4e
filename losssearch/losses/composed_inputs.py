"""What a composed loss is called with, checked: `SpecError` for all that breaks a rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from losssearch.errors import SpecError
from losssearch.losses.arriving import class_labels, row_numbers
from losssearch.losses.inputs import require_two_classes
from losssearch.losses.weights import checked_reduction, sample_weights

if TYPE_CHECKING:
    from torch import Tensor

    from losssearch.losses.offer import Reading
    from losssearch.losses.spec import LossSpec


def reduction_of(spec: LossSpec, reduction: str) -> str:
    """The reduction, if the loss has it."""
    try:
        return checked_reduction(reduction, spec.batch_level)
    except ValueError as error:
        raise SpecError(str(error)) from None


def numbers_of_rows(index: Tensor | None, rows: int, output: Tensor) -> Tensor:
    """The numbers of the samples [batch] among ``rows`` training rows."""
    try:
        return row_numbers(index, rows, output)
    except ValueError as error:
        raise SpecError(str(error)) from None


def arrived(
    reads: frozenset[str], reading: Reading, ids_for: str, output: Tensor, target: Tensor, weight: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Outputs, targets and weights; ``ids_for`` is a term that reads class ids alone, empty where none does."""
    if "logit" in reads and output.dim() == 2:
        require_two_classes(output)  # before targets are checked against this number of classes
    try:
        if weight is not None:
            weight = sample_weights(weight, output)
        if "labels" in reading.names and output.dim() in (1, 2):
            target, output = class_labels(target, output, ids_for)
    except ValueError as error:
        raise SpecError(str(error)) from None
    return output, target, weight
