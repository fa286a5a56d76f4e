"""``python -m services.tethered COMMAND…``: a program that ends when whoever started it does, even if that was killed.

The starter holds the other end of standard input, which the kernel closes for it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

GRACE = 60.0
"""Seconds from the request to end to the end by force."""


def main(command: list[str]) -> int:
    """Run ``command`` in a process group of its own until it ends or standard input does; its exit code."""
    process = subprocess.Popen(  # noqa: S603  (our own command, no shell)
        command, stdin=subprocess.DEVNULL, start_new_session=True
    )
    # Who started us decides, by closing standard input. Not before: a program keeps ignoring what its parent ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)

    def follow() -> None:
        while os.read(0, 1024):
            pass
        for how, seconds in ((signal.SIGTERM, GRACE), (signal.SIGKILL, GRACE)):
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                # The program alone is asked: it ends what it started itself.
                process.send_signal(how)
                process.wait(seconds)
                return

    threading.Thread(target=follow, daemon=True).start()
    code = process.wait()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # what it left behind
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
