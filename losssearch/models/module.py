"""A user's ``torch.nn.Module`` as a stacked model: vectorised where it can be, member by member where not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Self

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from losssearch.errors import ModelError, OptionError, stops
from losssearch.models.allocation import is_out_of_memory
from losssearch.models.heads import joined
from losssearch.models.randomness import own_draws, seed_draws
from losssearch.models.stacked import AutogradPass, Tensors, as_output
from losssearch.stopping import end_others, one_process

ModelFactory = Callable[[int, int], nn.Module]
"""Called as ``factory(features, outputs)``; gives a fresh module."""

DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
"""Layers that draw random numbers in the forward pass."""


def _make(factory: ModelFactory, features: int, width: int, seed: int) -> nn.Module:
    started = torch.cuda.is_initialized()
    with own_draws() as devices:
        seed_draws(seed, devices)
        try:
            with one_process():
                module = factory(features, width)
        except BaseException as error:
            if stops(error):
                raise
            raise OptionError(f"the model factory must accept (features, outputs); it raised {error!r}") from error
    if not isinstance(module, nn.Module):
        raise OptionError(f"the model factory must give a torch.nn.Module, got {type(module).__name__}")
    if torch.cuda.is_initialized() and not started:  # by the factory, so that its draws there were not seeded
        return _make(factory, features, width, seed)
    return module


PROBE_ROWS = 4
"""Rows of the batches that a model is tried on."""


class _FromModule:
    """What both ways of stacking a module share: its fresh parameters and buffers."""

    def __init__(self, factory: ModelFactory, features: int, heads: Mapping[str, int]) -> None:
        self._recipe = factory, features, sum(heads.values())
        self._heads = dict(heads)
        self.module = self._make(0)
        named = list(self.module.named_parameters())
        self.shapes = {name: tuple(value.shape) for name, value in named if value.requires_grad}
        self._probed = False
        self.decayed = frozenset(name for name, shape in self.shapes.items() if len(shape) > 1)

    def _make(self, seed: int) -> nn.Module:
        return _make(*self._recipe, seed)

    def accept(self) -> Self:
        """Mark the model as tried out: what it raises from now on reaches its user as a `ModelError`."""
        self._probed = True
        return self

    @contextmanager
    def blamed(self, features: Tensor) -> Iterator[None]:
        """Turn an error of the user's module into a `ModelError` that names layer and input; not before `accept`."""
        owner = os.getpid()
        try:
            yield
        except BaseException as error:
            if not self._probed or stops(error) or is_out_of_memory(error):
                raise
            said = " ".join(str(error).split())[:300]
            raise ModelError(
                f"the model must work on batches [rows, {', '.join(map(str, features.shape[2:]))}] of any number of "
                f"rows; on one of {features.shape[1]} its {self._culprit(error)} raised {type(error).__name__}: {said}"
            ) from error
        finally:
            end_others(owner)

    def _culprit(self, error: BaseException) -> str:
        """The innermost module on the way to the error."""
        names = {id(layer): (name, type(layer).__name__) for name, layer in self.module.named_modules()}
        found, trace = ("", type(self.module).__name__), error.__traceback__
        while trace is not None:
            found = names.get(id(trace.tb_frame.f_locals.get("self")), found)
            trace = trace.tb_next
        return f"layer {found[0]} ({found[1]})" if found[0] else f"forward ({found[1]})"

    def initial(self, seed: int) -> dict[str, Tensor]:
        """See `StackedModel.initial`."""
        named = self._make(seed).named_parameters()
        return {name: value.detach().clone() for name, value in named if value.requires_grad}

    def buffers(self, seed: int) -> dict[str, Tensor]:
        """See `StackedModel.buffers`; parameters that need no gradient are among them."""
        module = self._make(seed)
        frozen = ((name, value) for name, value in module.named_parameters() if not value.requires_grad)
        return {name: value.detach().clone() for name, value in (*module.named_buffers(), *frozen)}


class VectorisedModule(_FromModule):
    """All members at once, by ``vmap`` over a functional call; for modules without buffers or dropout."""

    def new_pass(self) -> AutogradPass:
        """See `StackedModel.new_pass`."""
        return AutogradPass(self)

    def forward(self, parameters: Tensors, buffers: Tensors, features: Tensor, *, training: bool, seed: int) -> Tensor:
        """See `StackedModel.forward`."""
        self.module.train(training)

        def one(member: dict[str, Tensor], batch: Tensor) -> Tensor:
            return joined(functional_call(self.module, member, (batch,)), self._heads)

        with self.blamed(features):
            outputs: Tensor = vmap(vmap(one, in_dims=(0, None)))({**parameters, **buffers}, features)
        return as_output(outputs) if outputs.dim() == 4 else outputs


class LoopedModule(_FromModule):
    """One member after another; takes any module, batch normalisation and dropout included."""

    def new_pass(self) -> AutogradPass:
        """See `StackedModel.new_pass`."""
        return AutogradPass(self)

    def forward(self, parameters: Tensors, buffers: Tensors, features: Tensor, *, training: bool, seed: int) -> Tensor:
        """See `StackedModel.forward`."""
        self.module.train(training)
        replicas, members = next(iter(parameters.values())).shape[:2]
        rows = []
        with own_draws(features.device) as devices, self.blamed(features):
            for r in range(replicas):
                for k in range(members):
                    state = {name: value[r, k] for name, value in (*parameters.items(), *buffers.items())}
                    seed_draws(seed + r, devices)  # the same dropout for the members of a replica
                    rows.append(joined(functional_call(self.module, state, (features[r],)), self._heads))
            outputs = torch.stack(rows).unflatten(0, (replicas, members))
        return as_output(outputs) if outputs.dim() == 4 else outputs


def from_module(
    factory: ModelFactory, features: int, heads: Mapping[str, int] | int, device: torch.device | str = "cpu"
) -> VectorisedModule | LoopedModule:
    """Stack the module of ``factory``; fall back to member by member where ``vmap`` refuses it.

    It is tried out on ``device``, where it will be trained. ``heads``: how many columns each head has, by its name, or
    the columns of a model that puts out one tensor.

    Raises `OptionError` if the factory or the shape of the module's output is wrong.
    """
    heads = {"output": heads} if isinstance(heads, int) else heads
    width = sum(heads.values())
    looped = LoopedModule(factory, features, heads)
    if not looped.shapes:
        raise OptionError("the model must have parameters to train, got none")

    def outputs(model: VectorisedModule | LoopedModule, probe: Tensor, *, training: bool = True) -> Tensor:
        stacked = {name: value.to(device).expand(1, 2, *value.shape) for name, value in model.initial(0).items()}
        held = {name: value.to(device).expand(1, 2, *value.shape).clone() for name, value in model.buffers(0).items()}
        return model.forward(stacked, held, probe, training=training, seed=0)

    zeros, drawn = torch.zeros(1, PROBE_ROWS, features, device=device), _drawn(features).to(device)
    try:
        shape = tuple(outputs(looped, zeros).shape)
        first = [outputs(looped, drawn, training=training) for training in (True, False)]
    except BaseException as error:
        if stops(error) or isinstance(error, OptionError):
            raise
        raise OptionError(f"the model must accept a tensor [batch, {features}]; it raised {error!r}") from error
    wanted = (1, 2, PROBE_ROWS) if width == 1 else (1, 2, PROBE_ROWS, width)
    if shape != wanted:
        found, rule = list(shape[2:]), ["batch=4", *wanted[3:]]
        named = f" ({', '.join(f'{name} {own}' for name, own in heads.items())})" if len(heads) > 1 else ""
        raise OptionError(f"the model must put out {rule}{named} for a batch of 4, got {found}")
    for untrained, mode in zip(first, ("training", "evaluation"), strict=True):
        if not bool(untrained.isfinite().all()):
            odd = untrained[~untrained.isfinite()]
            raise OptionError(
                f"the model must put out finite numbers; untrained, in {mode} mode, on {PROBE_ROWS} rows of standard "
                f"normal features, {len(odd)} of its {untrained.numel()} outputs are {odd[0].item()} or the like"
            )
    stochastic = any(isinstance(layer, DROPOUT) for layer in looped.module.modules())
    if stochastic or any(True for _ in looped.module.buffers()):
        return looped.accept()
    vectorised = VectorisedModule(factory, features, heads)
    try:
        outputs(vectorised, zeros)
    except RuntimeError:  # vmap's refusal of data-dependent control flow or in-place writes
        return looped.accept()
    return vectorised.accept()


def _drawn(features: int) -> Tensor:
    """[1, PROBE_ROWS, features]: what encoded numbers look like; the same in every call."""
    return torch.randn(1, PROBE_ROWS, features, generator=torch.Generator().manual_seed(0))
