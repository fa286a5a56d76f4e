"""What a verdict recommends, what it claims, and the words for both; the same for every kind of study.

The recommendation follows what was known before test was read: the larger posterior mean of utility. Test never
recommends; it can only withdraw a recommendation, if by all evidence the searched loss is no longer more likely better
than not. The claim follows test: a grade by its interval, and the probability that the searched loss is better at all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from losssearch.evaluation import Difference
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.study.selecting.evidence import CLEAR, TIE, Evidence
from losssearch.tasks import get_kind

Grade = Literal["better", "probably better", "not told apart", "worse"]
Side = Literal["searched", "baseline"]

EVEN = 0.5
PROBABLY = 0.8
"""Probability from which the grade is "probably better", if the interval contains zero and test has the same sign."""


@dataclass(frozen=True)
class Claim:
    """Which side to use, and what may be claimed of the searched one: a grade and the probability that it is better."""

    recommended: Side
    grade: Grade
    probability: float
    why: str
    """Why the recommendation and the claim differ; empty if they do not."""


def claim(before: Evidence, test: Difference, everything: Evidence, *, prefer_known: bool = False) -> Claim:
    """Decide by the evidence before test, and grade by test.

    Args:
        before: Searched less best baseline in utility, as all evidence before test has it.
        test: The same on test.
        everything: The same by all evidence, test among it; the probability comes from it.
        prefer_known: Ask the evidence before test for more than one standard error.
    """
    grade = graded(test, everything.probability)
    wanted = before.clear if prefer_known else before.likely
    refuted = grade == "worse" or everything.probability < EVEN
    side: Side = "searched" if wanted and not refuted else "baseline"
    why = "" if side == "searched" else _why(grade, before, wanted=wanted)
    return Claim(side, grade, everything.probability, why)


def graded(test: Difference, probability: float) -> Grade:
    """The grade of a difference: its interval decides, and the probability only if that contains zero."""
    low, high = test.interval
    if low > 0:
        return "better"
    if high < 0:
        return "worse"
    return "probably better" if probability >= PROBABLY and test.difference > 0 else "not told apart"


def _why(grade: Grade, before: Evidence, *, wanted: bool) -> str:
    """Why the baseline, where something speaks for the searched loss."""
    if wanted:
        return "The evidence before test favoured the searched loss, and test withdrew the recommendation."
    if before.likely:
        return f"A known loss is preferred, as asked: the evidence before test is not above {CLEAR:g} standard error."
    if before.difference > 0:
        return f"Before test was read, the two tied (within {TIE:g} standard errors), and a tie goes to the known loss."
    if grade in ("better", "probably better"):
        return "The recommendation was made before test was read, when the evidence favoured the baseline."
    return ""


def headline(found: Claim, baseline: str, searched: str = "the searched loss") -> str:
    """What to use, and how the two compare, in one clause without a colon."""
    probability = f"(P = {chance(found.probability)})"
    if found.recommended == "searched":
        return {
            "better": f"Use {searched}, better than {baseline} (95 %)",
            "probably better": f"Use {searched}, probably better than {baseline} {probability}",
            "not told apart": f"Use {searched}, not told apart from {baseline} {probability}",
            "worse": f"Use {searched}, although worse than {baseline} in the metric (95 %)",
        }[found.grade]
    return {
        "better": f"Use {baseline}, although {searched} is better on test (95 %)",
        "probably better": f"Use {baseline}, although {searched} is probably better {probability}",
        "not told apart": f"Use {baseline}, not told apart from {searched} {probability}",
        "worse": f"Use {baseline}, {searched} is worse (95 %)",
    }[found.grade]


def chance(probability: float) -> str:
    """``.83``: two digits, never 0 or 1."""
    return f"{min(max(probability, 0.01), 0.99):.2f}".removeprefix("0")


def stated(found: Difference) -> str:
    """A difference with its interval, in words."""
    low, high = found.interval
    if not all(map(math.isfinite, (found.difference, low, high))):
        return "not defined"
    if found.difference == low == high == 0:
        return "no difference on any resample of its rows"
    return f"{found.difference:+.3g}, {found.level:.0%} interval [{low:+.3g}, {high:+.3g}]"


def alike(first: Tensor, second: Tensor, task: str) -> str:
    """What two models' outputs ``[S, N(, C)]`` have in common on all rows, in words; empty if they differ."""
    seeds, rows = first.shape[:2]
    kind = get_kind(task)
    decided = [kind.view.decide(out) for out in (first, second)]
    if not bool((decided[0] == decided[1]).all()):
        return ""
    return f"both make the same {kind.decided} on all {rows:,} test rows" + (
        f" with each of {seeds} seeds" * (seeds > 1)
    )


def untrained(trials: Sequence[TrialRecord]) -> str:
    """Why no searched loss can be set against the baselines, after all ``trials`` of a search."""
    own = [trial for trial in trials if trial.origin == "searched"]
    if not own:
        return "the search ended before it tried a searched loss"
    states = Counter(trial.state for trial in own)
    rejected, failed = (_reasons(own, state) for state in (TrialState.REJECTED, TrialState.FAILED))
    same = states[TrialState.DUPLICATE] + states[TrialState.EQUIVALENT]
    trained = states[TrialState.COMPLETED] + states[TrialState.PRUNED]
    said = [
        f"{states[TrialState.REJECTED]} rejected by screening, untrained{rejected}" * bool(states[TrialState.REJECTED]),
        f"{same} the same as earlier ones, untrained" * bool(same),
        f"{states[TrialState.FAILED]} failed in training{failed}" * bool(states[TrialState.FAILED]),
        f"{trained} trained in the search, but none to the end on the draws of the confirmation" * bool(trained),
        f"{states[TrialState.RUNNING]} not reached" * bool(states[TrialState.RUNNING]),
    ]
    return f"no searched loss can be compared; of {len(own)}, " + ", ".join(filter(None, said))


def _reasons(trials: Sequence[TrialRecord], state: TrialState) -> str:
    """The most common reason of a state, in brackets."""
    known = Counter(trial.reason.partition(":")[0] for trial in trials if trial.state is state and trial.reason)
    return f" ({known.most_common(1)[0][0]})" if known else ""
