"""Forward and backward of a feed-forward network by hand, in memory that is kept from step to step.

Fresh memory of this size costs more in page faults than the arithmetic on it, and autograd asks for it at
each operation. The outputs are computed as ``[R, K, width, batch]`` and shown as ``[R, K, batch, width]``:
a product with a narrow last dimension runs at a quarter of the speed.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor

from losssearch.models.stacked import Tensors


class FeedForwardPass:
    """The `StackedPass` of ``layers`` layers with ReLU between; those in ``skips`` add their input to their output."""

    def __init__(self, layers: int, skips: Collection[int]) -> None:
        self._last, self._skips = layers - 1, skips
        self._memory: dict[str, Tensor] = {}

    @torch.no_grad()
    def forward(self, parameters: Tensors, buffers: Tensors, features: Tensor, *, training: bool, seed: int) -> Tensor:
        """See `StackedPass.forward`."""
        self._parameters = parameters
        self._inputs = [features[:, None]]  # of every layer; [R, 1, batch, D] serves all members of a replica
        for index in range(self._last):
            below = self._inputs[-1]
            hidden = self._product(f"hidden{index}", below, parameters[f"weight{index}"])
            hidden.add_(parameters[f"bias{index}"][:, :, None])
            if index in self._skips:
                hidden.add_(below)
            self._inputs.append(hidden.relu_())
        weight, bias = parameters[f"weight{self._last}"], parameters[f"bias{self._last}"]
        outputs = self._product("outputs", weight.mT, self._inputs[-1].mT).add_(bias[..., None])
        return outputs.squeeze(2) if outputs.shape[2] == 1 else outputs.mT

    @torch.no_grad()
    def backward(self, slope: Tensor) -> Tensors:
        """See `StackedPass.backward`."""
        gradients: dict[str, Tensor] = {}
        if slope.dim() == 3:
            slope = slope[..., None]
        for index in range(self._last, -1, -1):
            below, name = self._inputs[index], f"weight{index}"
            if index == self._last:
                gradients[name] = self._product(name, slope.mT, below).mT
            else:
                # What all members share is small, and products read it faster the way round that they need it.
                turned = below.mT.contiguous() if below.shape[1] == 1 else below.mT
                gradients[name] = self._product(name, turned, slope)
            gradients[f"bias{index}"] = slope.sum(dim=-2)
            if index > 0:
                fed = self._product(f"slope{index}", slope, self._parameters[name].mT)
                if index in self._skips:
                    fed.add_(slope)
                # zero where the ReLU below was, whatever arrives from above
                slope = torch.ops.aten.threshold_backward.grad_input(fed, below, 0, grad_input=fed)
        return gradients

    def _product(self, name: str, left: Tensor, right: Tensor) -> Tensor:
        """``left`` × ``right``, each ``[R, K or 1, …]``, into the memory of that name."""
        replicas, members = left.shape[0], max(left.shape[1], right.shape[1])
        shape = (replicas, members, left.shape[2], right.shape[3])
        product = self._memory_for(name, shape, left)
        if left.shape[1] == right.shape[1]:
            torch.bmm(left.flatten(0, 1), right.flatten(0, 1), out=product.flatten(0, 1))
            return product
        for r in range(replicas):  # expanded within a replica, a factor that is shared need not be copied
            torch.bmm(left[r].expand(members, -1, -1), right[r].expand(members, -1, -1), out=product[r])
        return product

    def _memory_for(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """The memory of that name, of that shape; it only grows, as rows are fewer in the last piece of a table."""
        size, held = math.prod(shape), self._memory.get(name)
        if held is None or held.numel() < size or held.dtype != like.dtype:
            held = self._memory[name] = like.new_empty(size)
        return held[:size].view(shape)
