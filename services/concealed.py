"""A process that other processes of the same user cannot look into."""

from __future__ import annotations

import ctypes
import os

_PR_SET_DUMPABLE = 4


def conceal() -> None:
    """Let the kernel refuse this process's memory, environment and open files to others but the administrator.

    Whoever takes over a process that runs for somebody else, such as the reader of uploads, finds no secret here.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
