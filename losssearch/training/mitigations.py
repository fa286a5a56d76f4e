"""What fairlearn does about gaps between groups: its post-processing and its reductions, for two classes.

Both give randomised decisions: the share of a row's decisions that are positive.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from losssearch.errors import LossSearchError, shown

Parity: TypeAlias = Literal[
    "demographic_parity",
    "equalized_odds",
    "true_positive_rate_parity",
    "false_positive_rate_parity",
    "error_rate_parity",
]
Shares: TypeAlias = dict[str, NDArray[np.float64]]
"""By part: the share of each row's decisions that are positive."""

ROUNDS = 30
"""Models that a reduction fits, roughly."""

_GRID = 500


class MitigationError(LossSearchError):
    """fairlearn could not do it, for a reason of its own."""


class TooSlowError(MitigationError):
    """The time allowed is over."""


@dataclass(frozen=True)
class Rule:
    """What is to be alike between groups, and how far: the largest ``difference``, or the smallest ``ratio``."""

    parity: Parity
    difference: float | None = None
    ratio: float | None = None


@dataclass(frozen=True)
class Labelled:
    """Rows to fit on: features ``[N, D]`` or scores ``[N]``, labels in {0, 1} and group ids, ``[N]``."""

    inputs: NDArray[Any]
    labels: NDArray[np.int64]
    group: NDArray[np.int64]


def available() -> bool:
    """Whether fairlearn is installed."""
    return find_spec("fairlearn") is not None


def post_processed(
    rows: Labelled,
    parts: Mapping[str, tuple[NDArray[Any], NDArray[np.int64]]],
    rule: Rule,
    objective: Literal["accuracy_score", "balanced_accuracy_score"],
) -> Shares:
    """Thresholds of each group over scores, randomised between two where need be (Hardt et al. 2016).

    Args:
        rows: Scores to choose the thresholds on, each group with both labels.
        parts: Scores and group ids to decide on, by name.
        rule: The difference is kept; a ratio, and equalized odds, are made exactly alike. Not error rates.
        objective: What the thresholds are to be best at.

    Raises:
        MitigationError: Where fairlearn raises.
    """
    from fairlearn.postprocessing import ThresholdOptimizer

    relaxed = None if rule.parity == "equalized_odds" else rule.difference
    optimiser = ThresholdOptimizer(
        estimator=_known_scores(),
        constraints=rule.parity,
        objective=objective,
        prefit=True,
        predict_method="decision_function",
        grid_size=_GRID,
        tol=relaxed,
    )
    with _guarded("ThresholdOptimizer"):
        optimiser.fit(rows.inputs[:, None], rows.labels, sensitive_features=rows.group)
        return {
            name: optimiser._pmf_predict(scores[:, None], sensitive_features=group)[:, 1]  # noqa: SLF001  (no public name)
            for name, (scores, group) in parts.items()
        }


def reduced(rows: Labelled, parts: Mapping[str, NDArray[Any]], rule: Rule, *, deadline: float) -> Shares:
    """A mixture of logistic regressions, each fitted on rows re-weighted for the rule (Agarwal et al. 2018).

    fairlearn bounds the distance of each group from all rows; a rule on the difference of two groups is put into those
    terms: exactly for two groups, by half for more.

    Args:
        rows: Features to fit on.
        parts: Features to decide on, by name.
        rule: What is to be alike.
        deadline: By `time.monotonic`.

    Raises:
        TooSlowError: Where the deadline passes.
        MitigationError: Where fairlearn raises.
    """
    from fairlearn import reductions
    from threadpoolctl import threadpool_limits

    moment = {
        "demographic_parity": reductions.DemographicParity,
        "equalized_odds": reductions.EqualizedOdds,
        "true_positive_rate_parity": reductions.TruePositiveRateParity,
        "false_positive_rate_parity": reductions.FalsePositiveRateParity,
        "error_rate_parity": reductions.ErrorRateParity,
    }[rule.parity]
    if rule.difference is not None:
        bounds = {"difference_bound": max(1e-4, rule.difference * _from_all(rows.group))}
    else:
        bounds = {"ratio_bound": max(1e-3, rule.ratio or 0.0)}
    mixture = reductions.ExponentiatedGradient(_Logistic(deadline), moment(**bounds), max_iter=ROUNDS)
    # One thread: as many as the machine has would change the last digits, and take cores from others.
    with _guarded("ExponentiatedGradient"), threadpool_limits(1):
        mixture.fit(rows.inputs, rows.labels, sensitive_features=rows.group)
        return {name: mixture._pmf_predict(features)[:, 1] for name, features in parts.items()}  # noqa: SLF001  (as above)


@contextmanager
def _guarded(name: str) -> Iterator[None]:
    """No warnings of a guest's, and its errors as one of ours: a study of hours must not be lost to them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except MitigationError:
            raise
        except Exception as error:
            raise MitigationError(f"fairlearn's {name} gave up: {shown(str(error))}") from error


def _from_all(group: NDArray[np.int64]) -> float:
    """How far a group may be from all rows, for each unit that two groups may differ by."""
    shares = np.unique(group, return_counts=True)[1] / len(group)
    return float(shares.max()) if len(shares) == 2 else 0.5


def _known_scores() -> Any:
    """Scores that are known already, as the estimator that fairlearn asks for: a line through them of slope one."""
    from sklearn.linear_model import LogisticRegression

    line = LogisticRegression()
    line.coef_, line.intercept_, line.classes_ = np.ones((1, 1)), np.zeros(1), np.array([0, 1])
    return line


class _Logistic:
    """A logistic regression that is not begun after the deadline."""

    def __init__(self, deadline: float) -> None:
        from sklearn.linear_model import LogisticRegression

        self.deadline, self.model = deadline, LogisticRegression(max_iter=300)

    def fit(self, x: Any, y: Any, sample_weight: Any = None) -> _Logistic:
        if time.monotonic() > self.deadline:
            raise TooSlowError("fairlearn's ExponentiatedGradient took longer than allowed and is left out")
        self.model.fit(x, y, sample_weight=sample_weight)
        return self

    def predict(self, x: Any) -> NDArray[Any]:
        return np.asarray(self.model.predict(x))
