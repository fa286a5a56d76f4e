"""The ask/tell loop: menu first, then rounds of proposals; every trial is stored before and after it runs.

A round is a pure function of the trials before it, so a study that was killed goes on exactly where it
stood: trials stored as running are trained again, in the same populations.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from losssearch.losses.spec import LossSpec
from losssearch.models import LoopedModule, build_model
from losssearch.search.context import Context
from losssearch.search.menu import menu_entries
from losssearch.search.proposal import Observation, encode_observation, propose
from losssearch.search.screening import Screen, Screened
from losssearch.search.settings import derived_seed
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.training import Outcome

ATTEMPTS = 3
"""How often a trial may be running when the program ends before it counts as failed."""

STEP_SIZE = 60_000_000
"""Weights × rows that one step of a population should hold: enough to keep a core busy, few enough to share out."""

RESERVE = 0.35
"""Share of a time budget that is kept for selection and verdict."""

REUSED = (TrialState.DUPLICATE, TrialState.EQUIVALENT)


class Loop:
    """Runs the trials of a study until their number, or the time budget, is reached."""

    def __init__(self, context: Context) -> None:
        self.context = context
        settings = context.settings
        replicas = context.replicas("search", settings.replicas)
        context.executor.share("search", replicas)
        self.rows = {"train": replicas.features.shape[1], "validation": replicas.validation_features.shape[1]}
        model = build_model(
            context.model, replicas.features.shape[2], context.task.width(replicas.class_prior.shape[1])
        )
        self._screen = Screen(model, replicas, settings.metric, settings.task)
        self._trials: dict[int, TrialRecord] = {t.number: t for t in context.store.trials(settings.study)}
        self._signatures: dict[str, int] = {}
        weights = sum(torch.Size(shape).numel() for shape in model.shapes.values())
        size = settings.plan.batch_size * weights * len(settings.rates) * settings.replicas
        context.chunk = 1 if isinstance(model, LoopedModule) else max(4, min(16, STEP_SIZE // size))
        self._round = max(context.chunk, min(32, max(8, settings.trials // 8)))

    def run(self) -> list[TrialRecord]:
        """Run what is missing; all trials of the study, by number."""
        settings, observer = self.context.settings, self.context.observer
        begun = time.monotonic()
        observer.stage("search", settings.trials)
        done = [t for t in self._trials.values() if t.state is not TrialState.RUNNING]
        observer.trials(done, self._best())
        self._track(done)  # what a killed driver's tracker still held; what was tracked already is passed over
        self._remember()
        self._train(self._interrupted())
        entries = menu_entries(self.context.task, settings.trials, derived_seed(settings.seed, "menu"))
        missing = [(n, entry) for n, entry in enumerate(entries) if n not in self._trials]
        screened = self._screen([entry.spec for _, entry in missing])
        menu = []
        for (number, entry), answer in zip(missing, screened, strict=True):
            params, distributions = encode_observation(self.context.space, answer.spec) or ({}, {})
            menu.append(
                TrialRecord(
                    number,
                    "baseline",
                    entry.name,
                    answer.spec.to_json(),
                    answer.spec.key,
                    params=params,
                    distributions=distributions,
                )
            )
        # A menu entry is trained whatever screening says of it, unless its twin already is.
        self._admit(menu, [replace(answer, reason="") for answer in screened])
        while len(self._trials) < settings.trials and not self._out_of_time():
            self._propose(min(self._round, settings.trials - len(self._trials)))
        self.context.seconds["search"] = self.context.seconds.get("search", 0.0) + time.monotonic() - begun
        return [self._trials[number] for number in sorted(self._trials)]

    def _propose(self, count: int) -> None:
        first = len(self._trials)
        settings = self.context.settings
        proposals = propose(
            self.context.space,
            [_observation(trial) for _, trial in sorted(self._trials.items()) if trial.params],
            count=count,
            seed=derived_seed(settings.seed, "proposal", first),
            maximize=self.context.metric.direction == "maximize",
        )
        screened = self._screen([proposal.spec for proposal in proposals])
        records = [
            TrialRecord(
                first + offset,
                "searched",
                f"searched-{first + offset}",
                answer.spec.to_json(),
                answer.spec.key,
                params=dict(proposal.params),
                distributions=dict(proposal.distributions),
            )
            for offset, (proposal, answer) in enumerate(zip(proposals, screened, strict=True))
        ]
        self._admit(records, screened)

    def _admit(self, records: Sequence[TrialRecord], screened: Sequence[Screened]) -> None:
        """Sort out duplicates, equivalents and rejected ones, store all as asked, train the rest."""
        keys = {trial.key: trial.number for trial in self._trials.values() if trial.twin is None and _usable(trial)}
        admitted = []
        for record, answer in zip(records, screened, strict=True):
            twin = keys.get(record.key)
            state = TrialState.DUPLICATE
            if twin is None:
                twin, state = self._signatures.get(answer.signature), TrialState.EQUIVALENT
            if answer.reason:
                admitted.append(replace(record, state=TrialState.REJECTED, reason=answer.reason))
            elif twin is not None:
                admitted.append(replace(record, state=state, twin=twin))
            else:
                keys[record.key] = self._signatures[answer.signature] = record.number
                admitted.append(record)
        waiting = [replace(r, state=TrialState.RUNNING) if r.state in REUSED else r for r in admitted]
        self._save(waiting)
        self._trials.update({record.number: record for record in admitted})
        rejected = [record for record in admitted if record.state is TrialState.REJECTED]
        self._tell(rejected)
        self._train([record for record in admitted if record.state is TrialState.RUNNING])
        self._tell([self._reuse(record) for record in admitted if record.state in REUSED])

    def _reuse(self, record: TrialRecord) -> TrialRecord:
        """Take over what the twin reached."""
        assert record.twin is not None  # noqa: S101  (only twins come here)
        twin = self._trials[record.twin]
        state = TrialState.DUPLICATE if twin.key == record.key else TrialState.EQUIVALENT
        return replace(
            record,
            state=state,
            value=twin.value,
            values=twin.values,
            rate=twin.rate,
            epochs=twin.epochs,
            rungs=twin.rungs,
        )

    def _interrupted(self) -> list[TrialRecord]:
        """Trials that ran when the program ended: those to train again; twins and hopeless ones are settled."""
        running = [t for _, t in sorted(self._trials.items()) if t.state is TrialState.RUNNING]
        again = [replace(trial, attempts=trial.attempts + 1) for trial in running]
        hopeless = [t for t in again if t.attempts >= ATTEMPTS]
        self._tell(
            [
                replace(t, state=TrialState.FAILED, reason=f"the program ended {ATTEMPTS} times while it ran")
                for t in hopeless
            ]
        )
        rest = [t for t in again if t.attempts < ATTEMPTS]
        self._save(rest)
        return rest

    def _train(self, records: Sequence[TrialRecord]) -> None:
        """Train ``records`` in populations of a fixed size and tell each population's results at once."""
        fresh = [record for record in records if record.twin is None]
        context, settings = self.context, self.context.settings
        plain = context.task.plain.name
        owners: dict[int, list[TrialRecord]] = {}
        jobs = []
        for start in range(0, len(fresh), context.chunk):
            chunk = fresh[start : start + context.chunk]
            job = context.job(
                "search",
                [(LossSpec.from_json(r.spec), settings.rates, r.name == plain) for r in chunk],
                settings.plan,
            )
            owners[job.number] = chunk
            jobs.append(job)
        begun = time.monotonic()
        for job, outcomes in context.executor.run(jobs):
            pairs = zip(owners[job.number], outcomes, strict=True)
            each = (time.monotonic() - begun) / len(outcomes)
            self._tell([self._told(record, outcome, each) for record, outcome in pairs])
            begun = time.monotonic()
        twins = [record for record in records if record.twin is not None]
        self._tell([self._reuse(record) for record in twins])

    def _told(self, record: TrialRecord, outcome: Outcome, seconds: float) -> TrialRecord:
        values = self.context.values(outcome)
        return replace(
            record,
            state=TrialState(outcome.state),
            value=sum(values) / len(values) if values else None,
            values=values,
            rate=outcome.rate,
            epochs=outcome.epochs,
            rungs=tuple((epoch, self.context.value(utility)) for epoch, utility in outcome.rungs),
            reason=outcome.reason,
            seconds=seconds,
        )

    def _tell(self, records: Sequence[TrialRecord]) -> None:
        if not records:
            return
        self._save(records)
        self._trials.update({record.number: record for record in records})
        self._track(records)
        self.context.observer.trials(records, self._best())

    def _track(self, records: Sequence[TrialRecord]) -> None:
        if records:
            formulas = {record.number: LossSpec.from_json(record.spec).formula() for record in records}
            self.context.tracker.log_trials(list(records), formulas, self.context.settings.metric)

    def _save(self, records: Sequence[TrialRecord]) -> None:
        if records:
            self.context.store.save_trials(self.context.settings.study, list(records))

    def _remember(self) -> None:
        """Signatures are not stored: measure again those of the trials that were trained."""
        own = [t for _, t in sorted(self._trials.items()) if t.twin is None and _usable(t)]
        for trial, answer in zip(own, self._screen([LossSpec.from_json(t.spec) for t in own]), strict=True):
            self._signatures.setdefault(answer.signature, trial.number)

    def _best(self) -> float | None:
        utilities = [self.context.metric.utility(t.value) for t in self._trials.values() if t.value is not None]
        return self.context.value(max(utilities)) if utilities else None

    def _out_of_time(self) -> bool:
        budget = self.context.settings.time_budget
        return budget is not None and time.monotonic() - self.context.started > budget * (1 - RESERVE)


def _usable(trial: TrialRecord) -> bool:
    return trial.state in (TrialState.RUNNING, TrialState.COMPLETED, TrialState.PRUNED)


def _observation(trial: TrialRecord) -> Observation:
    return Observation(
        number=trial.number,
        params=trial.params,
        distributions=trial.distributions,
        value=trial.value,
        state=trial.state,
        rungs=trial.rungs,
    )
