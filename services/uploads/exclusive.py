"""One upload at a time of a dataset: a file that the process which receives it holds locked.

A lock, not a state in the database: the kernel lets go of it where the process is killed.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


class Exclusive:
    """The lock of a file that exists only while somebody holds it."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._held: int | None = None

    def take(self) -> bool:
        """Take the lock; False where somebody else has it."""
        while True:
            held = os.open(self._place, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(held), os.stat(self._place, follow_symlinks=False)):
                    self._held = held
                    return True
            except BlockingIOError:
                os.close(held)
                return False
            except FileNotFoundError:
                pass
            os.close(held)  # whoever had it removed the file meanwhile: look again

    def leave(self) -> None:
        """Let go of the lock, where it is held."""
        held, self._held = self._held, None
        if held is not None:
            with suppress(OSError):
                self._place.unlink()
            os.close(held)
