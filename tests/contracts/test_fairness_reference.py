"""Hard, group disparity is fairlearn's metric; soft, it is fairret's norm; other terms are their papers' formulas."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fairlearn import metrics as fair
from fairret.loss import NormLoss
from fairret.statistic import (
    Accuracy,
    FalsePositiveRate,
    FScore,
    PositivePredictiveValue,
    PositiveRate,
    TruePositiveRate,
)
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import softmax, xlogy
from sklearn import metrics

from losssearch.losses import terms
from losssearch.losses.inputs import OF_GROUPS
from losssearch.losses.state import Dimensions

Array = NDArray[Any]
ROWS, GROUPS, CLASSES = 400, 4, 3
RATES: dict[str, list[Callable[..., float]]] = {
    "positive_rate": [fair.selection_rate],
    "true_positive_rate": [fair.true_positive_rate],
    "false_positive_rate": [fair.false_positive_rate],
    "equalized_odds": [fair.true_positive_rate, fair.false_positive_rate],
    "precision": [metrics.precision_score],
    "accuracy": [metrics.accuracy_score],
    "f1": [metrics.f1_score],
}
"""A statistic's metrics of labels and decisions: fairlearn's own, or scikit-learn's."""


def drawn() -> dict[str, Array]:
    random = np.random.default_rng(5)
    group = random.choice(GROUPS, ROWS, p=[0.5, 0.3, 0.15, 0.05])
    score = random.normal(size=ROWS) + 0.5 * (group == 1)
    return {
        "group": group,
        "logit": np.sign(score) * (1 + np.abs(score)),  # decided beyond doubt at the least temperature
        "logits": 3 * random.permuted(np.tile([0.0, 1.0, 2.0], (ROWS, 1)), axis=1),
        "label": (random.uniform(size=ROWS) < 0.4 + 0.1 * (group == 2)).astype(int),
        "labels": random.integers(CLASSES, size=ROWS),
        "prediction": score,
        "target": score + random.normal(size=ROWS) * (1 + group),
        "features": random.normal(size=(ROWS, 2)),
    }


def frames(task: str, statistic: str) -> list[fair.MetricFrame]:
    """One frame a cell."""
    d = drawn()

    def frame(metric: Callable[..., float], true: Array, found: Array) -> fair.MetricFrame:
        return fair.MetricFrame(metrics=metric, y_true=true, y_pred=found, sensitive_features=d["group"])

    def mean_of(values: Array) -> fair.MetricFrame:
        return frame(lambda true, found: float(found.mean()), values, values)

    if task == "regression":
        error = d["prediction"] - d["target"]
        made = {
            "mean_prediction": lambda: frame(fair.mean_prediction, d["target"], d["prediction"]),
            "mean_error": lambda: mean_of(error),
            "mean_absolute_error": lambda: frame(metrics.mean_absolute_error, d["target"], d["prediction"]),
            "mean_loss": lambda: frame(metrics.mean_squared_error, d["target"], d["prediction"]),
        }
        return [made[statistic]()]
    if task == "binary":
        p = 1 / (1 + np.exp(-d["logit"]))
        if statistic == "calibration":
            return [mean_of(p - d["label"])]
        if statistic == "mean_loss":
            return [frame(lambda y, q: metrics.log_loss(y, q, labels=[0, 1]), d["label"], p)]
        return [frame(metric, d["label"], (d["logit"] > 0).astype(int)) for metric in RATES[statistic]]
    p, decided = softmax(d["logits"], axis=1), d["logits"].argmax(1)
    if statistic == "calibration":
        return [mean_of(p[:, c] - (d["labels"] == c)) for c in range(CLASSES)]
    if statistic == "mean_loss":
        return [mean_of(-np.log(p[np.arange(ROWS), d["labels"]]))]
    if statistic == "accuracy":
        return [frame(metrics.accuracy_score, d["labels"], decided)]
    cells = itertools.product(RATES[statistic], range(CLASSES))
    return [frame(m, (d["labels"] == c).astype(int), (decided == c).astype(int)) for m, c in cells]


def expected(frames: list[fair.MetricFrame], violation: str, shares: bool) -> float:
    """Differences and ratios by fairlearn itself, the others by formula from its rates by group."""
    if violation == "worst_pair":
        return max(f.difference(method="between_groups") for f in frames)
    if violation == "norm_inf":
        return max(f.difference(method="to_overall") for f in frames)
    rates = np.array([f.by_group.to_numpy(float) for f in frames])
    if violation == "ratio":
        if rates.min() >= 0:
            return 1 - min(f.ratio(method="between_groups") for f in frames)
        return max((r.max() - r.min()) / np.abs(r).max() for r in rates)
    overall = np.array([float(f.overall) for f in frames])[:, None]
    apart = rates - overall
    if violation == "kl":
        if not shares:
            return float((apart**2 / 2).mean())
        return float((xlogy(rates, rates / overall) + xlogy(1 - rates, (1 - rates) / (1 - overall))).mean())
    if violation == "log_sum_exp":
        ends = np.log(np.exp(50 * rates).mean(1)) + np.log(np.exp(-50 * rates).mean(1))
        return float(ends.max() / 50)
    norms = {"gap": np.abs(apart).mean(), "norm1": np.abs(apart).sum(), "norm2": np.sqrt((apart**2).sum())}
    return float(norms[violation])


NAMES = {
    "binary": "group_disparity",
    "multiclass": "group_disparity_multiclass",
    "regression": "group_disparity_regression",
}
PRODUCT = [(task, s) for task, name in NAMES.items() for s in terms[name].domains["statistic"].options]


def evaluate(name: str, given: dict[str, Any], **hyper: Any) -> float:
    term = terms[name]
    settings = {**term.defaults, **hyper}
    classes = given["logits"].shape[1] if "logits" in given else 2
    settings |= {
        key: torch.tensor(float(v), dtype=torch.float64) for key, v in settings.items() if not isinstance(v, str)
    }
    made = {key: torch.as_tensor(value) for key, value in given.items() if key != "group"}
    made["group"] = torch.eye(GROUPS, dtype=torch.float64)[torch.as_tensor(given["group"])]
    if term.of_numbers:
        made["scores"] = made["predicted"] = made["prediction"][:, None]
        made["plain_loss"] = (made["prediction"] - made["target"]).square()
        made["goal"] = made["target"][:, None]
    elif "logits" in made:
        made["scores"], made["predicted"] = made["logits"], torch.softmax(made["logits"], -1)
        made["plain_loss"] = F.cross_entropy(made["logits"], made["labels"], reduction="none")
        made["goal"] = F.one_hot(made["labels"], classes).double()
    choices = {**term.fixed, **{k: v for k, v in {**term.defaults, **hyper}.items() if isinstance(v, str)}}
    dimensions = Dimensions(classes, GROUPS, choices=choices, columns=int(term.of_numbers))
    kept = {key: state.start(dimensions, key).double() for key, state in term.states.items()}
    return float(term(*(made[read] for read in term.reads), **settings, **kept).mean())


@pytest.mark.parametrize(("task", "statistic"), PRODUCT)
@pytest.mark.parametrize("violation", terms["group_disparity"].domains["violation"].options)
def test_hard_decisions_give_the_metric_of_fairlearn(task: str, statistic: str, violation: str) -> None:
    d = drawn()
    given = d | {"labels": d["labels"] if task == "multiclass" else d["label"]}
    if task != "multiclass":
        given.pop("logits")
    sharp = {} if task == "regression" else {"temperature": 1e-3}
    value = evaluate(NAMES[task], given, statistic=statistic, violation=violation, limit=0, shrinkage=0, **sharp)
    found = frames(task, statistic)
    shares = statistic not in ("calibration", "mean_loss") and task != "regression"
    assert value == pytest.approx(expected(found, violation, shares), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("statistic", "metric"),
    [
        ("positive_rate", fair.demographic_parity_difference),
        ("equalized_odds", fair.equalized_odds_difference),
        ("true_positive_rate", fair.equal_opportunity_difference),
    ],
)
def test_a_constraint_is_the_function_of_fairlearn(statistic: str, metric: Callable[..., float]) -> None:
    d = drawn()
    given = {"logit": d["logit"], "labels": d["label"], "group": d["group"]}
    value = evaluate("group_disparity", given, statistic=statistic, limit=0, shrinkage=0, temperature=1e-3)
    decided = (d["logit"] > 0).astype(int)
    assert value == pytest.approx(metric(d["label"], decided, sensitive_features=d["group"]), rel=1e-9)


@pytest.mark.parametrize(
    ("statistic", "theirs", "labelled"),
    [
        ("positive_rate", PositiveRate, False),
        ("true_positive_rate", TruePositiveRate, True),
        ("false_positive_rate", FalsePositiveRate, True),
        ("precision", PositivePredictiveValue, True),
        ("accuracy", Accuracy, True),
        ("f1", FScore, True),
    ],
)
@pytest.mark.parametrize(("violation", "p"), [("norm1", 1), ("norm2", 2), ("norm_inf", float("inf"))])
def test_soft_norms_are_those_of_fairret(
    statistic: str, theirs: Callable[[], Any], labelled: bool, violation: str, p: float
) -> None:
    """fairret measures the deviation from the overall rate as a share of it."""
    d = drawn()
    given = {"logit": d["logit"], "labels": d["label"], "group": d["group"]}
    settings = {"statistic": statistic, "violation": violation, "limit": 0, "shrinkage": 0, "temperature": 1.0}
    value = evaluate("group_disparity", given, **settings)
    logit = torch.as_tensor(d["logit"])[:, None]
    labels = (torch.as_tensor(d["label"], dtype=torch.float64)[:, None],) * labelled
    sensitive = torch.eye(GROUPS, dtype=torch.float64)[torch.as_tensor(d["group"])]
    overall = float(theirs().overall_statistic(torch.sigmoid(logit), *labels))
    assert value == pytest.approx(float(NormLoss(theirs(), p=p)(logit, sensitive, *labels)) * overall, rel=1e-6)


def _centred(m: Array) -> Array:
    return m - m.mean(0) - m.mean(1, keepdims=True) + m.mean()


def _standard(values: Array) -> Array:
    return (values - values.mean(0)) / values.std(0)


def _hsic(scores: Array, onehot: Array) -> float:
    k, length = (
        _centred(np.exp(-(cdist(_standard(v), _standard(v)) ** 2) / (2 * v.shape[1]))) for v in (scores, onehot)
    )
    return float((k * length).sum() / np.sqrt((k**2).sum() * (length**2).sum()))


def _dcov(scores: Array, onehot: Array) -> float:
    a, b = (_centred(cdist(_standard(v), _standard(v))) for v in (scores, onehot))
    return float((a * b).mean())


def _correlation(scores: Array, onehot: Array) -> float:
    columns = scores.shape[1]
    return float((np.corrcoef(scores.T, onehot.T)[:columns, columns:] ** 2).mean())


def _zafar(scores: Array, onehot: Array) -> float:
    return float(max(abs(np.cov(s, g, bias=True)[0, 1]) for s in scores.T for g in onehot.T))


def _distance(d: dict[str, Array]) -> Array:
    return cdist(d["features"], d["features"]) / np.sqrt(2)


def _lipschitz(apart: Array, d: dict[str, Array]) -> float:
    return float((np.maximum(apart - 0.5 * _distance(d), 0) ** 2).mean())


def _flip(squares: Array, d: dict[str, Array]) -> float:
    weight = np.exp(-(_distance(d) ** 2) / (2 * 0.5**2)) * (d["group"][:, None] != d["group"])
    return float((weight * squares).sum() / weight.sum())


def _reweighed(d: dict[str, Array]) -> float:
    y, g, loss = d["labels"], d["group"], -np.log(softmax(d["logits"], 1)[np.arange(ROWS), d["labels"]])
    weight = [(g == b).mean() * (y == a).mean() / ((g == b) & (y == a)).mean() for a, b in zip(y, g, strict=True)]
    return float((weight * loss).mean())


def _adjusted(d: dict[str, Array]) -> float:
    """Menon et al. 2021, eq. 10, with the label's share in the group of the row, 0.1 % of it that among all."""
    y, g, classes = d["labels"], d["group"], np.arange(d["logits"].shape[1])
    overall = (y[:, None] == classes).mean(0)
    within = np.stack([(y[g == b][:, None] == classes).mean(0) for b in g])
    moved = d["logits"] + np.log(0.999 * within + 0.001 * overall)
    return float(-np.log(softmax(moved, 1)[np.arange(ROWS), y]).mean())


def _p(d: dict[str, Array]) -> Array:
    return softmax(d["logits"], 1)


def _losses(d: dict[str, Array]) -> tuple[list[float], list[float]]:
    """Mean cross-entropy and mean squared error of each group."""
    of_class = -np.log(_p(d)[np.arange(ROWS), d["labels"]])
    square = (d["prediction"] - d["target"]) ** 2
    return tuple([float(v[d["group"] == g].mean()) for g in range(GROUPS)] for v in (of_class, square))  # type: ignore[return-value]


def _tv(d: dict[str, Array]) -> Array:
    return cdist(_p(d), _p(d), "cityblock") / 2


def _one(d: dict[str, Array]) -> Array:
    return d["prediction"][:, None]


ORACLES: dict[str, Callable[[dict[str, Array], Array], float]] = {
    "attribute_correlation": lambda d, s: _correlation(_p(d), s),
    "attribute_correlation_regression": lambda d, s: _correlation(_one(d), s),
    "hsic": lambda d, s: _hsic(_p(d), s),
    "hsic_regression": lambda d, s: _hsic(_one(d), s),
    "distance_covariance": lambda d, s: _dcov(_p(d), s),
    "distance_covariance_regression": lambda d, s: _dcov(_one(d), s),
    "zafar_covariance": lambda d, s: _zafar(d["logits"] - d["logits"].mean(1, keepdims=True), s),
    "zafar_covariance_regression": lambda d, s: _zafar(_one(d), s),
    "individual_fairness": lambda d, s: _lipschitz(_tv(d), d),
    "individual_fairness_regression": lambda d, s: _lipschitz(cdist(_one(d), _one(d)), d),
    "flip_consistency": lambda d, s: _flip(cdist(_p(d), _p(d)) ** 2, d),
    "flip_consistency_regression": lambda d, s: _flip(cdist(_one(d), _one(d)) ** 2, d),
    "reweighed_cross_entropy": lambda d, s: _reweighed(d),
    "group_logit_adjustment": lambda d, s: _adjusted(d),
    "group_dro": lambda d, s: float(np.mean(_losses(d)[0])),
    "group_dro_regression": lambda d, s: float(np.mean(_losses(d)[1])),
    "bounded_group_loss": lambda d, s: max(_losses(d)[0]) - 0.3,
    "bounded_group_loss_regression": lambda d, s: max(_losses(d)[1]) - 0.3,
    # An adversary that has learned nothing guesses evenly: entropy of the groups less the logarithm of their number.
    "adversarial": lambda d, s: -float(xlogy(s.mean(0), s.mean(0)).sum()) - np.log(GROUPS),
    "adversarial_regression": lambda d, s: -float(xlogy(s.mean(0), s.mean(0)).sum()) - np.log(GROUPS),
}


@pytest.mark.parametrize("name", ORACLES)
def test_equals_the_formula_of_its_paper(name: str) -> None:
    d = drawn()
    value = evaluate(name, d | {"distance": _distance(d)})
    assert value == pytest.approx(ORACLES[name](d, np.eye(GROUPS)[d["group"]]), rel=1e-6, abs=1e-9)


def test_every_fairness_term_has_a_reference() -> None:
    known = {name for name, term in terms.items() if OF_GROUPS & set(term.reads)}
    assert {*ORACLES, *NAMES.values()} == known | {terms[name].for_numbers for name in known} - {""}
