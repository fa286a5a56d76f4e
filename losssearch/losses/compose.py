"""A loss spec as a PyTorch module."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from losssearch.losses.inputs import named_inputs
from losssearch.losses.part import learned_scalars, part_numbers, part_value
from losssearch.losses.spec import LossSpec


class ComposedLoss(nn.Module):
    """The loss that a spec describes.

    Learned scalars are parameters: give ``loss.parameters()`` to the optimiser beside the model's.
    ``class_prior`` ``[classes]`` is kept as a buffer for the terms that read it.
    """

    class_prior: Tensor | None

    def __init__(self, spec: LossSpec, class_prior: Tensor | None = None) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("class_prior", class_prior)
        self.learned = nn.ParameterDict(
            {
                f"{index}_{name}": nn.Parameter(torch.tensor(initial))
                for index, part in enumerate(spec.parts)
                for name, initial in learned_scalars(part).items()
            }
        )

    def forward(
        self, output: Tensor, target: Tensor, *, class_prior: Tensor | None = None, progress: float | Tensor = 0.0
    ) -> Tensor:
        """The loss of a batch: ``output`` ``[batch]``, ``[batch, 1]`` or ``[batch, classes]``; a scalar.

        ``progress`` in [0, 1] is the share of training done; only scheduled weights read it.
        """
        prior = self.class_prior if class_prior is None else class_prior
        done = torch.as_tensor(progress, dtype=output.dtype, device=output.device)
        named = named_inputs(output, target, self.spec.reads, prior, done)
        total = output.new_zeros(())
        for index, part in enumerate(self.spec.parts):
            numbers = {k: output.new_tensor(v) for k, v in part_numbers(part).items()}
            learned = {name: self.learned[f"{index}_{name}"] for name in learned_scalars(part)}
            total = total + part_value(part, named, numbers, learned)
        return total

    def extra_repr(self) -> str:
        """The formula."""
        return self.spec.formula()


def compose(spec: LossSpec | Mapping[str, object], *, class_prior: Tensor | None = None) -> ComposedLoss:
    """Build the module of a spec, or of its JSON form; raise `SpecError` with the rule that it breaks."""
    return ComposedLoss(spec if isinstance(spec, LossSpec) else LossSpec.from_json(spec), class_prior)
