"""Train one model under differential privacy: per-sample clipping and noise (DP-SGD; Abadi et al. 2016).

What is promised covers the optimiser's steps on the rows given. What was learned from the same rows by other means (the
encoding, the class prior, the search that chose the loss, a tuned threshold) is not covered.
"""

from __future__ import annotations

import math
import secrets
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad, vmap

from losssearch.data.batch import Batch, each
from losssearch.errors import OptionError
from losssearch.losses.inputs import STANDARD
from losssearch.losses.offer import Offer
from losssearch.losses.part import part_numbers, part_states, part_value
from losssearch.losses.spec import LossSpec
from losssearch.models import StackedModel
from losssearch.option_names import option
from losssearch.training.averaging import share_of


@dataclass(frozen=True)
class Privacy:
    """A promise (ε, δ) of differential privacy, and the norm that each sample's gradient is clipped to."""

    epsilon: float
    delta: float = 1e-5
    clip: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.epsilon <= 100:
            raise OptionError(f"the epsilon of differential privacy must lie in (0, 100], got {self.epsilon:g}")
        if not 0 < self.delta < 1:
            raise OptionError(f"the delta of differential privacy must lie in (0, 1), got {self.delta:g}")
        if not (self.clip > 0 and math.isfinite(self.clip)):
            raise OptionError(f"the clipping norm must be above 0, got {self.clip:g}")


@dataclass(frozen=True)
class PrivateFit:
    """The parameters of the trained model, and what they cost: ``epsilon`` spent at the ``delta`` asked for.

    ``averaged``: their running average over the steps, which costs nothing more, where it was asked for.
    """

    parameters: Mapping[str, Tensor]
    epsilon: float
    delta: float
    noise_multiplier: float
    sample_rate: float
    steps: int
    averaged: Mapping[str, Tensor] | None = None


def check_private(privacy: Privacy) -> None:
    """Raise `OptionError` if the promise cannot be accounted for: without Opacus, or at no noise at all."""
    _noise_multiplier(privacy, sample_rate=0.01, steps=100)


def require_per_sample(spec: LossSpec, offer: Offer = STANDARD) -> None:
    """Raise `OptionError` if a loss is not a mean over samples, so that no gradient belongs to one sample."""
    if not spec.balance.is_sum:
        raise OptionError(f"private training needs a loss that is the sum of its parts, not their {spec.balance.kind}")
    for part in spec.parts:
        shared = offer.of_other_samples(part.term.reads)
        reason = (
            f"{part.name} gives one value per batch"
            if not part.term.per_sample
            else f"{part.name} reads {', '.join(shared)}"
            if shared
            else f"{part.name} is reduced by {part.reduction.kind}"
            if not part.reduction.is_mean
            else f"{part.name} has the weighting {part.weighting.kind}"
            if not part.is_mean
            else f"{part.name} keeps states of its own"
            if part_states(part)
            else ""
        )
        if reason:
            raise OptionError(
                f"private training needs a loss that is a mean over samples, each on its own, but {reason}: "
                f"leave out {option('private_epsilon')}, or search a space of such losses"
            )


def train_privately(
    model: StackedModel,
    spec: LossSpec,
    batch: Batch,
    facts: Batch,
    privacy: Privacy,
    *,
    epochs: int,
    batch_size: int,
    rate: float,
    seed: int | None = None,
    offer: Offer = STANDARD,
    average: float | None = None,
) -> PrivateFit:
    """Train ``model`` with the loss of ``spec`` on the rows of ``batch``: features ``[N, ...]``, target ``[N]``.

    Each step takes every row with probability ``batch_size / N`` (Poisson sampling, which the accountant assumes),
    clips every row's gradient and adds Gaussian noise, as much as keeps the whole training within ``privacy``.
    ``facts`` are those that the loss reads, without an axis of replicas; ``offer`` is that of the kind of task.
    ``average``: how much is kept at each step of the running average of the parameters; None: there is none.
    ``seed`` makes a test repeatable; without it sampling and noise come from the operating system, as privacy demands.

    Raises `OptionError` for a loss that is no mean over samples, or where Opacus is missing.
    """
    require_per_sample(spec, offer)
    reading = offer.reading(spec.reads | {"progress"})
    features, fields = batch["features"], {name: batch[name] for name in reading.fields}
    rows = len(features)
    sample_rate = min(1.0, batch_size / rows)
    steps = epochs * max(1, rows // batch_size)
    noise = _noise_multiplier(privacy, sample_rate, steps)
    generator = torch.Generator().manual_seed(secrets.randbits(63) if seed is None else seed)
    start = model.initial(int(torch.randint(1 << 31, (), generator=generator)))
    buffers = {name: value[None, None] for name, value in model.buffers(0).items()}
    parameters = {name: value.clone().requires_grad_() for name, value in start.items()}
    optimiser = torch.optim.Adam(list(parameters.values()), lr=rate)

    def loss(own: dict[str, Tensor], row: Tensor, sample: Batch, progress: Tensor) -> Tensor:
        stacked = {name: value[None, None] for name, value in own.items()}
        output = model.forward(stacked, buffers, row[None, None], training=True, seed=0)[0, 0]
        named = reading.named(output, each(sample, lambda value: value[None]), {**facts, "progress": progress})
        values = [
            part_value(part, named, {n: output.new_tensor(v) for n, v in part_numbers(part).items()}, {})
            for part in spec.parts
        ]
        return torch.stack(values).sum()

    mean = None if average is None else {name: value.detach().clone() for name, value in parameters.items()}
    per_sample = vmap(grad(loss), in_dims=(None, 0, 0, None))
    for step in range(steps):
        taken = (torch.rand(rows, generator=generator) < sample_rate).nonzero()[:, 0]
        summed = {name: torch.zeros_like(value) for name, value in parameters.items()}
        if len(taken):
            detached = {name: value.detach() for name, value in parameters.items()}
            samples = {name: value[taken] for name, value in fields.items()}
            gradients = per_sample(detached, features[taken], samples, torch.tensor(step / steps))
            summed = _clipped_sum(gradients, privacy.clip)
        for name, value in parameters.items():
            shake = torch.randn(value.shape, generator=generator) * (noise * privacy.clip)
            value.grad = (summed[name] + shake) / (rows * sample_rate)
        optimiser.step()
        for name, value in mean.items() if mean is not None else ():
            value.lerp_(parameters[name].detach(), share_of(average or 0.0, step + 1))
    fitted = {name: value.detach() for name, value in parameters.items()}
    spent = _spent(privacy, noise, sample_rate, steps)
    return PrivateFit(fitted, spent, privacy.delta, noise, sample_rate, steps, mean)


def _clipped_sum(gradients: Mapping[str, Tensor], clip: float) -> dict[str, Tensor]:
    """Sum over samples of their gradients, each scaled to a norm of ``clip`` at most; a broken one counts as zero."""
    norm = torch.stack([value.flatten(1).square().sum(1) for value in gradients.values()]).sum(0).sqrt()
    factor = torch.where(norm.isfinite(), clip / norm.clamp_min(clip), 0.0)
    return {name: torch.einsum("n...,n->...", value.nan_to_num(), factor) for name, value in gradients.items()}


def _noise_multiplier(privacy: Privacy, sample_rate: float, steps: int) -> float:
    try:
        from opacus.accountants.utils import get_noise_multiplier
    except ImportError:
        raise OptionError("private training needs Opacus: pip install 'losssearch[private]'") from None
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Optimal order", category=UserWarning
        )  # a looser bound, still a bound
        try:
            found = get_noise_multiplier(
                target_epsilon=privacy.epsilon,
                target_delta=privacy.delta,
                sample_rate=sample_rate,
                steps=steps,
                accountant="rdp",
            )
        except ValueError as error:
            raise OptionError(
                f"no noise keeps epsilon {privacy.epsilon:g} over {steps} steps: allow a larger one ({error})"
            ) from None
    return float(found)


def _spent(privacy: Privacy, noise: float, sample_rate: float, steps: int) -> float:
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = [(noise, sample_rate, steps)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Optimal order", category=UserWarning)
        return float(accountant.get_epsilon(privacy.delta))
