"""Where trainings had their best epoch: one that comes last was perhaps not the best that there is."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from losssearch.option_names import option, spelled
from losssearch.training.outcome import CUT, Outcome

LATE = 0.9
"""Share of the epochs after which a best epoch says that the training was still improving."""

LONGER = 2
"""How many times the epochs a training should have that was still improving."""

_NAMED = 3


def late(best_epochs: Sequence[int], most: int) -> bool:
    """Whether most trainings had their best epoch in the last tenth of ``most`` epochs."""
    return 2 * sum(best > LATE * most for best in best_epochs) > len(best_epochs)


def epochs_of(outcome: Outcome, before: Sequence[int] = ()) -> dict[str, Any] | None:
    """The ``epochs`` of an entry in ``result.json``; None if a user's function trains, which says nothing of them.

    Args:
        outcome: the final trainings.
        before: best epochs of the trainings of the re-evaluation.
    """
    if not outcome.best_epochs:
        return None
    # Who was stopped by a deadline could have had no more than that.
    end = outcome.trained if outcome.reason.startswith(CUT) else outcome.most
    return {
        "best": statistics.median_low(outcome.best_epochs),
        "trained": outcome.trained,
        "most": outcome.most,
        "values": list(outcome.best_epochs),
        "reevaluation": list(before),
        "late": late(outcome.best_epochs, end),
    }


def train_longer(entries: Sequence[Mapping[str, Any]]) -> str:
    """A sentence where final trainings were still improving when they ended, with what to do; empty if none was."""
    named = {str(entry["name"]): entry["epochs"] for entry in entries if entry.get("epochs")}
    rising = [name for name, epochs in named.items() if epochs["late"]]
    if not rising:
        return ""
    cut = any(named[name]["trained"] < named[name]["most"] for name in rising)
    most = max(epochs["most"] for epochs in named.values())
    shown = ", ".join(rising[:_NAMED]) + (", …" if len(rising) > _NAMED else "")
    advice = spelled(f"a longer {option('time_budget')}" if cut else option("epochs", LONGER * most))
    return (
        f"{len(rising)} of {len(named)} final losses ({shown}) were still improving in the last tenth of their epochs, "
        f"so what they differ by may be how fast they train: train longer, {advice}."
    )
