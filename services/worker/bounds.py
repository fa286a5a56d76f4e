"""What a search may take, and has taken: seconds of its team, bytes of its folder."""

from __future__ import annotations

import os
from pathlib import Path

from services.queue import Claim

SLACK = 1.25
"""How far a study with a time budget, which ends by itself, may be late."""

_CLOSING = 600.0


def most_seconds(claim: Claim) -> float:
    """Seconds after which a search is interrupted by its worker.

    A search without a time budget has exactly those of its team. One with a budget, which is within them, plans its own
    end, and is interrupted only where it fails to.
    """
    return claim.seconds * SLACK + _CLOSING if claim.request.get("time_budget") else claim.seconds


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder; links are not followed, and what goes meanwhile counts for nothing."""
    total, waiting = 0, [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as found:
                for one in found:
                    if one.is_dir(follow_symlinks=False):
                        waiting.append(Path(one.path))
                    else:
                        total += one.stat(follow_symlinks=False).st_size
        except OSError:
            continue
    return total
