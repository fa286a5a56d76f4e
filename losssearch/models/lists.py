"""A model of single documents applied to each document of a query's list."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from losssearch.models.module import LoopedModule
from losssearch.models.stacked import StackedModel, StackedPass, Tensors


def _documents(features: Tensor, longest: int) -> Tensor:
    """``[R, batch, longest * D]`` as one row per document, ``[R, batch * longest, D]``."""
    rows: Tensor = features.unflatten(-1, (longest, -1)).flatten(1, 2)
    return rows


def _lists(scores: Tensor, longest: int) -> Tensor:
    """``[R, K, batch * longest]`` as one row per query, ``[R, K, batch, longest]``."""
    lists: Tensor = scores.unflatten(-1, (-1, longest))
    return lists


def is_looped(model: StackedModel) -> bool:
    """Whether members train one by one, as those of a module that cannot be stacked."""
    return isinstance(model.model if isinstance(model, OfDocuments) else model, LoopedModule)


class OfDocuments:
    """Scores each document of a query by one model: ``[R, batch, longest * D]`` to ``[R, K, batch, longest]``."""

    def __init__(self, model: StackedModel, longest: int) -> None:
        self.model, self._longest = model, longest

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """See `StackedModel.shapes`."""
        return self.model.shapes

    @property
    def decayed(self) -> frozenset[str]:
        """See `StackedModel.decayed`."""
        return self.model.decayed

    def initial(self, seed: int) -> dict[str, Tensor]:
        """See `StackedModel.initial`."""
        return self.model.initial(seed)

    def buffers(self, seed: int) -> dict[str, Tensor]:
        """See `StackedModel.buffers`."""
        return self.model.buffers(seed)

    def new_pass(self) -> StackedPass:
        """See `StackedModel.new_pass`."""
        return _Pass(self.model.new_pass(), self._longest)

    def forward(self, parameters: Tensors, buffers: Tensors, features: Tensor, *, training: bool, seed: int) -> Tensor:
        """See `StackedModel.forward`."""
        own = _documents(features, self._longest)
        scores = self.model.forward(parameters, buffers, own, training=training, seed=seed)
        return _lists(scores, self._longest)


class _Pass:
    def __init__(self, inner: StackedPass, longest: int) -> None:
        self._inner, self._longest = inner, longest

    def forward(self, parameters: Tensors, buffers: Tensors, features: Tensor, *, training: bool, seed: int) -> Tensor:
        own = _documents(features, self._longest)
        scores = self._inner.forward(parameters, buffers, own, training=training, seed=seed)
        return _lists(scores, self._longest)

    def backward(self, slope: Tensor) -> Tensors:
        return self._inner.backward(slope.flatten(-2))
