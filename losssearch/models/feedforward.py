"""Stacked models over a feature vector: linear, MLP and residual MLP."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from losssearch.models.feedforward_pass import FeedForwardPass
from losssearch.models.stacked import Tensors, as_output, by_column, member_product, shared_product, uniform_fan_in


class FeedForward:
    """Fully connected layers of widths ``hidden``, with ReLU between them; without hidden layers it is linear.

    With ``residual``, every hidden layer after the first adds its input to its output. With ``by_column``, each output
    column is drawn by itself, so that a narrower model starts as the first columns of a wider one.
    """

    def __init__(
        self,
        features: int,
        width: int,
        hidden: Sequence[int] = (),
        *,
        residual: bool = False,
        by_column: bool = False,
    ) -> None:
        self._by_column = by_column
        sizes = (features, *hidden, width)
        self.layers = list(pairwise(sizes))
        inner = range(1, len(self.layers) - 1) if residual else ()
        self._skips = frozenset(index for index in inner if sizes[index] == sizes[index + 1])
        self.shapes: dict[str, tuple[int, ...]] = {}
        for index, layer in enumerate(self.layers):
            self.shapes[f"weight{index}"] = layer
            self.shapes[f"bias{index}"] = layer[1:]
        self.decayed = frozenset(name for name in self.shapes if name.startswith("weight"))

    def initial(self, seed: int) -> dict[str, Tensor]:
        """See `StackedModel.initial`."""
        generator = torch.Generator().manual_seed(seed)
        parameters: dict[str, Tensor] = {}
        for index, layer in enumerate(self.layers):
            draw = by_column if self._by_column and index == len(self.layers) - 1 else uniform_fan_in
            parameters[f"weight{index}"], parameters[f"bias{index}"] = draw(layer, generator)
        return parameters

    def beyond(self, columns: int) -> dict[str, Tensor]:
        """Which of the parameters only make output columns from ``columns`` on, by name: masks of their shapes."""
        last = len(self.layers) - 1
        masks = {name: torch.zeros(shape, dtype=torch.bool) for name, shape in self.shapes.items()}
        for name in (f"weight{last}", f"bias{last}"):
            masks[name][..., columns:] = True
        return masks

    def buffers(self, seed: int) -> dict[str, Tensor]:
        """See `StackedModel.buffers`: none."""
        return {}

    def new_pass(self) -> FeedForwardPass:
        """See `StackedModel.new_pass`."""
        return FeedForwardPass(len(self.layers), self._skips)

    def forward(self, parameters: Tensors, buffers: Tensors, features: Tensor, *, training: bool, seed: int) -> Tensor:
        """See `StackedModel.forward`; features ``[R, batch, D]``."""
        hidden = shared_product(features, parameters["weight0"], parameters["bias0"])
        for index in range(1, len(self.layers)):
            active = F.relu(hidden)
            following = member_product(active, parameters[f"weight{index}"], parameters[f"bias{index}"])
            hidden = active + following if index in self._skips else following
        return as_output(hidden)
