"""Grow boosted trees for many candidates, with rungs: the interface and the rules of `train_population`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from losssearch import stopping
from losssearch.data.batch import Batch
from losssearch.errors import OptionError
from losssearch.losses.inputs import STANDARD, memberships
from losssearch.losses.offer import Offer
from losssearch.option_names import option
from losssearch.training.boosting.forest import Soil, new_soil
from losssearch.training.boosting.member import Member, Tree, stacked
from losssearch.training.boosting.objective import Objective, initial_score
from losssearch.training.boosting.pieces import pieces_of
from losssearch.training.boosting.plan import ROUNDS
from losssearch.training.outcome import CUT, NEVER_FINITE, UNTUNED, Detailed, Judge, Outcome, held_of, kept
from losssearch.training.plan import TrainingPlan
from losssearch.training.population_training import Candidate

if TYPE_CHECKING:
    from losssearch.data.replicas import Replicas


def train_boosted(
    library: str,
    candidates: Sequence[Candidate],
    replicas: Replicas,
    plan: TrainingPlan,
    judge: Judge,
    *,
    hold: bool = False,
    deadline: float | None = None,
    offer: Offer = STANDARD,
) -> list[Outcome]:
    """Grow a forest for every candidate at each of its learning rates in every replica; one outcome per candidate.

    ``library`` is ``lightgbm`` or ``xgboost``. An epoch of the plan is `ROUNDS` rounds on all training rows; rates
    are the trees' shrinkage. Rows are binned once per replica. The rest is as in
    `losssearch.training.train_population`: rungs, patience, what is held, what a ``deadline`` does, and the ``offer``.

    Raises `OptionError` for rows that are streamed from disk.
    """
    if replicas.stream is not None:
        raise OptionError(
            f"{library} needs its rows in memory, and they are streamed from disk: give {option('max_rows')}, or "
            f"another {option('model')}"
        )
    return _Growing(library, candidates, replicas.to("cpu"), plan, judge, deadline, offer).run(hold)


class _Growing:
    def __init__(
        self,
        library: str,
        candidates: Sequence[Candidate],
        replicas: Replicas,
        plan: TrainingPlan,
        judge: Judge,
        deadline: float | None,
        offer: Offer,
    ) -> None:
        self.candidates, self.replicas, self.plan = candidates, replicas, plan
        self.judge, self.deadline, self.offer, self.cut = judge, deadline, offer, ""
        weights = replicas.train.get("weight")
        starts = [
            initial_score(target.numpy(), replicas.classes, None if weights is None else weights[r].double().numpy())
            for r, target in enumerate(replicas.train["target"])
        ]
        soils = [
            new_soil(library, features.numpy(), start, replicas.classes, seed)
            for features, start, seed in zip(replicas.train["features"], starts, replicas.seeds, strict=True)
        ]
        self.members = [
            Member(c, rate, [self._tree(candidate, rate, r, soils[r], starts[r]) for r in range(replicas.count)])
            for c, candidate in enumerate(candidates)
            for rate in candidate.rates
        ]
        self.rungs: list[list[tuple[int, float]]] = [[] for _ in candidates]
        self.outcomes: dict[int, Outcome] = {}
        self.epoch = 0

    def _tree(self, candidate: Candidate, rate: float, replica: int, soil: Soil, start: np.ndarray) -> Tree:
        replicas = self.replicas
        facts, batch = (_of(replica, own) for own in (replicas.facts, replicas.train))
        if "group" in batch:
            batch["group"] = memberships(batch["group"], replicas.sizes.sensitive).double()
        if "weight" in batch:
            batch["weight"] = batch["weight"].double()
        objective = Objective(
            pieces_of(candidate.spec, facts, replicas.sizes, self.offer),
            batch,
            classes=replicas.classes,
            rounds=self.plan.epochs * ROUNDS,
            seed=replicas.seeds[replica],
        )
        return Tree(soil.forest(rate), objective, start, replicas.validation["features"][replica].numpy())

    def run(self, hold: bool) -> list[Outcome]:
        plan = self.plan
        for epoch in range(1, plan.epochs + 1):
            self.epoch = epoch
            running = [tree for m in self.members for tree in m.trees if not tree.stopped(epoch - 1, plan.patience)]
            for tree in running:
                stopping.check()
                tree.grow()
            utility, adjust = self._judge(self.members, stacked(self.members))
            details = adjust.details.tolist() if isinstance(adjust, Detailed) else None
            for k, member in enumerate(self.members):
                for r, tree in enumerate(member.trees):
                    if tree in running:
                        tree.record(float(utility[r, k]), epoch, tuple(details[r][k]) if details else ())
            if epoch in plan.rungs and epoch < plan.epochs:
                self._rung(epoch)
            if all(tree.stopped(epoch, plan.patience) for member in self.members for tree in member.trees):
                break
            if epoch < plan.epochs and self.deadline is not None and time.time() > self.deadline:
                self.cut = f"{CUT} in epoch {epoch} of {plan.epochs}"
                break
        state = "pruned" if self.cut and plan.rungs else "completed"
        self._finish(sorted({member.number for member in self.members}), state, hold)
        return [self.outcomes[c] for c in range(len(self.candidates))]

    def _judge(self, members: Sequence[Member], outputs: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        tuned = torch.tensor([self.candidates[member.number].spec.decision == "tuned" for member in members])
        utility, adjust = self.judge(outputs, self.replicas.validation["target"], tuned)
        return torch.nan_to_num(utility.double(), nan=-torch.inf, neginf=-torch.inf), adjust

    def _rung(self, epoch: int) -> None:
        """Each candidate keeps the better half of its rates; the population the better part of its candidates."""
        ranked: dict[int, list[Member]] = {}
        for member in sorted(self.members, key=lambda member: -member.score):
            ranked.setdefault(member.number, []).append(member)  # candidates come out best first
        for number, own in ranked.items():
            self.rungs[number].append((epoch, own[0].score))
        places = max(1, int(np.ceil(len(ranked) * self.plan.keep)))
        stay = {n for place, n in enumerate(ranked) if place < places or self.candidates[n].protected}
        self._finish([n for n in ranked if n not in stay], "pruned", hold=False)
        kept = [member for n in stay for member in ranked[n][: -(-len(ranked[n]) // 2)]]
        self.members = [member for member in self.members if member in kept]

    def _finish(self, numbers: Sequence[int], state: str, hold: bool) -> None:
        best = {n: max((m for m in self.members if m.number == n), key=lambda member: member.score) for n in numbers}
        sound = [member for member in best.values() if np.isfinite(member.score)]
        held = self._held(sound) if hold and sound else {}
        for number, member in best.items():
            if member not in sound:
                reason = "diverged" if member.diverged else NEVER_FINITE
                self.outcomes[number] = Outcome("failed", rungs=tuple(self.rungs[number]), reason=reason)
                continue
            place = sound.index(member)
            best_epochs = tuple(tree.best_epoch for tree in member.trees)
            self.outcomes[number] = Outcome(
                state="pruned" if state == "pruned" else "completed",
                utilities=tuple(tree.best for tree in member.trees),
                rate=member.rate,
                epochs=max(best_epochs),
                best_epochs=best_epochs,
                trained=min(max(best_epochs) + self.plan.patience, self.epoch),
                most=self.plan.epochs,
                rungs=tuple(self.rungs[number]),
                learned=member.learned(),
                details=tuple(tree.details for tree in member.trees if tree.details),
                held=held_of(held, place, self.candidates[number].spec.decision == "tuned"),
                reason=self.cut,
            )

    def _held(self, members: Sequence[Member]) -> dict[str, Tensor]:
        """Adjusted outputs ``[R, K, rows(, classes)]`` of the best epochs, by name of the held-out part."""

        def outputs(features: Tensor) -> Tensor:
            rows = [[m.trees[r].outputs(own.numpy()) for m in members] for r, own in enumerate(features)]
            return torch.from_numpy(np.array(rows)).float()

        validated = outputs(self.replicas.validation["features"])
        _, adjust = self._judge(members, validated)
        more = adjust.views if isinstance(adjust, Detailed) else {}
        held = {f"validation{suffix}": kept(view(validated), self.replicas.classes) for suffix, view in more.items()}
        views = {"": adjust, **more}
        for name, batch in self.replicas.held.items():
            scores = outputs(batch["features"])
            held |= {f"{name}{suffix}": kept(view(scores), self.replicas.classes) for suffix, view in views.items()}
            tuned = any(self.candidates[member.number].spec.decision == "tuned" for member in members)
            if name == "test" and not more and tuned:
                nothing = torch.zeros(len(members), dtype=torch.bool)
                _, untuned = self.judge(validated, self.replicas.validation["target"], nothing)
                held[f"{name}{UNTUNED}"] = kept(untuned(scores), self.replicas.classes)
        return held


def _of(replica: int, batch: Batch) -> dict[str, Tensor]:
    return {name: value[replica] for name, value in batch.items()}
