"""The processes of a Ray cluster on this machine that is ours: whether they live, and their end by force.

Ray itself notices late that one of them died while the cluster starts: it waits for half a minute, or ends this
process after a whole one.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

HEARTS = {
    "gcs_server": "the head of the Ray cluster (gcs_server)",
    "raylet": "the Ray process of this machine (raylet)",
}
"""Processes without which a cluster is lost, by name, and how to call them."""


class LocalCluster:
    """The cluster that this process starts after this was made."""

    def __init__(self) -> None:
        self._before = {pid for pid, _, _ in _children()}
        self._hearts: dict[int, str] = {}
        spec = find_spec("ray")
        self._home = str(Path(spec.origin).parent) if spec and spec.origin else "ray"

    def lost(self) -> str:
        """Which process of `HEARTS` has died, in words; empty while all that were seen live."""
        living = set()
        for pid, name, alive in _children():
            if name in HEARTS and pid not in self._before:
                self._hearts.setdefault(pid, name)  # one that died at once is still there, until its end is read
            if alive:
                living.add(pid)
        return next((HEARTS[name] for pid, name in self._hearts.items() if pid not in living), "")

    def kill(self) -> None:
        """End what this process started of Ray."""
        for pid in {pid for pid, _, alive in _children() if alive} - self._before:
            with suppress(OSError):
                if self._home.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)


def _children() -> list[tuple[int, str, bool]]:
    """The children of this process: number, name, and whether they live."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                name, _, rest = (entry / "stat").read_text(errors="replace").partition("(")[2].rpartition(")")
                state, parent = rest.split()[:2]
                if int(parent) == os.getpid():
                    found.append((int(entry.name), name, state not in "ZX"))
    return found
