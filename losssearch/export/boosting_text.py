"""What stands around the loss in an exported objective: settings, the way it is used, and what calls it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

PARAMETERS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "lightgbm": {"objective": "none", "verbosity": -1, "deterministic": True, "force_row_wise": True},
        "xgboost": {"tree_method": "hist", "base_score": 0.0},
    }
)
"""By library: the settings with which a study grows its trees, without threads and the rate."""

USE = MappingProxyType(
    {
        "lightgbm": """\
        data = lgb.Dataset(features, labels, init_score=initial_scores(labels))
        booster = lgb.train({**PARAMETERS, "objective": fobj}, data, num_boost_round=ROUNDS)
        scores = booster.predict(others, raw_score=True) + initial_scores(labels)[:1]""",
        "xgboost": """\
        data = xgb.DMatrix(features, labels, base_margin=initial_scores(labels))
        booster = xgb.train(PARAMETERS, data, num_boost_round=ROUNDS, obj=fobj)
        scores = booster.predict(xgb.DMatrix(others), output_margin=True) + initial_scores(labels)[:1]""",
    }
)
"""By library: how to train and predict."""

WRAPPER = '''\
class TreeObjective:
    """Gradient and Hessian of the loss as the library calls for them, one call per round.

    The library's own training calls it with scores and data, a scikit-learn estimator with labels, scores and weights.
    An estimator starts from ``fit(..., init_score=initial_scores(labels))``
    (LightGBM) or ``base_margin=`` (XGBoost), and gives raw scores, less where it started from.

    ``rounds``: how many there will be, for weights that follow a schedule. For a loss that reads them, ``group``: ids
    [rows] or memberships [rows, groups] of the sensitive groups, and ``features`` [rows, columns]. A new training,
    told by its data or by scores that are all alike, starts from the beginning.
    """

    def __init__(
        self,
        rounds: int = ROUNDS,
        *,
        seed: int = 0,
        group: np.ndarray | None = None,
        features: np.ndarray | None = None,
    ) -> None:
        self.rounds, self.seed = rounds, seed
        given = {"group": group, "features": features}
        if missing := [name for name in EXTRA if given[name] is None]:
            raise ValueError(f"this loss reads {' and '.join(missing)}: give TreeObjective({missing[0]}=...)")
        self.group = None if group is None else memberships(np.asarray(group))
        self.features = None if features is None else torch.as_tensor(np.asarray(features), dtype=torch.float32)
        self._data = self._labels = self._weight = self._objective = None

    def __call__(
        self, predictions: np.ndarray, data: object, sample_weight: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gradient and Hessian at the raw scores ``predictions``, of their shape.

        ``data`` is the library's own; or, as scikit-learn has it, the two are labels and scores.
        """
        labels, weight = predictions, sample_weight
        if hasattr(data, "get_label"):
            labels, weight = data.get_label(), data.get_weight()
            other = data is not self._data
        else:
            predictions, data = np.asarray(data), None
            other = not np.array_equal(labels, self._labels)
        weight = None if weight is None or not len(weight) else np.array(weight, dtype=np.float64)
        other = other or not np.array_equal(weight, self._weight)
        if other or self._objective is None or (predictions == predictions[:1]).all():
            self._data, self._labels, self._weight = data, np.array(labels), weight
            self._objective = self._new(self._labels, weight)
        slope, curve = self._objective((predictions - self._mean) / self._scale)
        # A step of the standardised score is a step of `scale` in the target's own unit; the loss sees weights of
        # mean 1, and the library expects those that it was given.
        return slope * (self._scale * self._often), curve * self._often

    def _new(self, labels: np.ndarray, weight: np.ndarray | None) -> Objective:
        self._mean, self._scale = standard(labels)
        self._often = 1.0 if weight is None else float(weight.mean())
        target = torch.as_tensor(labels.astype(np.int64) if CLASSES else (labels - self._mean) / self._scale)
        often = None if weight is None else torch.as_tensor(weight / self._often)
        batch = {"target": target, "group": self.group, "features": self.features, "weight": often}
        return Objective(
            pieces(target, 0 if self.group is None else self.group.shape[1], 0 - self._mean / self._scale),
            {name: value for name, value in batch.items() if value is not None},
            classes=CLASSES,
            rounds=self.rounds,
            seed=self.seed,
        )


def memberships(group: np.ndarray) -> Tensor:
    """Memberships [rows, groups] of ids [rows], or as they are."""
    if group.ndim == 1:  # of one column, the sensitive attribute is a number
        group = group[:, None] if GROUPS == 1 else np.eye(max(GROUPS, int(group.max()) + 1))[group]
    return torch.as_tensor(group, dtype=torch.float64)


def standard(labels: np.ndarray) -> tuple[float, float]:
    """Mean and scale that the loss sees a regression target in; 0 and 1 for classes."""
    return (0.0, 1.0) if CLASSES else (float(np.mean(labels)), float(np.std(labels)) or 1.0)


def initial_scores(labels: np.ndarray, sample_weight: np.ndarray | None = None) -> np.ndarray:
    """The score that the trees start from, for every row: log-odds, log shares [rows, classes], or the mean."""
    weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    start = initial_score(np.asarray(labels), CLASSES, weight)
    return np.broadcast_to(start, (len(labels), *start.shape)).astype(np.float64)


@cache
def _default() -> TreeObjective:
    return TreeObjective()


def fobj(
    predictions: np.ndarray, data: object, sample_weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The objective for `ROUNDS` rounds; `TreeObjective` has settings, and makes one for each of several at once."""
    return _default()(predictions, data, sample_weight)
'''

CHECK = '''\
# What the searched objective gives on the example of `check`: gradient, then Hessian, row by row.
EXPECTED = """
{numbers}
"""


def check() -> float:
    """The largest difference from the searched objective on a small example, relative to the largest number."""
{example}
    objective = Objective(pieces(target, GROUPS), {{{batch}}}, classes=CLASSES, rounds=10)
    objective(scores)  # twice, for what a loss remembers
    found = objective(scores)
    expected = np.array([float(number) for number in EXPECTED.split()])
    return float(np.abs(np.ravel(found) - expected).max() / np.abs(expected).max())


if __name__ == "__main__":
    print(FORMULA)
    print(f"difference from the searched objective: {{check():.1e}} (relative)")
    raise SystemExit(check() > 1e-6)
'''
