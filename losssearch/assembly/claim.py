"""The claim on a study's folder: a file that says which study the folder is for, made before anything else.

It is made where there is none and locked at once, so that of several searches that start together one has the folder
and the others see whose it is. It is locked until the study is in its store; if its process dies before that, it is
taken over.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from losssearch import __version__
from losssearch.assembly.command import Command
from losssearch.errors import ConnectionLostError, DataError, OptionError
from losssearch.export.writing import FULL, PREFIX, write_whole
from losssearch.option_names import option
from losssearch.storage.lease import Job, new_holder

CLAIM = "study.json"

FILES = (
    CLAIM,
    "result.json",
    "leaderboard.json",
    "report.html",
    "label_quality.parquet",
    "study.db",
    "mlflow.db",
    "mlflow-spool.jsonl",
)
FOLDERS = ("export", "figures", "mlartifacts")

_LARGEST = 1 << 20
_FRESH = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass
class Claim:
    """A study's folder, what the study is called there, and by which command it was started.

    ``begun``: whether the study is in its store; before, nothing of it is lost where another takes its place.
    """

    out: Path
    study: str
    command: Command
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    begun: bool = False
    made: tuple[Path, ...] = ()
    """Folders that were made for it, the innermost first."""
    job: Job | None = None
    """What the claiming process works for: the next attempt of that may take over the claim of one that is alive."""
    driver: str = ""
    """Of a claim that was read: the process that made it, by the job that it works for."""
    _lock: int | None = None

    def begin(self, command: Command) -> None:
        """Say that the study is in its store, so that the folder is its own, and by which command it is run now."""
        if not self.begun or command != self.command:
            self.begun, self.command = True, command
            with _writing(self.out):
                write_whole(self.out / CLAIM, self._content())
        self.leave()

    def leave(self) -> None:
        """Let go of the claim, which stays in the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def withdraw(self) -> None:
        """Leave the folder as it was found, where the study has not begun."""
        if not self.begun:
            if self._lock is not None and _is_at(self._lock, self.out / CLAIM):
                with suppress(OSError):
                    (self.out / CLAIM).unlink()
            for folder in self.made:
                with suppress(OSError):
                    folder.rmdir()
        self.leave()

    def _content(self) -> bytes:
        content = {
            "study": self.study,
            "id": self.id,
            **({} if self.job is None else {"driver": new_holder(self.job)}),
            "begun": self.begun,
            "version": __version__,
            "command": asdict(self.command),
        }
        # NaN may stand there: options are checked once the folder is held, and refused in a line of their own.
        return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()

    def place(self) -> None:
        """Put the claim into the folder, locked; raise `TakenError` where another search was faster."""
        with _dead_claim(self.out, self.job) as dead:
            name = f"{PREFIX}{uuid.uuid4().hex}" if dead else CLAIM
            try:
                descriptor = os.open(self.out / name, os.O_RDWR | _FRESH, 0o666)
            except FileExistsError:
                raise taken(self.out, starting=True) from None
            self._lock = descriptor
            if not (_lock(descriptor) and _is_at(descriptor, self.out / name)):
                self.leave()
                raise taken(self.out, starting=True)
            try:
                os.write(descriptor, self._content())
                os.fsync(descriptor)
                if dead:
                    os.replace(self.out / name, self.out / CLAIM)
            except OSError:
                (self.out / name).unlink(missing_ok=True)
                self.leave()
                raise


def claim_folder(out: Path, study: str, command: Command, job: Job | None = None) -> Claim:
    """Claim a folder, which is made where it is missing, for a new study.

    Raises:
        OptionError: it belongs to another study, holds what is in the way of a study's files, or cannot be made.
        ConnectionLostError: the disk is full.
    """
    check_free(out)
    made = tuple(path for path in (out, *out.parents) if not path.exists())
    claim = Claim(out, study, command, made=made, job=job)
    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)
        try:
            claim.place()
        except BaseException:
            claim.withdraw()
            raise
    return claim


def resumed_claim(out: Path, job: Job | None = None) -> Claim | None:
    """The claim of a study that is to be resumed; None in the folder of an older version.

    Raises `StartingError` where its search is starting just now, unless for an earlier attempt of ``job``.
    """
    check_places(out)
    claim = read_claim(out)
    if claim is not None and not claim.begun:
        fresh = Claim(out, claim.study, claim.command, claim.id, job=job)
        with _writing(out):
            fresh.place()
        return fresh
    return claim


def adopt(out: Path, study: str, command: Command, identity: str) -> None:
    """Claim the folder of a study that an older version began, or that is resumed in another folder."""
    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)
        Claim(out, study, command, identity or uuid.uuid4().hex).begin(command)


def read_claim(out: Path) -> Claim | None:
    """What the folder's claim says; None where there is none.

    Raises `DataError` where the file is none of ours.
    """
    place = out / CLAIM
    try:
        with open(os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
            text = stream.read(_LARGEST).decode()
        if not text:
            return Claim(out, "", Command(), "")  # not written yet, or never
        content = json.loads(text)
        command = content["command"]
        made = Command(dict(command["options"]), tuple(command["hidden"]), tuple(command["unkept"]))
        begun, driver = bool(content["begun"]), str(content.get("driver", ""))
        return Claim(out, str(content["study"]), made, str(content["id"]), begun, driver=driver)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        cause = " ".join(str(error).split())
        raise DataError(
            f"{place} must be the record of a study that losssearch wrote: {cause:.80}; delete it, and resume the "
            "study with its whole command"
        ) from None


def check_free(out: Path) -> None:
    """Raise `OptionError` where the folder belongs to a study, or holds what is in the way of one."""
    check_places(out)
    claim = read_claim(out)
    if (claim is not None and claim.begun) or (out / "study.db").exists() or (out / "result.json").exists():
        raise taken(out)
    if (out / "export").is_dir() and any((out / "export").iterdir()):
        raise OptionError(
            f"{option('out')} must be a folder without other files in export/, but {out / 'export'} is not "
            f"empty: move them "
            f"away, or give another {option('out')}"
        )


def check_places(out: Path) -> None:
    """Raise `OptionError` where a link or another kind of file is in the place of one of a study's own."""
    if out.exists() and not out.is_dir():
        raise OptionError(f"{option('out')} must be a folder, but {out} is a file")
    for name in (*FILES, *FOLDERS):
        place = out / name
        expected = "folder" if name in FOLDERS else "file"
        found = ""
        if place.is_symlink():
            found = "a link"
        elif place.exists() and not (place.is_dir() if name in FOLDERS else place.is_file()):
            found = f"no {expected}"
        if found:
            raise OptionError(
                f"a study writes {name} as a {expected} of its own, but {place} is {found}: remove it, or give "
                f"another {option('out')}"
            )


class TakenError(OptionError):
    """The folder belongs to another study."""


class StartingError(TakenError):
    """The folder belongs to a study that another process is starting just now."""


def taken(out: Path, *, starting: bool = False) -> TakenError:
    """That the folder belongs to a study, by its name where it is known."""
    try:
        claim = read_claim(out)
        for _ in range(50 if starting else 0):  # who has just made the file writes it at once
            if claim is None or claim.study:
                break
            time.sleep(0.02)
            claim = read_claim(out)
        name = claim.study if claim else str(json.loads((out / "result.json").read_text(encoding="utf-8"))["study"])
    except (OSError, ValueError, KeyError, TypeError, DataError):
        name = ""
    whose = f"the study {name!r}" if name else "a study"
    if starting:
        return StartingError(
            f"{out} is taken by {whose}, which another search is starting: give another {option('out')}"
        )
    return TakenError(f"{out} holds {whose}: resume it with {option('resume', True)}, or give another {option('out')}")


def _lock(descriptor: int) -> bool:
    """Lock a file for as long as it is open; False where another process has."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one at ``path``."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


@contextmanager
def _dead_claim(out: Path, job: Job | None) -> Iterator[bool]:
    """Hold the claim of a process that died before its study began; False where there is no claim.

    A process that works for an earlier attempt of ``job`` counts as dead.

    Raises `OptionError` where the folder belongs to a study, or to a process that is alive.
    """
    while True:
        try:
            descriptor = os.open(out / CLAIM, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            yield False
            return
        try:
            if not _lock(descriptor):
                claim = read_claim(out)
                if job is None or claim is None or not job.follows(claim.driver):
                    raise taken(out, starting=True)
            if not _is_at(descriptor, out / CLAIM):
                continue  # it was replaced meanwhile: look again
            claim = read_claim(out)
            if claim is not None and claim.begun:
                raise taken(out)
            yield True
            return
        finally:
            os.close(descriptor)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Say in one line why the folder cannot be made or written."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise ConnectionLostError(
                f"the study's folder must be writable, {out} was not ({error.strerror}): make room and try again"
            ) from error
        raise OptionError(
            f"{option('out')} must be a folder that can be made and written, but {out} cannot: {error.strerror}"
        ) from error
