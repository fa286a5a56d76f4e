"""Where a study is kept: its name and its folder, which is claimed before anything else is done."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import chain, count
from pathlib import Path

from losssearch.assembly.claim import (
    CLAIM,
    Claim,
    StartingError,
    TakenError,
    check_places,
    claim_folder,
    read_claim,
    resumed_claim,
)
from losssearch.assembly.command import command_of, explicit_in, recalled, repeated
from losssearch.errors import DataError, InputError, OptionError, StudyHeldError
from losssearch.option_names import option
from losssearch.redaction import redact
from losssearch.request import Request
from losssearch.storage.lease import Job
from losssearch.storage.sql import SqlStore

RUNS = Path("losssearch-runs")


class Place:
    """The name and folder of the study of ``options``.

    They are claimed at once where the user names one of them, else by `settle`, as they then come from the data.
    The ``options`` of a resume are completed by those that the study was started with. ``job``: what this process works
    for, see `losssearch.storage.lease.Job`.

    Raises:
        OptionError: the folder belongs to another study or cannot be used, there is nothing to resume, or an option is
            not what the study was started with.
        StudyHeldError: another process drives the study that is to be resumed, or starts it just now.
        ConnectionLostError: the disk is full, or the study's store cannot be reached.
    """

    def __init__(self, options: Request, job: Job | None = None) -> None:
        self.options = replace(options, explicit=frozenset(explicit_in(options)))
        self.job = job
        self._fresh = True  # whether the claim, if there is one, is that of a new study
        self.claim: Claim | None = None
        self.study, self.out = options.study or "", _asked(options)
        if self.out is None:
            if options.resume is True and options.data is None and options.train is None:
                raise OptionError(
                    f"{option('resume', True)} needs the study's folder, {option('out')}, or its name, "
                    f"{option('study')}"
                )
        elif options.resume:
            self._resume(self.out)
        else:
            self._claim(self.out)

    def settle(self, basis: str) -> None:
        """Choose name and folder from ``basis``, with a number where it is taken, unless the user named one of them."""
        if self.out is not None:
            return
        base = re.sub(r"[^\w.+-]+", "-", basis).strip("-.") or "study"
        if self.options.resume:
            self.study = _last(base, _studies())
            self.out = RUNS / self.study
            self._resume(self.out)
            return
        stored = self._stored()
        for name in chain([base], (f"{base}-{number}" for number in count(2))):
            if name in stored or (RUNS / name).is_symlink():
                continue
            try:
                self.claim = claim_folder(RUNS / name, name, command_of(self.options), self.job)
            except TakenError:
                continue
            self.study, self.out = name, RUNS / name
            return

    @property
    def folder(self) -> Path:
        """The folder, once it is settled."""
        assert self.out is not None  # noqa: S101
        return self.out

    @property
    def may_be_new(self) -> bool:
        """Whether the study may have to be entered into its store: its search died before, or starts now."""
        return not self.options.resume or (self.claim is not None and not self.claim.begun)

    def give_up(self, error: BaseException) -> None:
        """Leave the folder as it was where the input was at fault; else leave the claim for a resume."""
        if self.claim is not None and isinstance(error, InputError) and self._fresh:
            self.claim.withdraw()
        elif self.claim is not None:
            self.claim.leave()

    def _claim(self, out: Path) -> None:
        self._fresh = True
        self.study = self.study or _name_of(out)
        self.claim = claim_folder(out, self.study, command_of(self.options), self.job)

    def _resume(self, out: Path) -> None:
        """Take the study in a folder; with ``auto``, claim the folder for a new one where there is none."""
        for last in (False, False, True):
            try:
                if self.options.resume == "auto" and self._is_new(out):
                    self._claim(out)
                else:
                    self._continue(out)
                break
            except StartingError as error:
                raise StudyHeldError(str(error)) from None
            except TakenError:  # what was starting has started meanwhile
                if last:
                    raise

    def _is_new(self, out: Path) -> bool:
        """Whether no study was begun, or is being begun, in the folder; a store of the user's may know it without."""
        check_places(out)
        claim = read_claim(out)
        if claim is not None:
            return not claim.study
        return not (out / "study.db").exists() and (self.study or _name_of(out)) not in self._stored()

    def _continue(self, out: Path) -> None:
        self._fresh = False
        asked = self.options
        self.claim = resumed_claim(out, self.job)
        if self.claim is None or not self.claim.study:
            if self.claim is not None:
                self.claim.leave()
                self.claim = None
            if asked.storage is None and not (out / "study.db").exists():
                raise OptionError(f"{option('resume', True)} needs a study to resume, but {out} holds none")
            if asked.data is None and asked.train is None:
                raise OptionError(
                    f"{option('resume', True)} needs the whole command again, DATA first, as {out} holds no "
                    f"{CLAIM} that would keep it"
                )
            self.study = self.study or self._only(out) or _name_of(out)
            self._refuse_held(out)
            return
        if asked.study not in (None, self.claim.study):
            self.claim.leave()
            raise OptionError(
                f"{out} holds the study {self.claim.study!r}, got {option('study', asked.study)}: leave it out"
            )
        try:
            if asked.resume is True:
                self.options = replace(recalled(asked, self.claim.command, self.claim.study), out=out)
            elif self.claim.begun:
                self.options = repeated(asked, self.claim.command, self.claim.study)
            self.study = self.claim.study
            if self.claim.begun:
                self._refuse_held(out)
            if asked.data is None:
                _check_data(self.options.data, out)
        except BaseException:
            self.claim.leave()
            raise

    def _refuse_held(self, out: Path) -> None:
        """Raise `StudyHeldError` where another process drives the study, before its data are read."""
        if self.options.storage is None and not (out / "study.db").exists():
            return
        store = SqlStore(self.options.storage or f"sqlite:///{out / 'study.db'}", create=False, job=self.job)
        try:
            store.refuse_held(self.study)
        finally:
            store.close()

    def _only(self, out: Path) -> str:
        """The name of the one study in the folder's own store; empty where there is none, or are several."""
        if self.options.storage is not None or not (out / "study.db").is_file():
            return ""
        store = SqlStore(f"sqlite:///{out / 'study.db'}", create=False)
        try:
            names = store.studies()
        finally:
            store.close()
        return names[0] if len(names) == 1 else ""

    def _stored(self) -> set[str]:
        """Names that are taken in a store of the user's, which may hold studies of other folders."""
        if self.options.storage is None:
            return set()
        try:
            store = SqlStore(self.options.storage, create=False)
        except DataError:  # none yet, or one that cannot be used, which is said where it is opened to be written
            return set()
        try:
            return set(store.studies())
        finally:
            store.close()


def _asked(options: Request) -> Path | None:
    """The folder that the user named; None where it comes from the data."""
    name = options.study
    if name is not None and not (re.fullmatch(r"[\w.+-]{1,100}", name) and name.strip(".")):
        raise OptionError(
            f"{option('study')} must be 1 to 100 letters, digits, '.', '_', '+' or '-', and not of dots alone, "
            f"got {name!r}"
        )
    if options.out is not None:
        if re.match(r"[a-z][a-z0-9+.-]*://", str(options.out), re.IGNORECASE):
            raise OptionError(
                f"{option('out')} must be a folder of this machine, got the address {redact(str(options.out))}"
            )
        return Path(options.out)
    return None if name is None else RUNS / name


def _check_data(data: object, out: Path) -> None:
    """Refuse a resume whose file of data is no longer where the study found it."""
    named = str(data) if isinstance(data, str | Path) else ""
    if named and not re.match(r"[a-z]+:", named) and not Path(named).exists():
        raise OptionError(
            f"the study in {out} read {named}, which is not there any more: give DATA again, where it is now"
        )


def _name_of(out: Path) -> str:
    """A name for the study in a folder, from that of the folder."""
    name = re.sub(r"[^\w.+-]", "-", out.resolve().name)[:100]
    if not name.strip("."):
        raise OptionError(f"{option('study')} must be given, as {out} gives the study no name")
    return name


def _studies() -> set[str]:
    """Names of folders under the default place that hold a study."""
    if not RUNS.is_dir():
        return set()
    return {path.name for path in RUNS.iterdir() if (path / "study.db").exists() or (path / CLAIM).exists()}


def _last(base: str, found: set[str]) -> str:
    """That of ``found`` which was chosen from ``base`` last."""
    pattern = re.compile(rf"{re.escape(base)}(?:-(\d+))?")
    numbers = {name: int(match[1] or 1) for name in found if (match := pattern.fullmatch(name))}
    return max(numbers, key=numbers.__getitem__, default=base)
