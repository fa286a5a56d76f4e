"""A term as a PyTorch module, and what its function is given by position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from losssearch.errors import SpecError
from losssearch.losses.arriving import term_tensors
from losssearch.losses.state import Dimensions
from losssearch.losses.weights import sample_weights, weighted_mean

if TYPE_CHECKING:
    from losssearch.losses.term import LossTerm


class TermModule(nn.Module):
    """A term with fixed hyperparameters as a PyTorch module; made by `LossTerm.module`.

    What the term learns are parameters of the module: pass them to the optimiser. ``forward`` takes the tensors that
    the term reads, in the order of ``term.reads``; hyperparameters take the dtype and the device of the first.
    """

    def __init__(self, term: LossTerm, hyperparameters: Mapping[str, float | int | str], reduction: str) -> None:
        super().__init__()
        self.term, self.hyperparameters, self.reduction = term, dict(hyperparameters), reduction
        for name, state in term.learned.items():
            self.register_parameter(name, nn.Parameter(state.start(Dimensions(), name)))

    def forward(self, *tensors: Tensor, weight: Tensor | None = None, **states: Tensor) -> Tensor:
        """The loss of a batch: a scalar, or ``[batch]`` where the reduction is "none".

        ``states``: what the term keeps from batch to batch, by name, as it is at this batch.

        ``weight`` ``[batch]``: a sample counts as often as its weight says; the mean is ``Σ w ℓ / Σ w``. Raises
        `SpecError` where a tensor has another shape than the term reads, a target is neither class ids nor (where the
        term reads them) probabilities, or a batch-level term cannot weigh samples.
        """
        term = self.term
        try:
            given = term_tensors(term.name, term.reads, tensors, term.name if term.needs_ids else "")
            weight = None if weight is None else sample_weights(weight, given[0])
        except ValueError as error:
            raise SpecError(str(error)) from None
        fixed = {k: v if isinstance(v, str) else given[0].new_tensor(v) for k, v in self.hyperparameters.items()}
        if set(states) != set(term.states) - set(term.learned):
            wanted = ", ".join(sorted(set(term.states) - set(term.learned))) or "none"
            raise SpecError(f"{term.name} takes the states {wanted}, got {', '.join(sorted(states)) or 'none'}")
        value = term(*weighed_inputs(term, given, weight), **fixed, **dict(self.named_parameters()), **states)
        if not term.per_sample:
            return value
        if weight is not None and self.reduction == "mean":
            return weighted_mean(value, weight)
        value = value if weight is None else value * weight
        return value if self.reduction == "none" else value.mean() if self.reduction == "mean" else value.sum()

    def extra_repr(self) -> str:
        """The term, its hyperparameters and its reduction, as modules print them."""
        values = [f"{name}={value}" for name, value in self.hyperparameters.items()]
        return ", ".join([self.term.name, *values, f"reduction={self.reduction}"])


def weighed_inputs(term: LossTerm, given: Sequence[Tensor], weight: Tensor | None) -> list[Tensor | None]:
    """What a term's function takes by position, of the tensors that it reads and of weights ``[batch]``.

    A term that sums over memberships is given memberships times weights. Raises `SpecError` where there are weights
    and the term cannot weigh its samples.
    """
    found: list[Tensor | None] = list(given)
    if weight is not None:
        term.require_weights()
        if term.weighs_group:
            place = term.reads.index("group")
            found[place] = given[place] * weight.unsqueeze(-1)
    return [*found, weight] if term.reads_weight else found
