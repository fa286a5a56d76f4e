"""A folder for large temporary files, which is gone when its owner is, however the owner ended."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
import weakref
from contextlib import suppress
from pathlib import Path

from losssearch.errors import DataError

PREFIX = "losssearch-rows-"
LARGE = Path("/var/tmp")  # noqa: S108  (folders in it are made by mkdtemp, for this user alone)
"""Where Linux keeps large temporary files; what lies in ``/tmp`` may lie in memory."""

_LOCK = "owner.lock"
_YOUNG = 60.0


class Scratch:
    """A new folder in ``TMPDIR``, else in ``/var/tmp``; removed by `close`, or when nobody holds this object any more.

    Its owner holds a lock on it. One whose owner was killed is removed when the next is made.

    Raises `DataError` if no folder can be made there.
    """

    def __init__(self) -> None:
        asked = os.environ.get("TMPDIR")
        base = Path(asked) if asked else LARGE if os.access(LARGE, os.W_OK) else Path(tempfile.gettempdir())
        try:
            remove_abandoned(base)
            self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
            lock = os.open(self.folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            raise DataError(
                f"the rows of a large table need a folder for temporary files, and {base} is none: {error.strerror}: "
                "let TMPDIR name one with room"
            ) from error
        self._end = weakref.finalize(self, _remove, self.folder, lock, os.getpid())

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        self._end()


def remove_abandoned(base: Path) -> None:
    """Remove the folders in ``base`` whose owners are no more."""
    for folder in base.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another user's, or gone meanwhile
            lock = folder / _LOCK
            if time.time() - lock.stat().st_mtime < _YOUNG:
                continue  # its owner may be about to take the lock
            descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


def _remove(folder: Path, lock: int, owner: int) -> None:
    if os.getpid() != owner:  # a forked child
        return
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        os.close(lock)
