"""The training of one population, with rungs: epochs, judgements, and what becomes of each candidate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor

from losssearch import stopping
from losssearch.data.batch import Batch
from losssearch.errors import SpecError
from losssearch.losses.carried import tables_bytes
from losssearch.losses.inputs import STANDARD
from losssearch.losses.kept import by_validation
from losssearch.losses.offer import Offer
from losssearch.losses.population import PopulationLoss
from losssearch.losses.spec import LossSpec
from losssearch.models import StackedModel
from losssearch.training.bilevel import Bilevel
from losssearch.training.capacity import members_at_once
from losssearch.training.levels import Levels, Objective
from losssearch.training.members import Members
from losssearch.training.outcome import CUT, NEVER_FINITE, UNTUNED, Course, Detailed, Judge, Outcome, held_of, kept
from losssearch.training.plan import TrainingPlan
from losssearch.training.summary import Summary, summary
from losssearch.training.trace import Recorder, Trace, with_rows

if TYPE_CHECKING:
    from losssearch.data.replicas import Replicas
    from losssearch.tasks import Predicting


@dataclass(frozen=True)
class Candidate:
    """A loss to train, at each of ``rates``; a ``protected`` one is never pruned."""

    spec: LossSpec
    rates: tuple[float, ...]
    protected: bool = False


Found: TypeAlias = Mapping[tuple[int, float], Mapping[str, Tensor]]
"""What the hypergradient has moved, ``[R, ...]`` by name, by the number of the candidate and the rate."""


class PopulationTraining:
    """Candidates in training, each at its rates and in every replica; see `losssearch.training.trainer`."""

    def __init__(
        self,
        model: StackedModel,
        candidates: Sequence[Candidate],
        replicas: Replicas,
        plan: TrainingPlan,
        judge: Judge,
        device: torch.device,
        deadline: float | None,
        share: float,
        offer: Offer = STANDARD,
        objective: Objective | None = None,
        found: Found | None = None,
        predicting: Predicting | None = None,
    ) -> None:
        self._predicting = predicting
        self.deadline, self.cut = deadline, ""
        self.candidates, self.plan, self.judge = candidates, plan, judge
        self.replicas = replicas.to(device)
        self._facts = self.replicas.facts
        owners = [(c, rate) for c, candidate in enumerate(candidates) for rate in candidate.rates]
        moved = [found is None and by_validation(candidate.spec) for candidate in candidates]
        owners.sort(key=lambda own: moved[own[0]])  # side by side, those on two levels make one slice
        self._levels: Levels | None = None
        bilevel = None
        if any(moved):
            if objective is None:
                raise SpecError("a loss with states that validation moves needs an objective for them")
            self._levels = Levels(self.replicas, objective, plan.batch_size)
            bilevel = Bilevel(objective, self.replicas.sizes, offer, self._levels.units)
        known = found or {}
        self.members = Members(
            model,
            PopulationLoss([candidates[c].spec for c, _ in owners], device, sizes=replicas.sizes, offer=offer),
            torch.tensor([c for c, _ in owners]),
            torch.tensor([rate for _, rate in owners]),
            replicas.seeds,
            weight_decay=plan.weight_decay,
            clip=plan.clip,
            device=device,
            average=plan.average,
            at_once=members_at_once(
                model.shapes,
                len(owners),
                len(replicas.seeds),
                plan.batch_size,
                device,
                share,
                kept=_tables([candidates[c] for c, _ in owners], replicas),
            ),
            bilevel=bilevel,
            found=[known.get(own, {}) for own in owners],
            columns=None if predicting is None else [predicting.head(candidates[c].spec).width for c, _ in owners],
        )
        self._tuned = self._mask()
        self.rungs: list[list[tuple[int, float]]] = [[] for _ in candidates]
        self.outcomes: dict[int, Outcome] = {}
        self.epoch = 0
        self.state: Summary
        self._recorder: Recorder | None = None
        self._last: tuple[Batch, Batch, float] | None = None

    def run(self, hold: bool, *, record: bool = False) -> Course:
        """Train to the end; yield each new best score. With ``hold``, outcomes carry what is held out.

        With ``record``, they carry what the training went through, unless there are rungs.
        """
        plan, members, best = self.plan, self.members, -math.inf
        self._recorder = Recorder(members, moves=self._levels is not None) if record and not plan.rungs else None
        for epoch in range(1, plan.epochs + 1):
            self.epoch = epoch
            self._train_epoch(epoch)
            utility, details = self._judged()
            averaged = None if plan.average is None else self._judged(averaged=True)
            members.record(utility, epoch, plan.patience, details, averaged)
            if self._recorder is not None:
                self._recorder.epoch(utility if averaged is None else utility.maximum(averaged[0]), self._last)
            self.state = summary(members, epoch, plan.patience)
            if (reached := float(self.state.scores.max())) > best:
                yield (best := reached)
            if epoch in plan.rungs and epoch < plan.epochs:
                self._rung(epoch)
            if bool(self.state.stopped.all()):
                break
            if epoch < plan.epochs and self._late():
                self._note_cut(epoch)
            if self.cut:
                break
        state = "pruned" if self.cut and plan.rungs else "completed"
        self._finish(sorted(set(self.members.candidate.tolist())), state, hold)
        return [self.outcomes[c] for c in range(len(self.candidates))]

    def _train_epoch(self, epoch: int) -> None:
        replicas, plan = self.replicas, self.plan
        steps = max(1, replicas.rows // plan.batch_size)
        turns = repeat(None) if self._levels is None else self._levels.turns(epoch, steps, plan.epochs)
        # `turns` last: of iterators of unlike length, `zip` asks the later ones for nothing that it does not use
        for step, (batch, turn) in enumerate(zip(self._batches(epoch, steps), turns, strict=False)):
            stopping.check()
            if step and self._late():
                self._note_cut(epoch)
                break
            done = ((epoch - 1) * steps + step) / (plan.epochs * steps)
            self.members.restart(done, epoch)
            self.members.step(
                batch,
                self._facts,
                progress=done,
                factor=1 - 0.9 * done,  # the rates fall to a tenth, for all members alike
                seed=replicas.seeds[0] + epoch * steps + step,
                turn=turn,
            )
            if self._recorder is not None and self._recorder.balanced:
                self._last = (batch, self._facts, done)

    def found(self) -> Found:
        """What the hypergradient has moved, as it was at the best epoch of each replica, by candidate and rate."""
        members, rates = self.members, self.members.optimiser.rates.tolist()
        found: dict[tuple[int, float], dict[str, Tensor]] = {}
        for member, (own, keys) in enumerate(zip(members.candidate.tolist(), members.loss.by_validation, strict=True)):
            rate = min(self.candidates[own].rates, key=lambda known: abs(known - rates[member]))
            found[own, rate] = {key: members.best_states[member, key] for key in keys}
        return found

    def _batches(self, epoch: int, steps: int) -> Iterator[Batch]:
        replicas, size = self.replicas, self.plan.batch_size
        if replicas.stream is not None:  # rows on disk are shuffled where they are read
            yield from replicas.stream.batches(epoch, size)
            return
        rows, device = replicas.rows, self.members.flat.device
        index = torch.stack([_permutation(rows, seed, epoch) for seed in replicas.seeds])
        # All replicas' rows below one another: to select whole rows takes a third of what indexing takes.
        order = (index + rows * torch.arange(len(index))[:, None]).to(device)
        tables = {name: value.flatten(0, 1) for name, value in replicas.train.items()}
        numbers = index.to(device)[:, : steps * size].split(size, dim=1)
        for chosen, own in zip(order[:, : steps * size].split(size, dim=1), numbers, strict=True):
            yield {**{name: _at(chosen, table) for name, table in tables.items()}, "index": own}

    def _late(self) -> bool:
        return self.deadline is not None and time.time() > self.deadline

    def _note_cut(self, epoch: int) -> None:
        self.cut = f"{CUT} in epoch {epoch} of {self.plan.epochs}"

    def _judged(self, *, averaged: bool = False) -> tuple[Tensor, Tensor | None]:
        """Utilities on validation, and what else the judge says, of the present weights or of their average."""
        outputs = self._read(self.members.outputs(self.replicas.validation["features"], averaged=averaged))
        utility, adjust = self._evaluate(outputs)
        return utility, adjust.details if isinstance(adjust, Detailed) else None

    def _read(self, outputs: Tensor) -> Tensor:
        """Outputs of all members as the judge takes them: by the head of each member's loss."""
        if self._predicting is None:
            return outputs
        heads = [self._predicting.head(self.candidates[c].spec) for c in self.members.candidate.tolist()]
        return self._predicting(outputs, heads, self._facts)

    def _evaluate(self, outputs: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        utility, adjust = self.judge(outputs, self.replicas.validation["target"], self._tuned)
        return torch.nan_to_num(utility.double(), nan=-torch.inf, neginf=-torch.inf), adjust

    def _mask(self) -> Tensor:
        """Which members are judged with what the metric leaves open tuned, ``[K]``."""
        tuned = [self.candidates[c].spec.decision == "tuned" for c in self.members.candidate.tolist()]
        return torch.tensor(tuned).to(self.members.flat.device)

    def _keep(self, chosen: list[int]) -> None:
        self.members.keep(chosen)
        self.state, self._tuned = self.state.take(chosen), self._mask()

    def _rung(self, epoch: int) -> None:
        """Each candidate keeps the better half of its rates; the population the better part of its candidates."""
        scores, owner = self.state.standing, self.members.candidate.tolist()
        ranked: dict[int, list[int]] = {}
        for member in scores.argsort(descending=True, stable=True).tolist():
            ranked.setdefault(owner[member], []).append(member)  # candidates come out best first
        for candidate, own in ranked.items():
            self.rungs[candidate].append((epoch, float(scores[own[0]])))
        places = max(1, int(np.ceil(len(ranked) * self.plan.keep)))
        stay = {c for place, c in enumerate(ranked) if place < places or self.candidates[c].protected}
        self._finish([c for c in ranked if c not in stay], "pruned", hold=False)
        kept = sorted(m for c in stay for m in ranked[c][: -(-len(ranked[c]) // 2)])
        self._keep(kept)

    def _finish(self, candidates: list[int], state: str, hold: bool) -> None:
        scores, owner = self.state.scores, self.members.candidate
        chosen: dict[int, int] = {}
        for candidate in candidates:
            own = (owner == candidate).nonzero()[:, 0]
            chosen[candidate] = int(own[scores[own].argmax()])
        held: dict[str, Tensor] = {}
        traces = self._traces(chosen)
        if hold and chosen:
            self._keep(list(chosen.values()))
            chosen = {candidate: place for place, candidate in enumerate(chosen)}
            held = {name: outputs.cpu() for name, outputs in self._held().items()}
            traces = with_rows(traces, chosen, self.members, self.replicas)
        reached = self.state
        for place, (candidate, member) in enumerate(chosen.items()):
            best_epochs = tuple(reached.best_epoch[:, member].tolist())
            if not torch.isfinite(reached.scores[member]):
                reason = "diverged" if bool(reached.diverged[:, member].any()) else NEVER_FINITE
                self.outcomes[candidate] = Outcome("failed", rungs=tuple(self.rungs[candidate]), reason=reason)
                continue
            used, best = float(reached.rates[member]), int(reached.best[:, member].argmax())
            self.outcomes[candidate] = Outcome(
                state="pruned" if state == "pruned" else "completed",
                utilities=tuple(reached.best[:, member].tolist()),
                rate=min(self.candidates[candidate].rates, key=lambda rate: abs(rate - used)),
                epochs=max(best_epochs),
                best_epochs=best_epochs,
                trained=min(max(best_epochs) + self.plan.patience, self.epoch),
                most=self.plan.epochs,
                rungs=tuple(self.rungs[candidate]),
                learned=self.members.learned(member, reached.learned[best, member], best),
                details=() if reached.details is None else _rows(reached.details[:, member]),
                held=held_of(held, place, self.candidates[candidate].spec.decision == "tuned"),
                trace=traces.get(candidate),
                reason=self.cut,
            )

    def _traces(self, chosen: Mapping[int, int]) -> dict[int, Trace]:
        """What each candidate's member went through, where it was noted."""
        if self._recorder is None:
            return {}
        best = self.state.best
        return {c: self._recorder.trace(member, int(best[:, member].argmax())) for c, member in chosen.items()}

    def _held(self) -> dict[str, Tensor]:
        validated = self._read(self.members.outputs(self.replicas.validation["features"], best=True))
        _, adjust = self._evaluate(validated)
        more = adjust.views if isinstance(adjust, Detailed) else {}
        held = {f"validation{suffix}": kept(view(validated), self.replicas.classes) for suffix, view in more.items()}
        views = {"": adjust, **more}
        for name, batch in self.replicas.held.items():
            outputs = self._read(self.members.outputs(batch["features"], best=True))
            held |= {f"{name}{suffix}": kept(view(outputs), self.replicas.classes) for suffix, view in views.items()}
            if name == "test" and not more and bool(self._tuned.any()):
                _, untuned = self.judge(validated, self.replicas.validation["target"], torch.zeros_like(self._tuned))
                held[f"{name}{UNTUNED}"] = kept(untuned(outputs), self.replicas.classes)
        return held


def _at(rows: Tensor, table: Tensor) -> Tensor:
    selected: Tensor = table.index_select(0, rows.flatten()).unflatten(0, rows.shape)
    return selected


def _rows(values: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in values.tolist())


def _permutation(rows: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(rows, generator=torch.Generator().manual_seed((seed * 1_000_003 + epoch) % (1 << 63)))


def _tables(members: Sequence[Candidate], replicas: Replicas) -> int:
    """Bytes of what the losses of all members keep for training rows."""
    sizes = replicas.sizes
    return replicas.count * sum(tables_bytes(member.spec, sizes) for member in members)
