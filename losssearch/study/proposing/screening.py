"""Screening of candidates before any training, on the outputs of an untrained model alone.

A formula that the search wrote itself must first be sound (`losssearch.study.proposing.soundness`). Then three
questions, cheapest first: is it a duplicate (same canonical key), is it equivalent (same gradient
direction on probes, so that c·L and L are one), and does it lead anywhere (descending it on free outputs
must improve the metric; after the rejection test of AutoLoss-Zero)? Screening also measures the scale of
every part, so that all candidates start with gradients of one size.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from losssearch import stopping
from losssearch.data.replicas import Replicas
from losssearch.data.room import in_units, memory
from losssearch.errors import SpecError
from losssearch.evaluation import Metric
from losssearch.judging.metric import MetricJudge
from losssearch.losses.carried import tables_bytes
from losssearch.losses.domains import TABLES
from losssearch.losses.part import part_states
from losssearch.losses.population import PopulationLoss
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.weighting import Weighting
from losssearch.models import StackedModel
from losssearch.study.proposing.probe import FREE, SIGNED, representatives
from losssearch.study.proposing.soundness import spec_faults
from losssearch.tasks import Predicting, Task, get_task
from losssearch.training import RATES

BATCH = 128
"""Candidates that are measured at once, and fewer where there are many classes: more would cost memory for no speed."""

CHECKS = (5, 60)
"""Steps of the descent after which the metric is read. Most candidates improve it by the first and go no further."""

PROGRESS = (0.0, 0.5, 1.0)
VIEWS = 16
"""Numbers that a gradient direction is known by: its products with as many random directions."""

_OUT = 1e30
"""Scale of a part that is not to count."""

NO_GRADIENT = "a part has no usable gradient at initialisation"
"""How the reason of a rejection begins; the part and what is wrong with its gradient follow."""

NOWHERE = "descending it on free outputs does not improve the metric"


@dataclass(frozen=True)
class Screened:
    """A candidate with its scales measured; ``reason`` says why it was rejected, empty if it was not."""

    spec: LossSpec
    signature: str
    reason: str = ""


class Screen:
    """Screens candidates on a probe batch: rows of the first replica and the untrained model's outputs on them.

    The rows hold every class and group, and every range of a number, as far as the training rows do (see
    `losssearch.data.probing.probe_order`). Without a ``metric`` that can be computed here, nobody is asked where
    descending a loss leads.
    """

    def __init__(
        self,
        model: StackedModel,
        replicas: Replicas,
        metric: str | Metric | None,
        task: str | Task,
        device: str = "cpu",
    ) -> None:
        """The untrained ``model`` runs on ``device``, where it will be trained."""
        task = get_task(task) if isinstance(task, str) else task
        self._members = len(RATES) * replicas.count
        probe, self._weights = representatives(replicas.take([0]))
        features, self._free = probe.train["features"], probe.train.get("judged", probe.train["target"])[:, :FREE]
        self._batch = {name: value for name, value in probe.train.items() if name != "weight"}
        self._facts, self._sizes_of_data, self._offer = probe.facts, replicas.sizes, task.offer
        self._predicting = Predicting.of(task, replicas.classes)
        seed = probe.seeds[0]
        parameters = {name: value.to(device)[None, None] for name, value in model.initial(seed).items()}
        buffers = {name: value.to(device)[None, None].clone() for name, value in model.buffers(seed).items()}
        with torch.no_grad():
            self._initial = model.forward(parameters, buffers, features.to(device), training=False, seed=0).cpu()
        generator = torch.Generator().manual_seed(seed)
        signed = self._initial[:, :, :SIGNED]
        noise = torch.randn(signed.shape, generator=generator)
        self._noisy = torch.cat((signed + noise, signed + 3 * noise))
        classes = signed[0, 0, 0].numel()
        rows = (1 + len(self._noisy)) * len(PROGRESS) * signed.shape[2]
        self._views = (
            torch.randn((rows, VIEWS), generator=generator, dtype=torch.float64),
            torch.randn((classes, VIEWS), generator=generator, dtype=torch.float64).sign(),
        )
        self._size = max(4, min(BATCH, 8_000_000 // (rows * classes)))
        self._judge = None if metric is None else MetricJudge(metric, task.kind, probe)
        if self._judge is not None:
            self._before = self._untrained([task.plain.spec()])
        self._metric = "" if self._judge is None else self._judge.metric.name
        self.judges = self._judge is not None and self._can_judge(task.plain.spec())
        """Whether the metric can tell on the probe where a loss leads; if not, none is rejected for leading nowhere."""

    @property
    def note(self) -> str:
        """What a user should know of the screening; empty if it works as usual."""
        if self.judges or self._judge is None:
            return ""
        why = "it is not defined" if not bool(torch.isfinite(self._before)) else "not even the plain loss improves it"
        return (
            f"{self._metric} cannot be judged on the {self._free.shape[1]} rows that losses are screened on ({why} "
            "there): no loss is rejected before training for leading nowhere"
        )

    def __call__(self, specs: Sequence[LossSpec]) -> list[Screened]:
        """Measure scales and judge every spec; one answer a spec, in order."""
        faults = [
            fault or self._without_head(spec)
            for spec, fault in zip(specs, spec_faults(specs, self._sizes_of_data.classes or 1), strict=True)
        ]
        answers = iter(self._judged([spec for spec, fault in zip(specs, faults, strict=True) if not fault]))
        return [
            Screened(spec, "", fault) if fault else next(answers) for spec, fault in zip(specs, faults, strict=True)
        ]

    def _without_head(self, spec: LossSpec) -> str:
        """Why no head of the model gives what the parts of a loss read together; empty where one does."""
        try:
            self._head(spec)
        except SpecError as error:
            return str(error)
        return ""

    def _head(self, spec: LossSpec) -> str:
        """The name of the head that a loss reads, where heads share columns."""
        return "" if self._predicting is None else self._predicting.head(spec).name

    def _shown(self, outputs: Tensor, specs: Sequence[LossSpec]) -> Tensor:
        """Outputs of the models of these losses as the judge takes them."""
        if self._predicting is None:
            return outputs
        outputs = outputs.expand(outputs.shape[0], len(specs), *outputs.shape[2:])
        return self._predicting(outputs, [self._predicting.head(spec) for spec in specs], self._facts)

    def _untrained(self, specs: Sequence[LossSpec]) -> Tensor:
        """The utilities of the untrained model, by the heads of these losses, [1, specs]; [1, 1] where all are one."""
        assert self._judge is not None  # noqa: S101  (callers ask only where there is a metric)
        outputs = self._shown(self._initial[:, :, :FREE], specs)
        utilities, _ = self._judge(outputs, self._free, torch.ones(outputs.shape[1], dtype=torch.bool))
        return utilities

    def _judged(self, specs: Sequence[LossSpec]) -> list[Screened]:
        answers: list[Screened] = []
        for batch in self._batches(specs):
            measured = self._measure(batch)
            leads = self._leads_somewhere([_without_absolute(answer.spec) for answer in measured])
            answers += [
                answer if answer.reason or leading else replace(answer, reason=NOWHERE)
                for answer, leading in zip(measured, leads, strict=True)
            ]
        return answers

    def signatures(self, specs: Sequence[LossSpec]) -> list[str]:
        """The signatures that screening gives, without asking where the specs lead."""
        return [answer.signature for batch in self._batches(specs) for answer in self._measure(batch)]

    def _batches(self, specs: Sequence[LossSpec]) -> Iterator[Sequence[LossSpec]]:
        return (specs[first : first + self._size] for first in range(0, len(specs), self._size))

    def _measure(self, specs: Sequence[LossSpec]) -> list[Screened]:
        """Scales and signatures; a reason where a gradient is of no use."""
        stopping.check()
        parts = [replace(part, scale=1.0) for spec in specs for part in spec.parts]
        unit = [LossSpec((replace(p, weighting=Weighting()),), "fixed") for p in parts]
        sizes = iter(self._sizes(self._gradients(unit, self._initial)).tolist())
        scaled = [[(part, next(sizes)) for part in spec.parts] for spec in specs]
        drafts = [
            replace(spec, parts=tuple(replace(p, scale=s if _usable(s) and p.term.scaled else 1.0) for p, s in own))
            for spec, own in zip(specs, scaled, strict=True)
        ]
        gradients = self._along_progress(drafts, self._initial)
        bare = [_without_absolute(draft) for draft in drafts]
        same = all(one is other for one, other in zip(bare, drafts, strict=True))
        totals = self._sizes(gradients if same else self._along_progress(bare, self._initial)).tolist()
        signatures = self._signatures(drafts, gradients)
        answers = []
        for draft, own, total, signature in zip(drafts, scaled, totals, signatures, strict=True):
            reason = "" if _usable(total) else f"its gradient {_fault(total)} at initialisation"
            faulty = [
                f"that of {part.name} {_fault(size)}"
                for part, size in own
                if not (_usable(size) if part.term.scaled else math.isfinite(size))
            ]
            if faulty:
                reason = f"{NO_GRADIENT} ({', '.join(faulty)})"
            reason = self._too_large(draft) or reason
            factor = total if _usable(total) else 1.0
            spec = replace(draft, parts=tuple(replace(p, scale=p.scale * factor) for p in draft.parts))
            answers.append(Screened(spec, signature, reason))
        return answers

    def _too_large(self, spec: LossSpec) -> str:
        """Why what a candidate keeps of the training rows does not fit; empty where it does."""
        taken = self._members * tables_bytes(spec, self._sizes_of_data)
        if taken <= TABLES * memory():
            return ""
        return (
            f"what it keeps for each of {self._sizes_of_data.rows:,} training rows would take {in_units(taken)}, more "
            f"than a quarter of the memory, {in_units(memory())}"
        )

    def _along_progress(self, specs: Sequence[LossSpec], outputs: Tensor) -> Tensor:
        """Gradients at each of `PROGRESS`, [probes, specs, progress, rows, classes or 1]."""
        scheduled = ["progress" in spec.reads for spec in specs]
        probes, _, rows = outputs.shape[:3]
        gradients = outputs.new_empty(probes, len(specs), len(PROGRESS), rows, outputs[0, 0, 0].numel())
        for moves in (False, True):
            chosen = [index for index, own in enumerate(scheduled) if own is moves]
            if chosen:
                # A loss that follows no schedule is the same at every progress.
                times = PROGRESS if moves else PROGRESS[:1]
                gradients[:, chosen] = self._gradients([specs[index] for index in chosen], outputs, times)
        return gradients

    def _gradients(
        self, specs: Sequence[LossSpec], outputs: Tensor, progress: Sequence[float] = PROGRESS[:1]
    ) -> Tensor:
        loss = self._population(specs)
        return torch.stack([self._gradient(loss, outputs, done) for done in progress], dim=2)

    def _population(self, specs: Sequence[LossSpec]) -> PopulationLoss:
        return PopulationLoss(specs, sizes=self._sizes_of_data, offer=self._offer)

    def _gradient(self, loss: PopulationLoss, outputs: Tensor, progress: float) -> Tensor:
        """The gradient [probes, specs, rows, classes or 1] on ``outputs`` [probes, 1 or specs, rows(, classes)]."""
        probes, members = len(outputs), len(loss.specs)
        leaf = outputs.expand(probes, members, *outputs.shape[2:]).clone().requires_grad_()
        batch = {name: _repeated(value[:, : outputs.shape[2]], probes) for name, value in self._batch.items()}
        facts = {name: _repeated(value, probes) for name, value in self._facts.items()}
        batch["index"] = torch.arange(outputs.shape[2]).expand(probes, -1)  # what is kept for a row starts alike
        values = loss(leaf, batch, facts, loss.initial.expand(probes, -1, -1), progress)
        (gradient,) = torch.autograd.grad(values.sum(), leaf)
        return gradient.reshape(*outputs.shape[:1], members, outputs.shape[2], -1)

    def _signatures(self, specs: Sequence[LossSpec], gradients: Tensor) -> list[str]:
        """Equal for gradients of one direction, and unlike where directions differ by more than rounding."""
        probed = torch.cat((gradients[:, :, :, :SIGNED], self._along_progress(specs, self._noisy)))
        flat = probed.transpose(0, 1).flatten(1, 3).double()
        seen = torch.einsum("krc,rv,cv->kv", flat, *self._views) / flat.norm(dim=(1, 2))[:, None]
        rounded = (seen * 1e4).round().nan_to_num().to(torch.int32).numpy()
        return [
            hashlib.sha256(row.tobytes() + json.dumps(self._apart(spec)).encode()).hexdigest()[:16]
            for row, spec in zip(rounded, specs, strict=True)
        ]

    def _apart(self, spec: LossSpec) -> list[object]:
        """What tells losses apart that have one gradient."""
        known: list[object] = [_learning(spec), spec.decision]
        return known if self._predicting is None else [*known, self._head(spec)]

    def _sizes(self, gradients: Tensor) -> Tensor:
        """Mean over progress of the sum over rows of the norms of a sample's gradient, [specs], on the first probe."""
        sizes: Tensor = (gradients[0].norm(dim=-1) * self._weights).sum(dim=-1)
        return sizes.mean(dim=-1)

    def _can_judge(self, plain: LossSpec) -> bool:
        """A metric that is constant, undefined or already perfect on the probe rises for no loss, plain or not."""
        if not bool(torch.isfinite(self._before)):
            return False
        (draft,) = self._measure([plain])
        return self._improved([draft.spec])[0]

    def _leads_somewhere(self, specs: Sequence[LossSpec]) -> list[bool]:
        """Whether each loss improves the metric; yes for all where the probe cannot tell."""
        return self._improved(specs) if self.judges else [True] * len(specs)

    def _improved(self, specs: Sequence[LossSpec]) -> list[bool]:
        """Whether descending a loss on free outputs improves the metric, read after each of `CHECKS` steps."""
        assert self._judge is not None  # noqa: S101  (callers ask only where there is a metric)
        leads = torch.zeros(len(specs), dtype=torch.bool)
        outputs = self._initial[:, :, :FREE]
        outputs = outputs.expand(1, len(specs), *outputs.shape[2:])
        waiting, before = torch.arange(len(specs)), self._before
        if self._predicting is not None:
            before = self._untrained(specs)
        for first, last in pairwise((0, *CHECKS)):
            still = ~leads[waiting]
            waiting, outputs = waiting[still], outputs[:, still]
            if not len(waiting):
                break
            loss = self._population([specs[index] for index in waiting.tolist()])
            for step in range(first, last):
                gradient = self._gradient(loss, outputs, step / CHECKS[-1])
                size = gradient.norm(dim=-1).mean(dim=-1)[..., None, None]
                outputs = outputs - (0.1 * gradient / size.clamp_min(1e-12)).reshape(outputs.shape).nan_to_num()
            shown = self._shown(outputs, [specs[index] for index in waiting.tolist()])
            after, _ = self._judge(shown, self._free, torch.ones(len(waiting), dtype=torch.bool))
            leads[waiting] = (after > (before if before.shape[1] == 1 else before[:, waiting]))[0]
        return [bool(leading) for leading in leads]


def _repeated(value: Tensor, probes: int) -> Tensor:
    return value.expand(probes, *value.shape[1:])


def _learning(spec: LossSpec) -> list[object]:
    # What moves while training shows in no gradient at the start; a limit that is kept at the start neither.
    moving: list[object] = [
        [part.name, part.weighting.kind, names] for part in spec.parts if (names := _optimised(part))
    ]
    carried = any(state.update is not None for part in spec.parts for state in part_states(part).values())
    # Of a schedule that is not straight from the first step to the last, `PROGRESS` shows too little.
    bent = any(own.kind != "linear" or own.windowed for own in spec.scheduled)
    hidden = carried or bent or not spec.balance.is_sum or any(not part.term.scaled for part in spec.parts)
    return [*moving, spec.key] if hidden else moving


def _optimised(part: Part) -> list[str]:
    return [name for name, state in part_states(part).items() if state.optimised or state.by_validation]


def _without_absolute(spec: LossSpec) -> LossSpec:
    """The spec with all parts as good as taken out whose weight is not in units of their gradient.

    They serve a constraint, so neither the size of the gradient at the start nor the metric is asked of them.
    """
    if all(part.term.scaled for part in spec.parts):
        return spec
    return replace(spec, parts=tuple(p if p.term.scaled else replace(p, scale=_OUT) for p in spec.parts))


def _fault(size: float) -> str:
    """What is wrong with a gradient of a size that is not usable."""
    if not math.isfinite(size):
        return "is not finite"
    return "vanishes" if size < 1 else "is above 1e12"


def _usable(size: float) -> bool:
    return 1e-12 < size < 1e12
