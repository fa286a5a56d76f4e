"""Trains the trials that a study has stored, in populations, and tells the ledger what they reached."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

from losssearch.errors import WorkersLostError
from losssearch.execution import Job
from losssearch.losses.spec import LossSpec
from losssearch.storage.records import TrialRecord
from losssearch.study.budget import spread
from losssearch.study.ledger import Ledger
from losssearch.study.selecting.selection import incumbent_name
from losssearch.study.study_context import StudyContext
from losssearch.study.suspects import ATTEMPTS, Suspects


class Populations:
    """Trains stored trials in populations of a fixed size; those that may have killed the program, alone."""

    def __init__(self, context: StudyContext, ledger: Ledger) -> None:
        self.context = context
        self._ledger = ledger
        self._suspects = Suspects(context)

    def interrupted(self) -> list[TrialRecord]:
        """Trials that were running when the program ended, to train again; hopeless ones are settled."""
        again, hopeless = self._suspects.judge(self._ledger.left_running)
        self._ledger.left_running = []
        self._ledger.tell(hopeless)
        self._ledger.save(again)
        self._suspects.note([])
        return again

    def train_suspects(self, records: Sequence[TrialRecord]) -> list[TrialRecord]:
        """Train those of ``records`` alone that were in training in too many kills; the others."""
        for record in filter(self._suspects.suspected, records):
            try:
                self.train([record])
            except WorkersLostError as error:
                if not self._suspects.may_fail(record):
                    raise
                self._ledger.tell([self._suspects.given_up(record, str(error).partition(";")[0])])
        return [record for record in records if not self._suspects.suspected(record)]

    def train(self, records: Sequence[TrialRecord]) -> None:
        """Train ``records`` in populations of a fixed size; then twins among them take over what theirs reached."""
        fresh = [record for record in records if record.twin is None]
        context = self.context
        sizes, until = [context.chunk] * -(-len(fresh) // context.chunk), None
        if context.keeper:
            sizes = spread(len(fresh), context.chunk, context.keeper.workers)
            until = context.keeper.search_end
        starts = accumulate(sizes, initial=0)
        chunks = [fresh[start : start + size] for start, size in zip(starts, sizes, strict=False)]
        for _ in self.trained(chunks, until):
            pass
        self._ledger.tell(self._ledger.reused([record for record in records if record.twin is not None]))

    def trained(self, populations: Iterable[Sequence[TrialRecord]], until: float | None = None) -> Iterator[None]:
        """Train each population and tell its results at once; one step for each."""
        context, settings = self.context, self.context.settings
        owners: dict[int, Sequence[TrialRecord]] = {}

        def jobs() -> Iterator[Job]:
            for chunk in populations:
                job = context.job(
                    "search",
                    [(LossSpec.from_json(r.spec), settings.rates, self._protects(r)) for r in chunk],
                    settings.plan,
                    trials=[record.number for record in chunk],
                )
                owners[job.number] = chunk
                self._suspects.note([record.number for own in owners.values() for record in own])
                yield job

        begun = time.monotonic()
        try:
            for job, outcomes in context.run(jobs(), until, self._ledger.hear):
                pairs = zip(owners.pop(job.number), outcomes, strict=True)
                each = (time.monotonic() - begun) / len(outcomes)
                self._ledger.tell([self._ledger.trained(record, outcome, each) for record, outcome in pairs])
                begun = time.monotonic()
                yield
        except WorkersLostError as error:
            lost = [record for own in owners.values() for record in own if record.number in error.trials]
            self._ledger.save([replace(record, attempts=max(ATTEMPTS, record.attempts)) for record in lost])
            raise

    def _protects(self, record: TrialRecord) -> bool:
        """Whether a trial is trained to its end: the plain loss, and the incumbent that all are compared with."""
        return self.context.protects(record) or record.name == incumbent_name(self.context.task)
