"""Health checks of the containers, with Python alone: ends with exit code 0 if all of its arguments are there.

``http://127.0.0.1:8000/health`` must answer with a status below 400, ``tcp://127.0.0.1:6379`` must take connections,
and for ``process:raylet`` a process of that name must run.
"""

from __future__ import annotations

import socket
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

SECONDS = 4.0


def healthy(what: str) -> bool:
    """Whether ``what`` is there.

    Args:
        what: ``http://…``, ``tcp://HOST:PORT`` or ``process:NAME``.

    Raises:
        OSError: it does not answer.
    """
    if what.startswith("process:"):
        return any(_name(entry) == what.removeprefix("process:") for entry in Path("/proc").iterdir())
    if what.startswith("tcp:"):
        address = urlsplit(what)
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=SECONDS):
            return True
    with urllib.request.urlopen(what, timeout=SECONDS) as answer:  # noqa: S310  (our own addresses)
        return bool(answer.status < 400)


def _name(entry: Path) -> str:
    try:
        return (entry / "comm").read_text(encoding="utf-8").strip() if entry.name.isdigit() else ""
    except OSError:  # it ended meanwhile
        return ""


if __name__ == "__main__":
    try:
        sick = [what for what in sys.argv[1:] if not healthy(what)]
    except OSError as error:
        sys.exit(str(error))
    if sick:
        sys.exit(f"not there: {', '.join(sick)}")
