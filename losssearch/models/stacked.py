"""Models of a whole population: the parameters of ``R`` replicas × ``K`` members as stacked tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]


class StackedModel(Protocol):
    """A model that computes all members at once.

    Members of one replica start from the same weights, so that their comparison is paired.
    """

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each parameter of one member."""
        ...

    @property
    def decayed(self) -> frozenset[str]:
        """Names of the parameters under weight decay."""
        ...

    def initial(self, seed: int) -> dict[str, Tensor]:
        """One member's initial parameters; the same for the same seed."""
        ...

    def buffers(self, seed: int) -> dict[str, Tensor]:
        """One member's initial state that no optimiser moves (running statistics); often empty."""
        ...

    def forward(self, parameters: Tensors, buffers: Tensors, features: Tensor, *, training: bool, seed: int) -> Tensor:
        """Outputs ``[R, K, batch]``, or ``[R, K, batch, width]`` where the width is above one.

        ``parameters`` and ``buffers``: ``[R, K, *shape]``; ``features``: ``[R, batch, ...]``, shared by the
        members of a replica. While ``training``, buffers are updated in place and ``seed`` drives dropout.
        """
        ...

    def new_pass(self) -> StackedPass:
        """What runs this model forwards and backwards for one stack of members."""
        ...


class StackedPass(Protocol):
    """Forward and backward through a model, step after step, for one stack of members.

    A pass may keep its memory from one step to the next: what it gives out is valid until it is called again.
    """

    def forward(self, parameters: Tensors, buffers: Tensors, features: Tensor, *, training: bool, seed: int) -> Tensor:
        """See `StackedModel.forward`; without a graph of autograd."""
        ...

    def backward(self, slope: Tensor) -> Tensors:
        """Gradients ``[R, K, *shape]`` by the parameters of the last forward, made while training.

        ``slope``: the gradient by its outputs, of their shape.
        """
        ...


class AutogradPass:
    """The pass of a model whose gradients are left to autograd."""

    def __init__(self, model: StackedModel) -> None:
        self._model = model
        self._leaves: dict[str, Tensor] = {}

    def forward(self, parameters: Tensors, buffers: Tensors, features: Tensor, *, training: bool, seed: int) -> Tensor:
        """See `StackedPass.forward`."""
        self._leaves = {name: value.detach().requires_grad_(training) for name, value in parameters.items()}
        self._outputs = self._model.forward(self._leaves, buffers, features, training=training, seed=seed)
        return self._outputs.detach()

    def backward(self, slope: Tensor) -> Tensors:
        """See `StackedPass.backward`; zero for a parameter that the outputs do not use."""
        leaves = list(self._leaves.values())
        gradients = torch.autograd.grad(self._outputs, leaves, slope, materialize_grads=True)
        return dict(zip(self._leaves, gradients, strict=True))


def uniform_fan_in(shape: tuple[int, int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Weight ``[inputs, outputs]`` and bias ``[outputs]`` as ``torch.nn.Linear`` draws them."""
    bound = 1 / math.sqrt(shape[0])
    weight = torch.empty(shape).uniform_(-bound, bound, generator=generator)
    return weight, torch.empty(shape[1]).uniform_(-bound, bound, generator=generator)


def by_column(shape: tuple[int, int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The same drawn column by column: those of a narrower layer are the first of a wider one's."""
    drawn = [uniform_fan_in((shape[0], 1), generator) for _ in range(shape[1])]
    return torch.cat([weight for weight, _ in drawn], dim=1), torch.cat([bias for _, bias in drawn])


def shared_product(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Layer over features that members share: one product ``[batch, D] × [D, K·H]`` a replica.

    ``features`` ``[R, batch, D]``, ``weight`` ``[R, K, D, H]``, ``bias`` ``[R, K, H]`` → ``[R, K, batch, H]``.
    """
    replicas, members, inputs, outputs = weight.shape
    wide = weight.permute(0, 2, 1, 3).reshape(replicas, inputs, members * outputs)
    product: Tensor = torch.bmm(features, wide).view(replicas, -1, members, outputs).permute(0, 2, 1, 3)
    return product + bias[:, :, None]


def member_product(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Layer over each member's own activations.

    ``hidden`` ``[R, K, batch, D]``, ``weight`` ``[R, K, D, H]``, ``bias`` ``[R, K, H]`` → ``[R, K, batch, H]``.
    """
    product = torch.baddbmm(bias.flatten(0, 1)[:, None], hidden.flatten(0, 1), weight.flatten(0, 1))
    stacked: Tensor = product.unflatten(0, weight.shape[:2])
    return stacked


def as_output(last: Tensor) -> Tensor:
    """Drop the last dimension of a model of width one."""
    return last.squeeze(-1) if last.shape[-1] == 1 else last
