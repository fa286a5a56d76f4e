"""Screening of candidates before any training, on the outputs of an untrained model alone.

Three questions, cheapest first: is it a duplicate (same canonical key), is it equivalent (same gradient
direction on probes, so that c·L and L are one), and does it lead anywhere (descending it on free outputs
must improve the metric; after the rejection test of AutoLoss-Zero)? Screening also measures the scale of
every part, so that all candidates start with gradients of one size.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from losssearch.data.replicas import Replicas
from losssearch.execution.job import Judge
from losssearch.losses.part import learned_scalars
from losssearch.losses.population import PopulationLoss
from losssearch.losses.spec import LossSpec
from losssearch.models import StackedModel

ROWS = 512
STEPS = 60
PROGRESS = (0.0, 0.5, 1.0)


@dataclass(frozen=True)
class Screened:
    """A candidate with its scales measured; ``reason`` says why it was rejected, empty where it was not."""

    spec: LossSpec
    signature: str
    reason: str = ""


class Screen:
    """Screens candidates on a probe batch: the first replica's rows and the untrained model's outputs."""

    def __init__(self, model: StackedModel, replicas: Replicas, metric: str, task: str) -> None:
        probe = replicas.take([0])
        features, self._target = probe.features[:, :ROWS], probe.target[:, :ROWS]
        self._prior = probe.class_prior
        seed = probe.seeds[0]
        parameters = {name: value[None, None] for name, value in model.initial(seed).items()}
        buffers = {name: value[None, None].clone() for name, value in model.buffers(seed).items()}
        with torch.no_grad():
            self._initial = model.forward(parameters, buffers, features, training=False, seed=0)
        noise = torch.randn(self._initial.shape, generator=torch.Generator().manual_seed(seed))
        self._probes = (self._initial, self._initial + noise, self._initial + 3 * noise)
        self._judge = Judge(metric, task, probe)

    def __call__(self, specs: Sequence[LossSpec]) -> list[Screened]:
        """Measure scales and judge every spec; one answer a spec, in order."""
        if not specs:
            return []
        parts = [replace(part, scale=1.0) for spec in specs for part in spec.parts]
        unit = [LossSpec((replace(p, weighting=type(p.weighting)()),), "fixed") for p in parts]
        sizes = iter(self._gradient_size(unit, (0.0,)).tolist())
        scaled = [[(part, next(sizes)) for part in spec.parts] for spec in specs]
        broken = [
            "a part has no usable gradient at initialisation" if any(not _usable(s) for _, s in own) else ""
            for own in scaled
        ]
        drafts = [
            replace(spec, parts=tuple(replace(p, scale=s if _usable(s) else 1.0) for p, s in own))
            for spec, own in zip(specs, scaled, strict=True)
        ]
        totals = self._gradient_size(drafts, PROGRESS).tolist()
        final = [
            replace(d, parts=tuple(replace(p, scale=p.scale * (t if _usable(t) else 1.0)) for p in d.parts))
            for d, t in zip(drafts, totals, strict=True)
        ]
        reasons = [
            b or ("its gradient vanishes at initialisation" if not _usable(t) else "")
            for b, t in zip(broken, totals, strict=True)
        ]
        leads = self._leads_somewhere(final).tolist()
        signatures = self._signatures(final)
        return [
            Screened(
                spec, signature, reason or ("" if lead else "descending it on free outputs does not improve the metric")
            )
            for spec, signature, reason, lead in zip(final, signatures, reasons, leads, strict=True)
        ]

    def _gradient(self, loss: PopulationLoss, outputs: Tensor, progress: float) -> Tensor:
        members = len(loss.specs)
        leaf = outputs.expand(1, members, *outputs.shape[2:]).clone().requires_grad_()
        learned = loss.initial[None]
        values = loss(leaf, self._target, self._prior, learned, progress)
        (gradient,) = torch.autograd.grad(values.sum(), leaf)
        return gradient[0].unsqueeze(-1) if gradient.dim() == 3 else gradient[0]

    def _gradient_size(self, specs: Sequence[LossSpec], progress: tuple[float, ...]) -> Tensor:
        """Sum over the batch of the norms of a sample's gradient, [specs]: the expected norm of one sample's."""
        loss = PopulationLoss(specs)
        sizes = [self._gradient(loss, self._initial, p).norm(dim=-1).sum(dim=-1) for p in progress]
        return torch.stack(sizes).mean(dim=0)

    def _signatures(self, specs: Sequence[LossSpec]) -> list[str]:
        loss = PopulationLoss(specs)
        directions = [self._gradient(loss, outputs, p).flatten(1) for outputs in self._probes for p in PROGRESS]
        size = torch.cat(directions, dim=1).norm(dim=1, keepdim=True)
        rounded = (torch.cat(directions, dim=1) / size * 1e4).round().nan_to_num().to(torch.int32).numpy()
        return [
            hashlib.sha256(row.tobytes() + json.dumps([_learning(spec), spec.decision]).encode()).hexdigest()[:16]
            for row, spec in zip(rounded, specs, strict=True)
        ]

    def _leads_somewhere(self, specs: Sequence[LossSpec]) -> Tensor:
        loss = PopulationLoss(specs)
        outputs = self._initial.expand(1, len(specs), *self._initial.shape[2:]).clone()
        tuned = torch.ones(len(specs), dtype=torch.bool)
        before, _ = self._judge(outputs, self._target, tuned)
        for step in range(STEPS):
            gradient = self._gradient(loss, outputs, step / STEPS)
            size = gradient.norm(dim=-1).mean(dim=-1)[:, None, None]
            move = (0.1 * gradient / size.clamp_min(1e-12)).reshape(outputs.shape)
            outputs = outputs - move.nan_to_num()
        after, _ = self._judge(outputs, self._target, tuned)
        return ((after > before) | ~torch.isfinite(before))[0]


def _learning(spec: LossSpec) -> list[object]:
    # What moves while training shows in no gradient at the start.
    return [
        [part.name, part.weighting.kind, list(learned_scalars(part))] for part in spec.parts if learned_scalars(part)
    ]


def _usable(size: float) -> bool:
    return 1e-12 < size < 1e12
