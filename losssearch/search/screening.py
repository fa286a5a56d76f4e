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
BATCH = 128
"""Candidates that are measured at once: what the gradients of more would take of memory buys no more speed."""

CHECKS = (10, 60)
"""Steps of the descent after which the metric is read. Most candidates improve it at the first reading and go no further."""

PROGRESS = (0.0, 0.5, 1.0)
VIEWS = 16
"""Numbers that a gradient direction is known by: its products with as many random directions."""


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
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(self._initial.shape, generator=generator)
        self._probes = torch.cat((self._initial, self._initial + noise, self._initial + 3 * noise))
        self._views = torch.randn(
            (len(PROGRESS) * self._probes.numel(), VIEWS), generator=generator, dtype=torch.float64
        )
        self._judge = Judge(metric, task, probe)
        self._before, _ = self._judge(self._initial, self._target, torch.ones(1, dtype=torch.bool))

    def __call__(self, specs: Sequence[LossSpec]) -> list[Screened]:
        """Measure scales and judge every spec; one answer a spec, in order."""
        answers: list[Screened] = []
        for batch in _batches(specs):
            measured = self._measure(batch)
            leads = self._leads_somewhere([answer.spec for answer in measured])
            answers += [
                answer if answer.reason or leading else replace(answer, reason=NOWHERE)
                for answer, leading in zip(measured, leads, strict=True)
            ]
        return answers

    def signatures(self, specs: Sequence[LossSpec]) -> list[str]:
        """The signatures that screening gives, without asking where the specs lead."""
        return [answer.signature for batch in _batches(specs) for answer in self._measure(batch)]

    def _measure(self, specs: Sequence[LossSpec]) -> list[Screened]:
        """Scales and signatures; a reason where a gradient is of no use."""
        parts = [replace(part, scale=1.0) for spec in specs for part in spec.parts]
        unit = [LossSpec((replace(p, weighting=type(p.weighting)()),), "fixed") for p in parts]
        sizes = iter(_sizes(self._gradients(unit, self._initial)).mean(dim=(0, 2)).tolist())
        scaled = [[(part, next(sizes)) for part in spec.parts] for spec in specs]
        drafts = [
            replace(spec, parts=tuple(replace(p, scale=s if _usable(s) else 1.0) for p, s in own))
            for spec, own in zip(specs, scaled, strict=True)
        ]
        gradients = self._along_progress(drafts)
        totals = _sizes(gradients[:1]).mean(dim=(0, 2)).tolist()
        answers = []
        for draft, own, total, signature in zip(drafts, scaled, totals, self._signatures(drafts, gradients), strict=True):
            reason = "" if _usable(total) else "its gradient vanishes at initialisation"
            if any(not _usable(size) for _, size in own):
                reason = "a part has no usable gradient at initialisation"
            factor = total if _usable(total) else 1.0
            spec = replace(draft, parts=tuple(replace(p, scale=p.scale * factor) for p in draft.parts))
            answers.append(Screened(spec, signature, reason))
        return answers

    def _along_progress(self, specs: Sequence[LossSpec]) -> Tensor:
        """Gradients on all probes at each of `PROGRESS`, [probes, specs, progress, rows(, classes)]."""
        scheduled = ["progress" in spec.reads for spec in specs]
        gradients = self._probes.new_empty(len(self._probes), len(specs), len(PROGRESS), *self._probes.shape[2:])
        for moves in (False, True):
            chosen = [index for index, own in enumerate(scheduled) if own is moves]
            if chosen:
                # A loss that follows no schedule is the same at every progress.
                times = PROGRESS if moves else PROGRESS[:1]
                gradients[:, chosen] = self._gradients([specs[index] for index in chosen], self._probes, times)
        return gradients

    def _gradients(
        self, specs: Sequence[LossSpec], outputs: Tensor, progress: Sequence[float] = PROGRESS[:1]
    ) -> Tensor:
        loss = PopulationLoss(specs)
        return torch.stack([self._gradient(loss, outputs, done) for done in progress], dim=2)

    def _gradient(self, loss: PopulationLoss, outputs: Tensor, progress: float) -> Tensor:
        """The gradient on each of ``outputs`` [probes, 1 or specs, rows(, classes)]."""
        probes, members = len(outputs), len(loss.specs)
        leaf = outputs.expand(probes, members, *outputs.shape[2:]).clone().requires_grad_()
        target, prior = (shared.expand(probes, -1) for shared in (self._target, self._prior))
        values = loss(leaf, target, prior, loss.initial.expand(probes, -1, -1), progress)
        (gradient,) = torch.autograd.grad(values.sum(), leaf)
        return gradient

    def _signatures(self, specs: Sequence[LossSpec], gradients: Tensor) -> list[str]:
        """Equal for gradients of one direction, and unlike where directions differ by more than rounding."""
        flat = gradients.transpose(0, 1).flatten(1).double()
        directions = flat / flat.norm(dim=1, keepdim=True)
        rounded = (directions @ self._views * 1e3).round().nan_to_num().to(torch.int32).numpy()
        return [
            hashlib.sha256(row.tobytes() + json.dumps([_learning(spec), spec.decision]).encode()).hexdigest()[:16]
            for row, spec in zip(rounded, specs, strict=True)
        ]

    def _leads_somewhere(self, specs: Sequence[LossSpec]) -> list[bool]:
        """Whether descending a loss on free outputs improves the metric, read after each of `CHECKS` steps."""
        leads = (~torch.isfinite(self._before)[0]).repeat(len(specs))
        outputs = self._initial.expand(1, len(specs), *self._initial.shape[2:])
        waiting = torch.arange(len(specs))
        for first, last in pairwise((0, *CHECKS)):
            still = ~leads[waiting]
            waiting, outputs = waiting[still], outputs[:, still]
            if not len(waiting):
                break
            loss = PopulationLoss([specs[index] for index in waiting.tolist()])
            for step in range(first, last):
                gradient = self._gradient(loss, outputs, step / CHECKS[-1])
                outputs = outputs - (0.1 * gradient / _mean_size(gradient)).nan_to_num()
            after, _ = self._judge(outputs, self._target, torch.ones(len(waiting), dtype=torch.bool))
            leads[waiting] = (after > self._before)[0]
        return [bool(leading) for leading in leads]


def _batches(specs: Sequence[LossSpec]) -> Iterator[Sequence[LossSpec]]:
    return (specs[first : first + BATCH] for first in range(0, len(specs), BATCH))


def _norms(gradient: Tensor) -> Tensor:
    """Norm of each sample's gradient, [probes, specs(, progress), rows]: of one output, or of all classes."""
    return gradient


def _learning(spec: LossSpec) -> list[object]:
    # What moves while training shows in no gradient at the start.
    return [
        [part.name, part.weighting.kind, list(learned_scalars(part))] for part in spec.parts if learned_scalars(part)
    ]


def _usable(size: float) -> bool:
    return 1e-12 < size < 1e12
