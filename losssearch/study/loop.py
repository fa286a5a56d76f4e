"""The ask/tell loop: menu first, then rounds of proposals; every trial is stored before and after it runs.

A round is a pure function of the trials before it, so a study that was killed continues exactly where it
stood: trials stored as running are trained again, in the same populations.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from losssearch.losses.spec import LossSpec
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.study.budget import UNLIMITED, Timekeeper
from losssearch.study.ledger import OWN, Ledger, rejections
from losssearch.study.populations import Populations
from losssearch.study.proposing.menu import MenuEntry, grouped, menu_entries, menu_trials
from losssearch.study.proposing.proposal import encode_observation, propose
from losssearch.study.proposing.screening import Screened
from losssearch.study.settings import derived_seed
from losssearch.study.study_context import StudyContext

LARGEST_ROUND = 256
"""Proposals in one round at most: more save no time, and learn less from what came before."""

SERVINGS = (32, 128)
"""Entries of the menu that are screened and stored at once: few at first, as training waits for them, then more, as
each costs less."""

IDLE_ROUNDS = 16
"""Rounds in a row with nothing new to train after which a search without a number of trials takes all as tried."""

MIXED = "time-budget"
"""Stage whose presence in the store says that menu and proposals were numbered in turn."""

REUSED = (TrialState.DUPLICATE, TrialState.EQUIVALENT)

OWNED = (*OWN, TrialState.FAILED)
"""States of a trial that was or is being trained itself, whatever came of it."""


class Loop:
    """Runs the trials of a study until their number, or the time budget, is reached."""

    def __init__(self, context: StudyContext) -> None:
        self.context = context
        self._screen = context.screen()
        self._ledger = Ledger(context)
        self._populations = Populations(context, self._ledger)
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
        context.remark(self._screen.note)
        if context.keeper:
            self._race(context.keeper)
        else:
            self._go_through()
        context.seconds["search"] = context.seconds.get("search", 0.0) + time.monotonic() - begun
        trials = self._ledger.ordered
        context.remark(rejections(trials))
        return trials

    def _go_through(self) -> None:
        """The menu, and then rounds of proposals, up to the number of trials."""
        settings = self.context.settings
        again = self._populations.interrupted()
        seed, share = derived_seed(settings.seed, "menu"), self.context.space.menu
        entries = menu_entries(self.context.task, settings.trials, seed, share)
        if self.context.store.stage(settings.study, MIXED) is None:
            missing = [(n, entry) for n, entry in enumerate(entries) if n not in self._ledger]
            asked = [record for record in again if record.origin == "baseline"]
            again = [record for record in again if record.origin != "baseline"]
        else:
            missing, asked = list(enumerate(entries[self._ledger.menu_trials :], start=len(self._ledger))), []
        self._go_through_menu(self._populations.train_suspects(asked), missing)
        self._populations.train(self._populations.train_suspects(again))
        while len(self._ledger) < settings.trials:
            self._propose(min(self._round, settings.trials - len(self._ledger)))

    def _go_through_menu(self, asked: Sequence[TrialRecord], missing: Sequence[tuple[int, MenuEntry]]) -> None:
        """Train what was ``asked`` but interrupted and the ``missing`` entries, which are screened as others train."""
        twins = [record for record in asked if record.twin is not None]
        # Places are those among all losses of the menu that were or are trained themselves, by number.
        places = {record.number: place for place, record in enumerate(self._own_of_menu())}

        def fresh() -> Iterator[tuple[int, TrialRecord]]:
            for record in asked:
                if record.twin is None:
                    yield places[record.number], record
            first, (least, most) = 0, SERVINGS
            while first < len(missing):
                last = first + min(most, max(least, first))
                found, reused = self._sort_out(*self._served(missing[first:last]))
                twins.extend(reused)
                first = last
                for record in found:
                    yield places.setdefault(record.number, len(places)), record

        for _ in self._populations.trained(grouped(fresh(), self.context.chunk)):
            done = {record.number for record in twins if self._ledger.ended(record.twin)}
            self._ledger.tell(self._ledger.reused([record for record in twins if record.number in done]))
            twins[:] = [record for record in twins if record.number not in done]
        self._ledger.tell(self._ledger.reused(twins))

    def _own_of_menu(self) -> list[TrialRecord]:
        return [t for t in self._ledger.ordered if t.origin == "baseline" and t.twin is None and t.state in OWNED]

    def _race(self, keeper: Timekeeper) -> None:
        """Menu and proposals in turn, in rounds that the time budget holds, so that either side has had its share.

        At the least, the plain loss, another baseline and one proposal are tried.
        """
        context, settings = self.context, self.context.settings
        context.store.save_stage(settings.study, MIXED, {"time_budget": settings.time_budget})
        self._populations.train(self._populations.train_suspects(self._populations.interrupted()))
        idle, defaults, share = 0, len(context.task.menu), context.space.menu
        while len(self._ledger) < settings.trials:
            if settings.trials == UNLIMITED and idle >= IDLE_ROUNDS:
                context.observer.note(f"the last {idle} rounds produced no new loss: the search ends early")
                break
            asked = self._ledger.menu_trials
            searched = len(self._ledger) - asked
            room = settings.trials - len(self._ledger)
            menu_room = menu_trials(settings.trials, share) - asked
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
            if menu_room > 0 and (asked * (1 - share) <= searched * share or (searched and asked < defaults)):
                entries = menu_entries(context.task, 2 * (asked + count), derived_seed(settings.seed, "menu"))
                chosen = entries[asked : asked + min(count, menu_room)]
                fresh = self._admit(*self._served(list(enumerate(chosen, start=len(self._ledger)))))
            else:
                fresh = self._propose(min(count, room))
            idle = 0 if fresh else idle + 1

    def _affordable(self, keeper: Timekeeper, most: int, seconds: float) -> int:
        settings = self.context.settings
        return keeper.affordable(most, len(settings.rates), settings.replicas, seconds)

    def _served(self, missing: Sequence[tuple[int, MenuEntry]]) -> tuple[list[TrialRecord], list[Screened]]:
        """Entries of the menu, each under its number, screened."""
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
        return menu, [replace(answer, reason="") for answer in screened]

    def _propose(self, count: int) -> int:
        """Try a number of proposals; returns how many were trained."""
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
        """Sort out and train, with all that that entails; how many were trained."""
        fresh, reused = self._sort_out(records, screened)
        self._populations.train(fresh)
        self._ledger.tell(self._ledger.reused(reused))
        return len(fresh)

    def _sort_out(
        self, records: Sequence[TrialRecord], screened: Sequence[Screened]
    ) -> tuple[list[TrialRecord], list[TrialRecord]]:
        """Store all as asked; those to train, and those that take over what another reaches. Rejected ones end here."""
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
        self._ledger.tell([record for record in admitted if record.state is TrialState.REJECTED])
        fresh = [record for record in admitted if record.state is TrialState.RUNNING]
        return fresh, [record for record in admitted if record.state in REUSED]

    def _remember(self) -> None:
        """Signatures are not stored: measure again those of the trials that were trained."""
        # Failed ones too: what is equivalent to them is as hopeless, before and after a resume.
        own = [trial for trial in self._ledger.ordered if trial.twin is None and trial.state in OWNED]
        signatures = self._screen.signatures([LossSpec.from_json(t.spec) for t in own])
        for trial, signature in zip(own, signatures, strict=True):
            self._signatures.setdefault(signature, trial.number)


def round_size(trials: int) -> int:
    """Proposals in one round: few where a study is small and learns from each, many where asking must cost little."""
    return max(8, min(32, trials // 8), min(LARGEST_ROUND, trials // 16))
