"""The ask/tell loop: menu first, then rounds of proposals; every trial is stored before and after it runs.

A round is a pure function of the trials before it, so a study that was killed goes on exactly where it
stood: trials stored as running are trained again, in the same populations.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from losssearch.losses.spec import LossSpec
from losssearch.search.budget import UNLIMITED, Timekeeper, spread
from losssearch.search.ledger import OWN, Ledger
from losssearch.search.menu import MenuEntry, menu_entries
from losssearch.search.proposal import encode_observation, propose
from losssearch.search.screening import Screened
from losssearch.search.selection import incumbent_name
from losssearch.search.settings import derived_seed
from losssearch.search.study_context import StudyContext
from losssearch.storage.records import TrialRecord, TrialState

ATTEMPTS = 3
"""How often a trial may be running when the program ends before it counts as failed."""

LARGEST_ROUND = 256
"""Proposals in one round at most: more save no time, and learn less from what came before."""

LARGEST_SERVING = 1_024
"""Entries of the menu that are screened and stored at once at most: so many lie in memory, however long the menu is."""

IDLE_ROUNDS = 16
"""Rounds in a row with nothing new to train after which a search without a number of trials takes all as tried."""

MIXED = "time-budget"
"""Stage whose presence in the store says that menu and proposals were numbered in turn."""

REUSED = (TrialState.DUPLICATE, TrialState.EQUIVALENT)


class Loop:
    """Runs the trials of a study until their number, or the time budget, is reached."""

    def __init__(self, context: StudyContext) -> None:
        self.context = context
        self._screen = context.screen()
        self._ledger = Ledger(context)
        self._signatures: dict[str, int] = {}
        self._round = max(context.chunk, round_size(context.settings.trials))

    def run(self) -> list[TrialRecord]:
        """Run what is missing; all trials of the study, by number."""
        context = self.context
        settings, observer = context.settings, context.observer
        begun = time.monotonic()
        if context.keeper:
            observer.deadline(context.keeper.budget.left)
        observer.stage("search", 0 if settings.trials == UNLIMITED else settings.trials)
        self._ledger.open()
        self._remember()
        if context.keeper:
            self._race(context.keeper)
        else:
            self._go_through()
        context.seconds["search"] = context.seconds.get("search", 0.0) + time.monotonic() - begun
        return self._ledger.ordered

    def _go_through(self) -> None:
        """The menu, and then rounds of proposals, up to the number of trials."""
        settings = self.context.settings
        self._train(self._interrupted())
        entries = menu_entries(self.context.task, settings.trials, derived_seed(settings.seed, "menu"))
        if self.context.store.stage(settings.study, MIXED) is None:
            missing = [(n, entry) for n, entry in enumerate(entries) if n not in self._ledger]
        else:
            missing = list(enumerate(entries[self._ledger.menu_trials :], start=len(self._ledger)))
        for first in range(0, len(missing), LARGEST_SERVING):
            self._serve(missing[first : first + LARGEST_SERVING])
        while len(self._ledger) < settings.trials:
            self._propose(min(self._round, settings.trials - len(self._ledger)))

    def _race(self, keeper: Timekeeper) -> None:
        """Menu and proposals in turn, in rounds that the time budget holds, so that either side has had its share.

        At the least, the plain loss, another baseline and one proposal are tried.
        """
        context, settings = self.context, self.context.settings
        context.store.save_stage(settings.study, MIXED, {"time_budget": settings.time_budget})
        self._train(self._interrupted())
        idle, defaults = 0, len(context.task.menu)
        while len(self._ledger) < settings.trials:
            if settings.trials == UNLIMITED and idle >= IDLE_ROUNDS:
                context.observer.note(f"the last {idle} rounds brought no loss that was new: the search ends early")
                break
            asked = self._ledger.menu_trials
            searched = len(self._ledger) - asked
            room = settings.trials - len(self._ledger)
            menu_room = max(1, settings.trials // 2) - asked
            reserved = keeper.plan_selection()
            if not asked or not searched:
                count = 2 * keeper.workers  # small: the first measurements of what a trial takes
            else:
                left = keeper.left - reserved
                most = min(room, keeper.chunk * keeper.workers)
                # Rounds shrink towards the end, so that the last ones fill the time without being cut.
                shares = (left / 3, left)
                count = next((n for s in shares if (n := self._affordable(keeper, most, s))), 0)
                if not count:
                    break
            # First a round of either; then whatever the menu has not tried at its defaults; then in turn.
            if menu_room > 0 and (asked <= searched or (searched and asked < defaults)):
                entries = menu_entries(context.task, 2 * (asked + count), derived_seed(settings.seed, "menu"))
                chosen = entries[asked : asked + min(count, menu_room)]
                fresh = self._serve(list(enumerate(chosen, start=len(self._ledger))))
            else:
                fresh = self._propose(min(count, room))
            idle = 0 if fresh else idle + 1

    def _affordable(self, keeper: Timekeeper, most: int, seconds: float) -> int:
        settings = self.context.settings
        return keeper.affordable(most, len(settings.rates), settings.replicas, seconds)

    def _serve(self, missing: Sequence[tuple[int, MenuEntry]]) -> int:
        """Try entries of the menu, each under its number; how many were trained."""
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
        return self._admit(menu, [replace(answer, reason="") for answer in screened])

    def _propose(self, count: int) -> int:
        """Try so many proposals; how many were trained."""
        first = len(self._ledger)
        settings = self.context.settings
        proposals = propose(
            self.context.space,
            self._ledger.observations,
            count=count,
            seed=derived_seed(settings.seed, "proposal", first),
            maximize=self.context.metric.direction == "maximize",
            tried=self._ledger.tried,
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
        return self._admit(records, screened)

    def _admit(self, records: Sequence[TrialRecord], screened: Sequence[Screened]) -> int:
        """Sort out duplicates, equivalents and rejected ones, store all as asked, train the rest; their number."""
        keys = dict(self._ledger.keys)
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
        self._ledger.save(waiting, admitted)
        rejected = [record for record in admitted if record.state is TrialState.REJECTED]
        self._ledger.tell(rejected)
        fresh = [record for record in admitted if record.state is TrialState.RUNNING]
        self._train(fresh)
        self._ledger.tell(self._ledger.reused([record for record in admitted if record.state in REUSED]))
        return len(fresh)

    def _interrupted(self) -> list[TrialRecord]:
        """Trials that ran when the program ended: those to train again; twins and hopeless ones are settled."""
        again = [replace(trial, attempts=trial.attempts + 1) for trial in self._ledger.left_running]
        self._ledger.left_running = []
        hopeless = [t for t in again if t.attempts >= ATTEMPTS]
        self._ledger.tell(
            [
                replace(t, state=TrialState.FAILED, reason=f"the program ended {ATTEMPTS} times while it ran")
                for t in hopeless
            ]
        )
        rest = [t for t in again if t.attempts < ATTEMPTS]
        self._ledger.save(rest)
        return rest

    def _train(self, records: Sequence[TrialRecord]) -> None:
        """Train ``records`` in populations of a fixed size and tell each population's results at once."""
        fresh = [record for record in records if record.twin is None]
        context, settings = self.context, self.context.settings
        owners: dict[int, list[TrialRecord]] = {}
        jobs = []
        sizes = [context.chunk] * -(-len(fresh) // context.chunk)
        until = None
        if context.keeper:
            sizes = spread(len(fresh), context.chunk, context.keeper.workers)
            until = context.keeper.search_end
        for start, size in zip(accumulate(sizes, initial=0), sizes, strict=False):
            chunk = fresh[start : start + size]
            job = context.job(
                "search",
                [(LossSpec.from_json(r.spec), settings.rates, self._protects(r)) for r in chunk],
                settings.plan,
                trials=[record.number for record in chunk],
            )
            owners[job.number] = chunk
            jobs.append(job)
        begun = time.monotonic()
        for job, outcomes in context.run(jobs, until):
            pairs = zip(owners[job.number], outcomes, strict=True)
            each = (time.monotonic() - begun) / len(outcomes)
            self._ledger.tell([self._ledger.trained(record, outcome, each) for record, outcome in pairs])
            begun = time.monotonic()
        twins = [record for record in records if record.twin is not None]
        self._ledger.tell(self._ledger.reused(twins))

    def _protects(self, record: TrialRecord) -> bool:
        """Whether a trial is trained to its end: the plain loss, and the incumbent that all are compared with."""
        return self.context.protects(record) or record.name == incumbent_name(self.context.task)

    def _remember(self) -> None:
        """Signatures are not stored: measure again those of the trials that were trained."""
        # Failed ones too: what is equivalent to them is as hopeless, before and after a resume.
        states = (*OWN, TrialState.FAILED)
        own = [trial for trial in self._ledger.ordered if trial.twin is None and trial.state in states]
        signatures = self._screen.signatures([LossSpec.from_json(t.spec) for t in own])
        for trial, signature in zip(own, signatures, strict=True):
            self._signatures.setdefault(signature, trial.number)


def round_size(trials: int) -> int:
    """Proposals in one round: few where a study is small and learns from each, many where asking must cost little."""
    return max(8, min(32, trials // 8), min(LARGEST_ROUND, trials // 16))
