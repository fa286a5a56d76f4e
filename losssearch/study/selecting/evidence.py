"""What a study knows of one loss against another: paired differences, their errors, and what to believe of them.

The luckiest of many noisy values is not the best loss. So a difference is believed as far as its error lets it be:
true differences between contenders are taken as normal around zero, with a spread that the field itself shows
(empirical Bayes; Efron and Morris 1975), and what was measured is pulled towards zero accordingly.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.special import ndtr, stdtrit
from torch import Tensor

from losssearch.evaluation import Difference

SHARED_ROWS = 1 / 6
"""Variance that no number of draws takes away, as a share of one draw's, because draws share rows.

A third if differences came from rows alone (Nadeau and Bengio 2003, a quarter of them being validated), none if they
came from seeds alone.
"""

PRIOR_DRAWS = 4
"""Degrees of freedom of the median variance, when it is combined with a contender's own variance."""

LEAST_SPREAD = 0.5
"""Spread of the field at the least, in standard errors of one difference: strong evidence always counts."""

HALF_CHI_SQUARE = 0.4549
"""Median of a squared standard normal number."""

TIE = 0.1
"""Standard errors of a believed difference within which two losses tie: the known one, or the simpler, is taken."""

CLEAR = 1.0
"""Standard errors by which the searched loss must be believed better where a known loss is preferred."""


@dataclass(frozen=True)
class Evidence:
    """A difference in utility, above zero where the first is better, with its standard error."""

    difference: float
    error: float

    @property
    def likely(self) -> bool:
        """Whether the first is believed better, and this is no tie: enough to take a known loss's place.

        Beliefs are shrunk already; a larger margin passed over losses that were better (docs/quality.md).
        """
        return self.difference > TIE * self.error and self.difference > 0

    @property
    def probability(self) -> float:
        """The probability that the difference is above zero, a half where it is zero without error."""
        if self.error > 0:
            return float(ndtr(self.difference / self.error))
        return 0.5 + 0.5 * ((self.difference > 0) - (self.difference < 0))

    @property
    def clear(self) -> bool:
        """Whether it is better by more than one standard error."""
        return self.difference > CLEAR * self.error and self.difference > 0

    def to_json(self) -> dict[str, float]:
        """As ``result.json`` has it."""
        return {"difference": self.difference, "standard_error": self.error}


def paired(ours: Sequence[Sequence[float]], reference: Sequence[float]) -> list[Evidence | None]:
    """The mean difference of each of ``ours`` to the reference, over the draws that both had; None without two.

    The variance of each is drawn towards the median of all, because few draws tell little of it.
    """
    pairs = [[a - b for a, b in zip(own, reference, strict=False)] for own in ours]
    known = [p for p in pairs if len(p) > 1 and all(map(math.isfinite, p))]
    common = _typical([statistics.variance(p) for p in known], min(map(len, known), default=2) - 1)
    found: list[Evidence | None] = []
    for differences in pairs:
        if differences not in known:
            found.append(None)
            continue
        count, own = len(differences), statistics.variance(differences)
        variance = 0.0
        if own > 0:
            variance = ((count - 1) * own + PRIOR_DRAWS * common) / (count - 1 + PRIOR_DRAWS)
        found.append(Evidence(statistics.fmean(differences), math.sqrt(variance * (1 / count + SHARED_ROWS))))
    return found


def spread_of(field: Sequence[Evidence | None]) -> float:
    """How far true differences in a field lie apart (standard deviation around zero); infinite where none is known.

    From the median, so that a hopeless contender makes no wide field of the others.
    """
    known = [e for e in field if e is not None and e.error > 0]
    if not known:
        return math.inf
    error = statistics.median(e.error**2 for e in known)
    seen = statistics.median(e.difference**2 for e in known) / HALF_CHI_SQUARE
    return math.sqrt(max(seen - error, LEAST_SPREAD**2 * error))


def believed(spread: float, *found: Evidence | None) -> Evidence:
    """What to believe of a difference that was measured independently, once or more; nothing known is zero."""
    known = [e for e in found if e is not None and math.isfinite(e.difference) and math.isfinite(e.error)]
    if not known:
        return Evidence(0.0, spread)
    exact = [e for e in known if e.error <= 0]
    if exact or spread <= 0:
        return Evidence(exact[0].difference if exact else 0.0, 0.0)
    weights = [e.error**-2 for e in known]
    total = sum(weights) + (0.0 if math.isinf(spread) else spread**-2)
    mean = sum(w * e.difference for w, e in zip(weights, known, strict=True)) / total
    return Evidence(mean, total**-0.5)


def in_common(own: tuple[Tensor, Tensor], others: Sequence[tuple[Tensor, Tensor]]) -> float:
    """Variance that the means of two readings of the same trainings share: the covariance of their seeds, over seeds.

    Each pair has the differences by seed ``[S]`` on two parts of the rows. How strongly the two go together is learnt
    from all pairs, because few seeds tell little of it.
    """
    known = [pair for pair in (own, *others) if len(pair[0]) > 1 and all(float(part.var()) > 0 for part in pair)]
    scales = [float(part.std()) if len(part) > 1 else 0.0 for part in own]
    if not known or not all(scale > 0 for scale in scales):
        return 0.0
    together = statistics.fmean(float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in known)
    return max(0.0, together) * scales[0] * scales[1] / len(own[0])


def pooled(first: Evidence, second: Evidence, shared: float) -> Evidence:
    """Two measurements of one difference as one, by their precision, where their errors share some variance."""
    errors = [e for e in (first, second) if math.isfinite(e.difference) and math.isfinite(e.error)]
    if len(errors) < 2:
        return errors[0] if errors else Evidence(math.nan, math.nan)
    one, other = first.error**2, second.error**2
    shared = min(shared, one, other)
    apart = one + other - 2 * shared
    if apart <= 0:  # the second reading adds nothing
        return Evidence(statistics.fmean((first.difference, second.difference)), first.error)
    weight = (other - shared) / apart
    mean = weight * first.difference + (1 - weight) * second.difference
    return Evidence(mean, math.sqrt(max(one * other - shared**2, 0.0) / apart))


def steadied(found: Difference, own: Tensor, others: Sequence[Tensor], rows: int) -> Difference:
    """The difference with an interval that few seeds make neither absurdly wide nor too narrow.

    ``own`` and each of ``others`` are differences by seed ``[S]``: how much seeds matter is learnt from all of them.
    """
    seeds = len(own)
    known = [float(o.var()) for o in others if len(o) == seeds and bool(o.isfinite().all()) and float(o.var()) > 0]
    alone = float(own.var()) if seeds > 1 else 0.0
    if not known or not alone > 0 or not math.isfinite(found.standard_error):
        return found
    prior = min(PRIOR_DRAWS, len(known) * (seeds - 1) / 2)
    variance = ((seeds - 1) * alone + prior * _typical(known, seeds - 1)) / (seeds - 1 + prior) / seeds
    rest = max(found.standard_error**2 - alone / seeds, 0.0)
    error = math.sqrt(rest + variance)
    freedom = (rest + variance) ** 2 / (variance**2 / (seeds - 1 + prior) + rest**2 / max(rows - 1, 1))
    half = float(stdtrit(freedom, (1 + found.level) / 2)) * error
    return Difference(
        found.difference, (found.difference - half, found.difference + half), error, found.level, found.test
    )


def _typical(variances: Sequence[float], freedom: int) -> float:
    """Estimate the common variance from variances with these degrees of freedom, by the median, which is robust."""
    known = [v for v in variances if v > 0]
    # The median of chi-square by its degrees of freedom (Wilson and Hilferty 1931).
    return statistics.median(known) / (1 - 2 / (9 * freedom)) ** 3 if known else 0.0
