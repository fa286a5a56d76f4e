"""Notes about the trials of a study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from losssearch.storage.records import TrialRecord, TrialState


def rejections(trials: Sequence[TrialRecord]) -> str:
    """A sentence where screening rejected most of the searched losses, with the commonest reason; else empty."""
    searched = [trial for trial in trials if trial.origin == "searched"]
    rejected = [trial for trial in searched if trial.state is TrialState.REJECTED]
    if not rejected or 2 * len(rejected) <= len(searched):
        return ""
    reason, _ = Counter(trial.reason for trial in rejected).most_common(1)[0]
    return f"{len(rejected)} of {len(searched)} searched losses were rejected before training: {reason}"
