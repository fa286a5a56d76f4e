"""A time budget: when a study must end, and what it can afford until then.

The search takes what the rest of the study leaves. What the rest takes is estimated from the populations that
were trained so far, so the estimates follow the machine, the model and whatever else is running. Where all else
fails, a population is told the moment at which to stop, and gives what it has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import nnls

from losssearch.execution import Executor, Heard, Job
from losssearch.losses.kept import by_validation
from losssearch.losses.spec import LossSpec
from losssearch.study.settings import Effort, ladder
from losssearch.training import Outcome, TrainingPlan, without_rungs
from losssearch.training.outcome import CUT

TRIALS = 128
"""Trials of a study that names neither their number nor a time budget."""

UNLIMITED = 2**31 - 1
"""Trials of a study that its time budget alone ends."""

SELECTION_SHARE = 0.45
"""Share of the time for training that selection and confirmation may take from the search."""

MARGIN = 1.1
"""By how much estimates are raised: too long a selection is late, too short a one wastes a few seconds."""

CLOSING = 2.0
"""Seconds for figures, report, tracking and the end of the process."""

OVERHEAD = 8.0
"""Members that one step's fixed cost is worth, until it was measured."""


def trials_of(asked: int | None, time_budget: float | None) -> int:
    """The number of trials of a study: as asked, else as many as the time budget holds, else `TRIALS`."""
    if asked is not None:
        return asked
    return TRIALS if time_budget is None else UNLIMITED


@dataclass(frozen=True)
class Budget:
    """A budget of ``seconds`` from ``started``, on a monotonic ``clock``."""

    started: float
    seconds: float
    clock: Callable[[], float] = time.monotonic

    @property
    def deadline(self) -> float:
        """When the study must end, on the clock."""
        return self.started + self.seconds

    @property
    def left(self) -> float:
        """Seconds until then; below zero when it is past."""
        return self.deadline - self.clock()

    def wall(self, moment: float) -> float:
        """A moment of the clock as seconds since 1970, which another process can compare with."""
        return time.time() + moment - self.clock()


@dataclass(frozen=True)
class Work:
    """What a population costs: optimiser ``steps``, and those times the members that take part."""

    steps: float
    member_steps: float


def work_of(plan: TrainingPlan, rows: int, candidates: int, rates: int, replicas: int) -> Work:
    """The work of a population that nobody leaves but at a rung."""
    each, rates = max(1, rows // plan.batch_size), max(1, rates)
    total, begun = 0.0, 0
    for end in (*plan.rungs, plan.epochs):
        total += (end - begun) * candidates * rates * replicas
        begun = end
        candidates, rates = max(1, int(np.ceil(candidates * plan.keep))), -(-rates // 2)
    return Work(float(plan.epochs * each), total * each)


@dataclass
class Pace:
    """Seconds for a piece of work: so much a step and so much a member's step, fitted to what was measured."""

    _measured: list[tuple[Work, float]] = field(default_factory=list)

    @property
    def known(self) -> bool:
        """Whether anything was measured."""
        return bool(self._measured)

    def learn(self, work: Work, seconds: float) -> None:
        """Take in one population."""
        self._measured = [*self._measured[-63:], (work, max(seconds, 1e-6))]

    def seconds(self, work: Work) -> float:
        """How long ``work`` takes one worker; 0 while nothing was measured."""
        if not self._measured:
            return 0.0
        # Relative errors count, and weakly the guess of what a step's fixed cost is worth.
        rows = np.array([[w.steps / s, w.member_steps / s] for w, s in self._measured])
        scale = 0.1 * float(rows[:, 0].mean())
        found, _ = nnls(np.vstack([rows, [scale, -OVERHEAD * scale]]), np.append(np.ones(len(rows)), 0.0))
        return float(found @ np.array([work.steps, work.member_steps]))


class Timekeeper:
    """Knows a study's budget and its pace, and says what can be afforded.

    ``rows`` are the training rows of a replica, ``draws`` the replicas of every shared set, ``encoding`` the
    seconds that one draw took to encode, ``chunk`` the candidates of a population; ``trainings``: how often a finalist
    may be trained in a stage, 2 where the validation loss moves something of it first. `losssearch.study.loop`
    and `losssearch.study.selecting.selection` set them as they learn of them.
    """

    def __init__(
        self, budget: Budget, plan: TrainingPlan, *, workers: int, seeds: int, menu: int, trainings: int = 1
    ) -> None:
        self.budget, self.plan, self.seeds, self.menu, self.trainings = budget, plan, seeds, menu, trainings
        self.workers = max(1, workers)
        self.pace = Pace()
        self.rows, self.chunk, self.encoding = 1, 4, 0.0
        self.draws: dict[str, int] = {}
        self.begun = budget.clock()
        self.efforts = ladder(seeds, menu)
        self.effort = self.efforts[0]
        self.cut = False
        self.reserved = 0.0  # seconds for other work of a study, after its trainings

    @property
    def closing(self) -> float:
        """Seconds to keep for what comes after the last training: more where starting took long, too."""
        startup = self.begun - self.budget.started
        return min(max(CLOSING, 0.4 * startup), 0.3 * self.budget.seconds) + self.reserved

    @property
    def left(self) -> float:
        """Seconds for training."""
        return self.budget.left - self.closing

    @property
    def end(self) -> float:
        """When the last training must end, on the budget's clock."""
        return self.budget.deadline - self.closing

    @property
    def search_end(self) -> float:
        """When the search must end for the chosen selection to have its time."""
        return self.end - self.selection_seconds(self.effort)

    def stage_end(self, confirming: bool) -> float:
        """When a stage of the selection must end, for confirmation and verdict to have what they need."""
        if confirming:
            return self.end
        return max(self.end - self.confirmation_seconds(self.effort), (self.budget.clock() + self.end) / 2)

    def plan_selection(self) -> float:
        """Choose the most thorough selection that leaves the search its share; the seconds that it takes."""
        share = SELECTION_SHARE * (self.end - self.begun)
        return self._choose(share)

    def settle_selection(self) -> Effort:
        """Choose the most thorough selection that the time left holds, now that the search is over."""
        self._choose(self.left)
        return self.effort

    def settle_confirmation(self) -> None:
        """Choose the most thorough confirmation that the time left holds, the re-evaluation being over."""
        for effort in self.efforts:
            if self._to_confirm(effort) <= self.left:
                break
        while effort.seeds < self.seeds and self._to_confirm(replace(effort, seeds=effort.seeds + 1)) <= self.left:
            effort = replace(effort, seeds=effort.seeds + 1)
        self.effort = replace(effort, fields=self.effort.fields)

    def _to_confirm(self, effort: Effort) -> float:
        return self.confirmation_seconds(effort) + self.ablation_seconds(effort)

    def affords_ablation(self, parts: int) -> bool:
        """Whether the remaining time allows the ablation of a loss with this number of parts."""
        affords = self.stage_seconds(parts, self.effort.seeds, encode=False) <= self.left
        if not affords:
            self.effort = replace(self.effort, ablation=False)
        return affords

    def notes(self) -> list[str]:
        """What the budget did not hold, in sentences; empty if it held all."""
        notes = []
        if self.effort != self.efforts[0]:
            notes.append(
                f"the time budget of {self.budget.seconds:g} s holds a smaller selection: {self.effort} "
                f"(in full: {self.efforts[0]})"
            )
        if self.cut:
            notes.append("some trainings were cut by the time budget before their last epoch")
        return notes

    def _choose(self, most: float) -> float:
        for effort in self.efforts:
            cost = self.selection_seconds(effort)
            if cost <= most:
                break
        self.effort = effort
        return cost

    def selection_seconds(self, effort: Effort, done: int = 0) -> float:
        """Estimate of a selection without its first ``done`` rounds."""
        rounds = [self.stage_seconds(2 * places + 1, draws) for places, draws in effort.fields[done:]]
        return sum(rounds) + self.confirmation_seconds(effort) + self.ablation_seconds(effort)

    def confirmation_seconds(self, effort: Effort) -> float:
        """Estimate of the confirmation; its draws hold two thirds more rows than others."""
        return (
            self.stage_seconds(effort.searched + effort.baselines, effort.seeds) + 0.67 * self.encoding * effort.seeds
        )

    def ablation_seconds(self, effort: Effort) -> float:
        """Estimate of the ablation of a loss of two parts, on the draws of the confirmation."""
        return self.stage_seconds(2, effort.seeds, encode=False) if effort.ablation else 0.0

    def stage_seconds(self, candidates: int, draws: int, *, encode: bool = True) -> float:
        """Estimate the time to train a number of candidates to the end, at one rate each, on fresh draws."""
        sizes = spread(candidates, self.chunk, self.workers)
        plan = replace(self.plan, rungs=())
        jobs = [self.pace.seconds(work_of(plan, self.rows, size, 1, draws)) for size in sizes]
        return MARGIN * self.trainings * _together(jobs, self.workers) + self.encoding * draws * encode

    def affordable(self, most: int, rates: int, replicas: int, seconds: float) -> int:
        """How many candidates of a search, ``most`` at most, can be trained in ``seconds``."""
        if seconds <= 0:
            return 0
        for count in range(most, 0, -1):
            sizes = spread(count, self.chunk, self.workers)
            jobs = [self.pace.seconds(work_of(self.plan, self.rows, size, rates, replicas)) for size in sizes]
            if MARGIN * _together(jobs, self.workers) <= seconds:
                return count
        return 0

    def extra_draws(self, done: int, candidates: int, draws: int, most: int) -> int:
        """As many draws for the round after ``done`` ones as the time left holds, from ``draws`` to ``most``."""
        rest = self.left - self.selection_seconds(self.effort, done + 1)
        return max((n for n in range(draws, most + 1) if self.stage_seconds(candidates, n) <= rest), default=draws)

    def run(
        self, executor: Executor, jobs: Sequence[Job], until: float, heard: Heard | None = None
    ) -> Iterator[tuple[Job, list[Outcome]]]:
        """Train ``jobs``, cut what still runs at ``until``, and learn from the rest how long a population takes."""
        limit = self.budget.wall(until)
        stamped = [replace(job, deadline=limit, overdue=self._overdue(job, limit)) for job in jobs]
        # The first jobs start at once, each later one when a worker becomes free: results come in that order.
        begun = dict.fromkeys((job.number for job in stamped[: self.workers]), self.budget.clock())
        waiting = iter(stamped[self.workers :])
        for job, outcomes in executor.run(stamped, heard):
            rates = len(job.candidates[0][1])
            work = self._work(job, rates)
            # A worker's own watch does not count its start.
            seconds = outcomes[0].seconds or self.budget.clock() - begun[job.number]
            cut = any(outcome.reason.startswith(CUT) for outcome in outcomes)
            self.cut = self.cut or cut
            if not cut or seconds > self.pace.seconds(work):  # of one that was cut, it took at least so long
                self.pace.learn(work, seconds)
            yield job, outcomes
            following = next(waiting, None)
            if following is not None:
                begun[following.number] = self.budget.clock()

    def _work(self, job: Job, rates: int) -> Work:
        """What a job costs, with the first training of those that are trained twice."""
        draws = self.draws.get(job.replicas, 1)
        work = work_of(job.plan, self.rows, len(job.candidates), rates, draws)
        if self.trainings == 1 or not job.refit:
            return work
        moved = sum(by_validation(LossSpec.from_json(spec)) for spec, *_ in job.candidates)
        first = work_of(without_rungs(job.plan), self.rows, moved, rates, draws) if moved else Work(0.0, 0.0)
        return Work(work.steps + first.steps, work.member_steps + first.member_steps)

    def _overdue(self, job: Job, limit: float) -> float | None:
        """When a user's training function must have returned: late by as long as it is thought to take, at the most.

        While nothing is known of how long that is, it has all of the budget.
        """
        if job.rules is None:
            return None
        if not self.pace.known:
            return max(limit, self.budget.wall(self.budget.deadline))
        rates = len(job.candidates[0][1])
        work = work_of(job.plan, self.rows, len(job.candidates), rates, self.draws.get(job.replicas, 1))
        return limit + self.pace.seconds(work)


def spread(count: int, most: int, workers: int) -> list[int]:
    """Sizes of the populations that ``count`` candidates are trained in: even, at most ``most``, all workers busy."""
    if count < 1:
        return []
    populations = max(-(-count // most), min(count, workers))
    return [count // populations + (index < count % populations) for index in range(populations)]


def _together(seconds: Sequence[float], workers: int) -> float:
    """How long jobs take that free workers fetch in turn."""
    ends = [0.0] * workers
    for job in seconds:
        first = min(range(workers), key=ends.__getitem__)
        ends[first] += job
    return max(ends)
