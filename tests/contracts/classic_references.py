"""References of the standard losses of two classes, several classes and numbers: other libraries, or SciPy's functions.

``tests/oracles/classic_losses.json`` holds values of libraries that are not installed with the tests;
`benchmarks.oracles.classic_losses` made it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import linalg, optimize, special, stats
from scipy.spatial import distance
from sklearn import metrics
from sklearn.linear_model import _sgd_fast
from sklearn.metrics.pairwise import laplacian_kernel

Array = NDArray[Any]
STORED: dict[str, Any] = json.loads((Path(__file__).parents[1] / "oracles" / "classic_losses.json").read_text("utf-8"))


def entropies(logits: Array, labels: Array, weight: Array | None = None) -> Array:
    """Cross-entropy by PyTorch."""
    weights = None if weight is None else torch.from_numpy(weight)
    found: Array = F.cross_entropy(
        torch.from_numpy(logits), torch.from_numpy(labels), weight=weights, reduction="none"
    ).numpy()
    return found


def one_hot(labels: Array, classes: int) -> Array:
    found: Array = np.eye(classes)[labels]
    return found


def nce_and_rce(logits: Array, labels: Array, alpha: float, beta: float) -> Array:
    """Ma et al. 2020: normalised cross-entropy, and -Σ p log q with log 0 = -4."""
    p, y = special.softmax(logits, 1), one_hot(labels, logits.shape[1])
    reverse = -(p * np.where(y == 1, 0.0, -4.0)).sum(1)
    return np.asarray(alpha * entropies(logits, labels) / -np.log(p).sum(1) + beta * reverse)


def taylor(logits: Array, labels: Array, k: float) -> Array:
    rest = 1 - np.exp(-entropies(logits, labels))
    whole = int(k)
    series = sum(rest**i / i for i in range(1, whole + 1))
    return np.asarray(series + (k - whole) * rest ** (whole + 1) / (whole + 1))


def jensen_shannon(logits: Array, labels: Array, pi: float) -> Array:
    """Englesson and Azizpour 2021, eq. 4 and 5."""
    p, y = special.softmax(logits, 1), one_hot(labels, logits.shape[1])
    mixed = pi * y + (1 - pi) * p
    divergence = pi * special.rel_entr(y, mixed).sum(1) + (1 - pi) * special.rel_entr(p, mixed).sum(1)
    return np.asarray(divergence / (-(1 - pi) * np.log(1 - pi)))


def bootstrap(logits: Array, labels: Array, beta: float) -> Array:
    entropy = stats.entropy(special.softmax(logits, 1), axis=1)
    return np.asarray(beta * entropies(logits, labels) + (1 - beta) * entropy)


def bi_tempered(logits: Array, labels: Array, t1: float, t2: float) -> Array:
    """Amid et al. 2019, eq. 5 to 7, as a Bregman divergence; the normaliser by a bracketing root finder."""

    def exp_t(x: Array) -> Array:
        return np.asarray(np.maximum(0, 1 + (1 - t2) * x) ** (1 / (1 - t2)))

    def log_t(x: Array) -> Array:
        return np.asarray((x ** (1 - t1) - 1) / (1 - t1))

    found = []
    for z, y in zip(logits, one_hot(labels, logits.shape[1]), strict=True):
        shift = optimize.brentq(lambda s, z=z: exp_t(z - s).sum() - 1, z.max(), z.max() + 1e3, xtol=1e-13)
        p = exp_t(z - shift)
        own = np.where(y > 0, y * (log_t(y) - log_t(p)), 0.0)
        found.append((own - (y ** (2 - t1) - p ** (2 - t1)) / (2 - t1)).sum())
    return np.array(found)


def forward_uniform(logits: Array, labels: Array, rho: float) -> Array:
    """The likelihood of labels after a transition matrix."""
    classes = logits.shape[1]
    transition = (1 - rho) * np.eye(classes) + rho / classes
    noisy = special.softmax(logits, 1) @ transition
    found: Array = F.nll_loss(torch.from_numpy(np.log(noisy)), torch.from_numpy(labels), reduction="none").numpy()
    return found


def vector_scaling(logits: Array, labels: Array, prior: Array, gamma: float, tau: float) -> Array:
    return entropies(logits * (prior / prior.max()) ** gamma + tau * np.log(prior), labels)


def class_balanced(logits: Array, labels: Array, prior: Array, beta: float) -> Array:
    weight = (1 - beta) / (1 - beta ** (1000 * prior))
    return entropies(logits, labels, weight / (weight @ prior))


def equalization(logits: Array, labels: Array, prior: Array, gamma: float, threshold: float) -> Array:
    """Tan et al. 2020, eq. 9 and 10, class by class."""
    classes, found = logits.shape[1], []
    for z, y in zip(logits, labels, strict=True):
        rare = [prior[k] < threshold / classes for k in range(classes)]
        total = sum((1 - gamma * rare[k] * (k != y)) * np.exp(z[k]) for k in range(classes))
        found.append(np.log(total) - z[y])
    return np.array(found)


def asymmetric(logit: Array, labels: Array, gamma_positive: float, gamma_negative: float, margin: float) -> Array:
    p = special.expit(logit)
    shifted = np.maximum(p - margin, 0)
    return np.where(
        labels == 1, -((1 - p) ** gamma_positive) * np.log(p), -(shifted**gamma_negative) * np.log(1 - shifted)
    )


def confidence_penalty(logits: Array, labels: Array, beta: float) -> Array:
    entropy = torch.distributions.Categorical(logits=torch.from_numpy(logits)).entropy().numpy()
    return np.asarray(entropies(logits, labels) - beta * entropy)


def margin_smoothing(logits: Array, labels: Array, margin: float, strength: float) -> Array:
    below = logits.max(1, keepdims=True) - logits
    return np.asarray(entropies(logits, labels) + strength * np.maximum(0, below - margin).sum(1))


def _calibration(logits: Array, labels: Array) -> tuple[Array, Array]:
    return special.softmax(logits, 1).max(1), (logits.argmax(1) == labels).astype(float)


def soft_ece(logits: Array, labels: Array, temperature: float) -> float:
    """Karandikar et al. 2021, section 4.1, bin by bin."""
    confidence, hit = _calibration(logits, labels)
    middles = (np.arange(15) + 0.5) / 15
    member = special.softmax(-((confidence[:, None] - middles) ** 2) / temperature, 1)
    sizes = member.sum(0)
    gaps = [(member[:, b] @ hit - member[:, b] @ confidence) / sizes[b] for b in range(15)]
    return float(sum(size / len(labels) * gap**2 for size, gap in zip(sizes, gaps, strict=True)))


def mmce(logits: Array, labels: Array, width: float) -> float:
    confidence, hit = _calibration(logits, labels)
    kernel = laplacian_kernel(confidence[:, None], gamma=1 / width)
    return float((hit - confidence) @ kernel @ (hit - confidence)) / len(labels) ** 2


def least_squares_cauchy(prediction: Array, target: Array, cutoff: float) -> Array:
    """SciPy's robust least squares has ρ(z) = ln(1 + z) at z = (r/c)², times c²/2."""
    found = []
    for residual in target - prediction:
        # Without a step, `least_squares` tells the cost at the point where it begins.
        fit = optimize.least_squares(lambda x, r=residual: r + 0 * x, [0.0], loss="cauchy", f_scale=cutoff, max_nfev=1)
        found.append(fit.cost)
    return np.array(found)


def insensitive(prediction: Array, target: Array, epsilon: float) -> list[float]:
    loss = _sgd_fast.EpsilonInsensitive(epsilon)
    return [loss.py_loss(float(p), float(t)) for p, t in zip(prediction, target, strict=True)]


def log_error(prediction: Array, target: Array, zero: Array, unit: float) -> list[float]:
    """scikit-learn's squared logarithmic error of one sign; of two signs, by its pieces."""
    found = []
    for p, t in zip((prediction - zero) / unit, (target - zero) / unit, strict=True):
        if p * t > 0:
            found.append(float(metrics.mean_squared_log_error([abs(t)], [abs(p)])))
        else:
            found.append((np.log1p(abs(p)) + np.log1p(abs(t))) ** 2)
    return found


def balanced_mse(prediction: Array, target: Array, sigma: float) -> float:
    """Ren et al. 2022, eq. 3.7, times 2σ², with the mean over the batch in place of the sum."""
    exponent = -((prediction[:, None] - target[None]) ** 2) / (2 * sigma**2)
    mixed = special.logsumexp(exponent, 1) - np.log(len(target))
    return float(2 * sigma**2 * (mixed - np.diagonal(exponent)).mean())


def decorrelation(scores: Array) -> float:
    covariance = np.cov(scores.T, bias=True)
    return float((covariance**2).sum() - (np.diag(covariance) ** 2).sum()) / 2


CLASSIC: list[tuple[str, dict[str, Any], Callable[..., Any]]] = [
    ("normalised_active_passive", {"alpha": 2.0, "beta": 0.5}, nce_and_rce),
    ("taylor", {"k": 3.0}, taylor),
    ("taylor", {"k": 4.3}, taylor),
    ("jensen_shannon", {"pi": 0.3}, jensen_shannon),
    ("bootstrap", {"beta": 0.8}, bootstrap),
    ("bi_tempered", {"t1": 0.7, "t2": 1.3}, bi_tempered),
    ("bi_tempered", {"t1": 0.2, "t2": 4.0}, bi_tempered),
    ("forward_uniform", {"rho": 0.3}, forward_uniform),
    ("vector_scaling", {"gamma": 0.3, "tau": 1.2}, vector_scaling),
    ("class_balanced", {"beta": 0.995}, class_balanced),
    ("equalization", {"gamma": 0.7, "threshold": 0.5}, equalization),
    ("asymmetric", {"gamma_positive": 1.0, "gamma_negative": 3.0, "margin": 0.05}, asymmetric),
    ("confidence_penalty", {"beta": 0.3}, confidence_penalty),
    ("margin_label_smoothing", {"margin": 1.5, "strength": 0.2}, margin_smoothing),
    ("soft_ece", {"temperature": 0.01}, soft_ece),
    ("mmce", {"width": 0.4}, mmce),
    ("entropy", {}, lambda z: stats.entropy(special.softmax(z, 1), axis=1)),
    ("decorrelation", {}, decorrelation),
    ("l1", {}, lambda w: np.linalg.norm(w, 1)),
    ("l2", {}, lambda w: np.linalg.norm(w) ** 2 / 2),
    (
        "elastic_net",
        {"ratio": 0.3},
        lambda w, ratio: ratio * np.linalg.norm(w, 1) + (1 - ratio) / 2 * np.linalg.norm(w) ** 2,
    ),
    ("gradient_penalty", {"norm": 1.5}, lambda g, norm: [(linalg.norm(row) - norm) ** 2 for row in g]),
    ("mixup_consistency", {}, lambda a, b: [distance.sqeuclidean(*rows) for rows in zip(a, b, strict=True)]),
    ("cauchy", {"cutoff": 1.7}, least_squares_cauchy),
    ("welsch", {"cutoff": 1.7}, lambda p, t, cutoff: cutoff**2 / 2 * (1 - np.exp(-(((t - p) / cutoff) ** 2)))),
    ("geman_mcclure", {"cutoff": 1.7}, lambda p, t, cutoff: (t - p) ** 2 / 2 / (1 + ((t - p) / cutoff) ** 2)),
    ("epsilon_insensitive", {"epsilon": 0.4}, insensitive),
    ("log_error", {"unit": 0.3}, log_error),
    ("balanced_mse", {"sigma": 0.7}, balanced_mse),
]
"""Name, hyperparameters, and the oracle of what the term reads."""
