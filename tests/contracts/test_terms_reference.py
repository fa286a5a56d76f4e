"""Every term equals a reference: another library's value, or its paper's formula written out naively.

Each oracle takes the term's tensors and hyperparameters as NumPy arrays and floats, in double precision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import special, stats
from scipy.integrate import quad
from sklearn import metrics

from losssearch.losses import terms
from losssearch.losses.inputs import OF_GROUPS
from losssearch.losses.state import Dimensions
from tests.contracts.classic_references import CLASSIC
from tests.contracts.count_references import COUNTS, observed
from tests.contracts.distribution_references import DISTRIBUTIONS, forecasts
from tests.contracts.query_references import QUERIES, lists

Array = np.ndarray
Hyper = dict[str, float | str | list[float]]
CLASSES, BATCH = 4, 50


def read(name: str) -> dict[str, Array]:
    random = np.random.default_rng(3)
    logits, labels = random.normal(size=(BATCH, CLASSES)) * 2, random.integers(CLASSES, size=BATCH)
    everything = {
        "logits": logits,
        "labels": labels if "logits" in terms[name].reads else labels % 2,
        "logit": logits[:, 0],
        "class_prior": np.array([0.6, 0.25, 0.1, 0.05]),
        "prediction": random.normal(size=BATCH) * 2,
        "target": random.standard_t(2, size=BATCH),
        "zero": np.array(-0.8),
        "progress": np.array(0.3),
        "plain_loss": random.exponential(size=BATCH),
    }
    everything |= {
        "parameters": logits[:, 0],
        "input_gradient": logits,
        "mixed": logits,
        "mixture": logits[::-1].copy(),
    }
    everything |= forecasts(BATCH) | lists(BATCH) | observed(BATCH)
    if "exposure" in terms[name].reads:
        everything["target"] = everything["count"]
    everything["scores"], everything["goal"] = logits, np.eye(CLASSES)[labels]
    everything |= {"risk": logits[:, 1], "hazards": logits, "score": logits[:, 2], "cut_logits": logits[:, 1:]}
    everything |= {"time": np.ceil(random.exponential(8, size=BATCH)), "event": random.integers(2, size=BATCH) * 1.0}
    everything |= {"interval": labels * 1.0, "grade": labels}
    return {key: everything[key] for key in terms[name].reads}


def evaluate(name: str, given: dict[str, Array], hyper: Hyper) -> Array:
    numbers = {k: v if isinstance(v, str) else torch.tensor(v, dtype=torch.float64) for k, v in hyper.items()}
    term, classes = terms[name], CLASSES if "logits" in given else 2
    sizes = Dimensions(classes, rows=BATCH)
    states = {k: s.start(sizes, k).double() for k, s in term.states.items() if k not in hyper}
    return term(*(torch.from_numpy(value) for value in given.values()), **numbers, **states).numpy()


def by_torch(function: Callable[..., torch.Tensor], *arrays: Array, **options: Any) -> Array:
    return function(*(torch.from_numpy(np.asarray(a)) for a in arrays), reduction="none", **options).numpy()


def probability(logits: Array, labels: Array) -> Array:
    return special.softmax(logits, 1)[np.arange(len(labels)), labels]


def symmetric(logits: Array, labels: Array, alpha: float, beta: float) -> Array:
    """Wang et al. 2019: α H(q, p) + β H(p, q), with log 0 = -4 in the second."""
    p = special.softmax(logits, 1)
    log_q = np.where(np.arange(CLASSES) == labels[:, None], 0.0, -4.0)
    return alpha * -np.log(probability(logits, labels)) - beta * (p * log_q).sum(1)


def active_passive(logits: Array, labels: Array, alpha: float, beta: float) -> Array:
    """Ma et al. 2020, eq. 6 and section 3.3: α H(q, p) / sum_j H(q = j, p) + β |q - p| / 2."""
    p = special.softmax(logits, 1)
    normalised = -np.log(probability(logits, labels)) / -np.log(p).sum(1)
    return alpha * normalised + beta * np.abs(np.eye(CLASSES)[labels] - p).sum(1) / 2


def ldam(logits: Array, labels: Array, class_prior: Array, max_margin: float, sharpness: float) -> Array:
    """Cao et al. 2019: margins ∝ n^-1/4, scaled to the largest, taken off the label's logit."""
    counts = class_prior * 1000
    margins = 1 / np.sqrt(np.sqrt(counts))
    margins = margins * (max_margin / margins.max())
    moved = logits - margins[labels][:, None] * (np.arange(CLASSES) == labels[:, None])
    return by_torch(F.cross_entropy, moved * sharpness, labels) / sharpness


def auc_pairs(logit: Array, labels: Array, surrogate: str) -> float:
    cost = {"logistic": lambda d: np.log1p(np.exp(-d)), "squared_hinge": lambda d: max(0.0, 1 - d) ** 2}[surrogate]
    return float(np.mean([cost(p - n) for p in logit[labels == 1] for n in logit[labels == 0]]))


def one_vs_rest_pairs(logits: Array, labels: Array) -> float:
    p = special.softmax(logits, 1)
    gaps = [p[labels == c, c][:, None] - p[labels != c, c][None] for c in range(CLASSES)]
    return float(np.mean([np.mean((1 - gap) ** 2) for gap in gaps]))


def falling(logits: Array, labels: Array, rises: list[float]) -> Array:
    """Interpolated between its knots, and as steep as its first segment to the left of them."""
    slopes = np.log1p(np.exp(rises)) / np.mean(np.log1p(np.exp(rises)))
    knots = np.linspace(-4, 4, len(rises) + 1)
    heights = 8 - np.concatenate([[0.0], np.cumsum(slopes) * 8 / len(rises)])
    margin = special.logit(probability(logits, labels))
    return np.interp(margin, knots, heights) + slopes[0] * np.maximum(-4 - margin, 0)


def rising(prediction: Array, target: Array, rises: list[float]) -> Array:
    slopes = np.log1p(np.exp(rises)) / np.mean(np.log1p(np.exp(rises)))
    error = np.abs(prediction - target)
    heights = np.concatenate([[0.0], np.cumsum(slopes) * 3 / len(rises)])
    return np.interp(error, np.linspace(0, 3, len(rises) + 1), heights) + slopes[-1] * np.maximum(error - 3, 0)


def two_layers(output: Array, target: Array, progress: Array, parameters: list[float]) -> Array:
    """Layer by layer; the units are those of Raymond et al. 2023 at β = 10 and γ = 0.01."""
    layers = np.split(np.array(parameters), np.cumsum([120, 40, 1600, 40, 40]))
    x = np.stack([output, target, np.full_like(output, progress)], 1)
    for weights, bias in ((layers[0], layers[1]), (layers[2], layers[3])):
        x = x @ weights.reshape(-1, 40) + bias
        x = (1 - 0.01) / 10 * np.logaddexp(0, 10 * x) + 0.01 * x
    return np.logaddexp(0, x @ layers[4] + layers[5])


def of_odds(logits: Array, labels: Array, progress: Array, parameters: list[float], **_: str) -> Array:
    return two_layers(special.logit(probability(logits, labels)), np.ones(len(labels)), progress, parameters)


def of_numbers(prediction: Array, target: Array, progress: Array, parameters: list[float], **_: str) -> Array:
    return two_layers(prediction, target, progress, parameters)


PARAMETERS = list(np.random.default_rng(5).normal(size=1841) / 5)

RISES = [0.5, -2.0, 3.0, 0.0, -1.0, 1.5]


def soft_counts(p: Array, truth: Array) -> tuple[float, float, float]:
    return (p * truth).sum(), (p * (1 - truth)).sum(), ((1 - p) * truth).sum()


def tversky(logits: Array, labels: Array, alpha: float, beta: float) -> float:
    p = special.softmax(logits, 1)
    counts = [soft_counts(p[:, c], labels == c) for c in range(CLASSES)]
    return 1 - float(np.mean([tp / (tp + alpha * fp + beta * fn) for tp, fp, fn in counts]))


def soft_f_beta(logit: Array, labels: Array, beta: float) -> float:
    tp, fp, fn = soft_counts(special.expit(logit), labels)
    return 1 - (1 + beta**2) * tp / ((1 + beta**2) * tp + beta**2 * fn + fp)


def smooth_precision(logit: Array, labels: Array, temperature: float) -> float:
    """Brown et al. 2020, eq. for AP, sample by sample."""
    above = [[special.expit((j - i) / temperature) for j in logit] for i in logit]
    everyone = range(BATCH)
    share = [
        (1 + sum(above[i][j] for j in everyone if j != i and labels[j]))
        / (1 + sum(above[i][j] for j in everyone if j != i))
        for i in everyone
        if labels[i]
    ]
    return 1 - float(np.mean(share))


def tukey(prediction: Array, target: Array, cutoff: float) -> Array:
    u = np.minimum(np.abs(target - prediction) / cutoff, 1)
    return cutoff**2 / 6 * (1 - (1 - u**2) ** 3)


def relative(prediction: Array, target: Array, zero: Array, power: float, floor: float) -> list[float]:
    """Row by row scikit-learn's share of the target's size, for one power; the floor by hand."""
    rows = zip(prediction - zero, target - zero, strict=True)
    share = [(p, t, metrics.mean_absolute_percentage_error([t], [p])) for p, t in rows]
    return [(s if abs(t) >= floor else abs(p - t) / floor) * max(abs(t), floor) ** (1 - power) for p, t, s in share]


def quasi_poisson(prediction: Array, target: Array, zero: Array, floor: float) -> list[float]:
    """McCullagh and Nelder 1989, eq. 9.4: the integral of (s - y) / V(s), with V(s) = max(s, floor)."""
    rows = zip(prediction - zero, target - zero, strict=True)
    return [quad(lambda s, y=y: (s - y) / max(s, floor), y, m, points=[floor], epsabs=1e-12)[0] for m, y in rows]


def barron(prediction: Array, target: Array, shape: float, log_scale: float) -> Array:
    """Barron 2019, as written in the paper, with the partition function for α = 1: Z = 2 e K_1(1)."""
    assert shape == 0
    scale = 0.001 + np.exp(log_scale)
    return np.sqrt(((target - prediction) / scale) ** 2 + 1) - 1 + np.log(scale * 2 * np.e * special.k1(1))


def early_learning(logits: Array, labels: Array, strength: float, beta: float) -> Array:
    """Liu et al. 2020 at the first batch, as in the authors' code: the target is moved, then used."""
    p = np.clip(special.softmax(logits, 1), 1e-4, 1 - 1e-4)
    target = (1 - beta) * p / p.sum(1, keepdims=True)
    return by_torch(F.cross_entropy, logits, labels) + strength * np.log(1 - (target * p).sum(1))


def self_correction(logits: Array, labels: Array, progress: Array, alpha: float, begin: float) -> Array:
    """Lu and He 2022 at the first batch of an epoch that corrects."""
    p = special.softmax(logits, 1)
    clamped = np.clip(p, 1e-4, 1 - 1e-4)
    target = alpha * np.eye(CLASSES)[labels] + (1 - alpha) * clamped / clamped.sum(1, keepdims=True)
    return -(target * np.log(p)).sum(1)


def small_loss(plain_loss: Array, progress: Array, share: float, over: float, smoothing: float) -> float:
    """Han et al. 2018: the smallest, the last one in part."""
    kept = len(plain_loss) * (1 - share * min(float(progress) / over, 1))
    ordered, whole = np.sort(plain_loss), int(kept)
    return (ordered[:whole].sum() + (kept - whole) * ordered[whole]) / kept


def super_loss(logits: Array, labels: Array, strength: float) -> Array:
    """Castells et al. 2020, eq. 1 to 3, with SciPy's Lambert W; the threshold is a running mean, begun at log C."""
    losses = by_torch(F.cross_entropy, logits, labels)
    threshold = 0.9 * np.log(CLASSES) + 0.1 * losses.mean()
    beta = (losses - threshold) / strength
    lambert = special.lambertw(0.5 * np.maximum(-2 / np.e, beta)).real
    sigma = np.exp(-np.nan_to_num(lambert, nan=-1.0))  # SciPy has none where rounding leads below -1/e
    return (losses - threshold) * sigma + strength * np.log(sigma) ** 2


def learned_noise(logits: Array, labels: Array, level: float) -> Array:
    rho = special.expit(level)
    return -np.log((1 - rho) * probability(logits, labels) + rho / CLASSES)


def seesaw(logits: Array, labels: Array, p: float, q: float) -> Array:
    """Wang et al. 2021 at the first batch, as in the authors' code, in loops."""
    found, scores, counts = [], special.softmax(logits, 1), np.bincount(labels, minlength=CLASSES)
    for z, s, y in zip(logits, scores, labels, strict=True):
        total = 1.0
        for j in range(CLASSES):
            if j != y:
                mitigation = min(1.0, max(counts[j], 1) / max(counts[y], 1)) ** p
                total += mitigation * max(1.0, s[j] / max(s[y], 0.01)) ** q * np.exp(z[j] - z[y])
        found.append(np.log(total))
    return np.array(found)


def auc_margin(
    logit: Array, labels: Array, prior: Array, margin: float, positive: float, negative: float, level: float
) -> Array:
    """Yuan et al. 2021, of each sample, as the loss of LibAUC 1.4 (version 1) averages them."""
    p, h, alpha = prior[1], special.expit(logit), max(level, 0.0)
    of_positives = (1 - p) * (h - positive) ** 2 * (labels == 1) + p * (h - negative) ** 2 * (labels == 0)
    pull = 2 * alpha * (p * (1 - p) * margin + p * h * (labels == 0) - (1 - p) * h * (labels == 1))
    return of_positives + pull - p * (1 - p) * alpha**2


def partial_likelihood(risk: Array, time: Array, event: Array, ties: str) -> float:
    """Cox 1975 and Efron 1977, event by event; torchsurv's numbers are in tests/losses/test_survival_terms.py."""
    total = 0.0
    for own in np.unique(time[event > 0]):
        tied, still = np.exp(risk[(time == own) & (event > 0)]), np.exp(risk[time >= own]).sum()
        taken = np.arange(len(tied)) / len(tied) * (ties == "efron")
        total += np.log(still - taken * tied.sum()).sum() - np.log(tied).sum()
    return total / event.sum()


def hazards_of_bins(hazards: Array, interval: Array, event: Array) -> list[float]:
    """Gensheimer and Narasimhan 2019, eq. 3, row by row."""
    chance, found = special.expit(hazards), []
    for own, place, d in zip(chance, interval, event, strict=True):
        last = int(place)
        found.append(-np.log(1 - own[:last]).sum() - d * np.log(own[last]))
    return found


def wrong_pairs(risk: Array, time: Array, event: Array) -> float:
    outlived = [
        np.log1p(np.exp(risk[j] - risk[i]))
        for i, j in np.ndindex(BATCH, BATCH)
        if event[i] and (time[j] > time[i] or (time[j] == time[i] and not event[j]))
    ]
    return float(np.mean(outlived))


def failure_time(of_log: Any) -> Callable[..., Array]:
    """Density of a log time with the event, else what lies above it, by SciPy."""

    def cost(prediction: Array, target: Array, event: Array, log_scale: float) -> Array:
        spread = of_log(loc=prediction, scale=1e-3 + np.exp(log_scale))
        return -np.where(event > 0, spread.logpdf(target), spread.logsf(target))

    return cost


def between_cuts(score: Array, grade: Array, steps: list[float]) -> Array:
    """McCullagh 1980: the logistic probability between the grade's cuts."""
    rising = np.concatenate(([0.0], np.cumsum(1e-3 + np.log1p(np.exp(steps[1:])))))
    cuts = np.concatenate(([-np.inf], steps[0] + rising - rising[-1] / 2, [np.inf]))
    return -np.log(stats.logistic.cdf(cuts[grade + 1] - score) - stats.logistic.cdf(cuts[grade] - score))


def offset_cuts(score: Array, grade: Array, offsets: list[float]) -> Array:
    """Cao et al. 2020, eq. 4; coral-pytorch's numbers are in tests/losses/test_ordinal_terms.py."""
    beyond, share = grade[:, None] > np.arange(CLASSES - 1), special.expit(score[:, None] + np.array(offsets))
    return -np.log(np.where(beyond, share, 1 - share)).sum(1)


def asked_in_turn(cut_logits: Array, grade: Array) -> list[float]:
    """Shi et al. 2023, eq. 5, row by row."""
    signs = [np.where(y > np.arange(CLASSES - 1), 1, -1)[: y + 1] for y in grade]
    rows = zip(cut_logits, signs, strict=True)
    return [-np.log(special.expit(sign * row[: len(sign)])).sum() for row, sign in rows]


def kappa_of_shares(logits: Array, labels: Array) -> float:
    """de la Torre et al. 2018, eq. 6."""
    p, apart = special.softmax(logits, 1), np.subtract.outer(np.arange(CLASSES), np.arange(CLASSES)) ** 2
    counts = np.bincount(labels, minlength=CLASSES)
    return float((apart[labels] * p).sum() / (counts @ apart @ p.sum(0) / BATCH))


REFERENCE: list[tuple[str, Hyper, Callable[..., Any]]] = [
    ("cross_entropy", {"smoothing": 0.0}, lambda z, y, smoothing: by_torch(F.cross_entropy, z, y)),
    (
        "cross_entropy",
        {"smoothing": 0.2},
        lambda z, y, smoothing: by_torch(F.cross_entropy, z, y, label_smoothing=smoothing),
    ),
    (
        "binary_cross_entropy",
        {"smoothing": 0.2},
        lambda z, y, smoothing: by_torch(F.binary_cross_entropy_with_logits, z, y * 0.8 + 0.1),
    ),
    (
        "cost_sensitive_cross_entropy",
        {"ratio": 5.0},
        lambda z, y, ratio: by_torch(
            F.binary_cross_entropy_with_logits, z, y.astype(float), pos_weight=torch.tensor(ratio)
        ),
    ),
    (
        "weighted_cross_entropy",
        {"power": 1.0},
        lambda z, y, prior, power: by_torch(F.cross_entropy, z, y, weight=torch.from_numpy(1 / (CLASSES * prior))),
    ),
    (
        "weighted_cross_entropy",
        {"power": 0.5},
        lambda z, y, prior, power: (prior**-0.5 / np.sum(prior**0.5))[y] * by_torch(F.cross_entropy, z, y),
    ),
    ("focal", {"gamma": 1.5}, lambda z, y, gamma: -((1 - probability(z, y)) ** gamma) * np.log(probability(z, y))),
    ("poly1", {"epsilon": 2.0}, lambda z, y, epsilon: -np.log(probability(z, y)) + epsilon * (1 - probability(z, y))),
    ("generalised_cross_entropy", {"q": 0.7}, lambda z, y, q: (1 - probability(z, y) ** q) / q),
    ("brier", {}, lambda z, y: ((special.softmax(z, 1) - np.eye(CLASSES)[y]) ** 2).sum(1)),  # Brier 1950, eq. 2
    ("symmetric_cross_entropy", {"alpha": 0.1, "beta": 1.0}, symmetric),
    ("active_passive", {"alpha": 2.0, "beta": 0.5}, active_passive),
    (
        "logit_adjustment",
        {"tau": 1.5},
        lambda z, y, prior, tau: by_torch(F.cross_entropy, z + tau * np.log(prior), y),
    ),
    ("ldam", {"max_margin": 0.5, "sharpness": 3.0}, ldam),
    ("hinge", {}, lambda z, y: by_torch(F.multi_margin_loss, z, y) * CLASSES),
    ("squared_hinge", {}, lambda z, y: by_torch(F.multi_margin_loss, z, y, p=2) * CLASSES),
    ("soft_f1", {}, lambda z, y: tversky(z, y, 0.5, 0.5)),
    ("tversky", {"alpha": 0.3, "beta": 0.7}, tversky),
    ("soft_f_beta", {"beta": 2.0}, soft_f_beta),
    ("pairwise_auc", {"surrogate": "logistic"}, auc_pairs),
    ("pairwise_auc", {"surrogate": "squared_hinge"}, auc_pairs),
    ("one_vs_rest_auc", {}, one_vs_rest_pairs),
    ("smooth_average_precision", {"temperature": 0.5}, smooth_precision),
    ("squared", {}, lambda p, t: by_torch(F.mse_loss, p, t)),
    ("absolute", {}, lambda p, t: by_torch(F.l1_loss, p, t)),
    ("huber", {"delta": 0.7}, lambda p, t, delta: special.huber(delta, t - p)),
    ("log_cosh", {}, lambda p, t: np.log(np.cosh(t - p))),
    (
        "quantile",
        {"quantile": 0.3},
        lambda p, t, quantile: [metrics.mean_pinball_loss([b], [a], alpha=quantile) for a, b in zip(p, t, strict=True)],
    ),
    (
        "asymmetric_squared",
        {"asymmetry": 0.2},
        lambda p, t, asymmetry: np.abs(asymmetry - (t < p)) * (t - p) ** 2,  # Newey and Powell 1987
    ),
    ("tukey_biweight", {"cutoff": 2.0}, tukey),
    ("relative_absolute", {"power": 1.0, "floor": 0.2}, relative),
    ("relative_absolute", {"power": 0.4, "floor": 0.2}, relative),
    ("poisson", {"floor": 0.1}, quasi_poisson),
    ("early_learning", {"strength": 3.0, "beta": 0.7}, early_learning),
    ("self_correction", {"alpha": 0.8, "begin": 0.1}, self_correction),
    ("self_correction", {"alpha": 0.8, "begin": 0.9}, lambda z, y, done, **_: by_torch(F.cross_entropy, z, y)),
    ("temporal_ensembling", {"strength": 3.0, "beta": 0.6}, lambda z, y, **_: by_torch(F.cross_entropy, z, y)),
    ("small_loss", {"share": 0.5, "over": 0.8, "smoothing": 0.5}, small_loss),
    ("super_loss", {"strength": 0.7}, super_loss),
    ("learned_noise", {"level": -0.7}, learned_noise),
    ("flood", {"level": 0.2}, lambda losses, level: abs(losses.mean() - level) + level),
    ("flood", {"level": 2.0}, lambda losses, level: abs(losses.mean() - level) + level),
    ("general_robust", {"shape": 0.0, "log_scale": 0.4}, barron),
    ("recall_weighted", {"decay": 0.9}, lambda z, y, decay: by_torch(F.cross_entropy, z, y)),
    ("seesaw", {"p": 0.8, "q": 2.0}, seesaw),
    ("auc_margin", {"margin": 0.7, "positive": 0.6, "negative": 0.3, "level": 0.4}, auc_margin),
    ("auc_margin", {"margin": 1.0, "positive": 0.6, "negative": 0.3, "level": -0.4}, auc_margin),
    ("point_attention", {"rate": 0.1}, lambda losses, rate: losses),
    ("identify", {"at": 0.3, "factor": 20.0}, lambda z, y, done, **_: by_torch(F.cross_entropy, z, y)),
    ("biased_twin", {"at": 0.6, "q": 0.7}, lambda z, y, done, at, q: (1 - probability(z, y) ** q) / q),
    ("biased_twin", {"at": 0.3, "q": 0.7}, lambda z, y, done, **_: by_torch(F.cross_entropy, z, y) / 2),
    (
        "auto_balance",
        {"shift": [0.5, -1.0, 2.0, 0.0], "stretch": [0.3, 1.0, 2.0, 4.0]},
        lambda z, y, shift, stretch: by_torch(F.cross_entropy, z * np.array(stretch) + np.array(shift), y),
    ),
    (
        "class_temperature",
        {"log_temperature": [-1.0, 0.0, 0.5, 1.5]},
        lambda z, y, log_temperature: by_torch(F.cross_entropy, z / np.exp(log_temperature), y),
    ),
    (
        "class_focal",
        {"gamma": [0.0, 0.5, 2.0, 5.0]},
        lambda z, y, gamma: -((1 - probability(z, y)) ** np.array(gamma)[y]) * np.log(probability(z, y)),
    ),
    ("cox_breslow", {"ties": "efron"}, partial_likelihood),
    ("cox_breslow", {"ties": "breslow"}, partial_likelihood),
    ("discrete_hazard", {}, hazards_of_bins),
    ("one_sided_squared", {}, lambda p, t, d: np.where(d > 0, t - p, np.maximum(t - p, 0)) ** 2),
    ("pairwise_concordance", {}, wrong_pairs),
    ("aft_normal", {"log_scale": 0.3}, failure_time(stats.norm)),
    ("aft_weibull", {"log_scale": 1.0}, failure_time(stats.gumbel_l)),
    ("aft_logistic", {"log_scale": 0.3}, failure_time(stats.logistic)),
    ("cumulative_logit", {"steps": [0.3, -1.0, 2.0]}, between_cuts),
    ("coral", {"offsets": [1.0, 0.2, -0.7]}, offset_cuts),
    ("corn", {}, asked_in_turn),
    (
        "squared_emd",
        {},
        lambda z, y: ((special.softmax(z, 1).cumsum(1) - (y[:, None] <= np.arange(CLASSES))) ** 2).sum(1),
    ),
    ("soft_kappa", {}, kappa_of_shares),
    (
        "curve",
        {f"rise_{place}": rise for place, rise in enumerate(RISES, 1)},
        lambda z, y, **rises: falling(z, y, list(rises.values())),
    ),
    ("learned_curve", {"segments": "6", "rises": RISES}, lambda z, y, segments, rises: falling(z, y, rises)),
    (
        "residual_curve",
        {f"rise_{place}": rise for place, rise in enumerate(RISES, 1)},
        lambda p, t, **rises: rising(p, t, list(rises.values())),
    ),
    ("learned_residual_curve", {"segments": "6", "rises": RISES}, lambda p, t, segments, rises: rising(p, t, rises)),
    ("network", {"array": terms["network"].defaults["array"], "parameters": PARAMETERS}, of_odds),
    ("learned_network", {"parameters": PARAMETERS}, of_odds),
    ("residual_network", {"array": terms["residual_network"].defaults["array"], "parameters": PARAMETERS}, of_numbers),
    ("learned_residual_network", {"parameters": PARAMETERS}, of_numbers),
    (
        "symbolic",
        {"tree": "log(add(1, square(sub(output, target))))"},
        lambda z, goal, tree: np.log(1e-7 + 1 + (probability(z, goal.argmax(1)) - 1) ** 2),
    ),
    *CLASSIC,
    *DISTRIBUTIONS,
    *COUNTS,
    *QUERIES,
]


@pytest.mark.parametrize(("name", "hyper", "oracle"), REFERENCE, ids=[row[0] for row in REFERENCE])
def test_equals_the_reference(name: str, hyper: Hyper, oracle: Callable[..., Any]) -> None:
    given = read(name)
    # the partition function of general_robust is a sum over 65 nodes, good to 1e-6
    tolerance = 1e-6 if name == "general_robust" else 1e-9
    np.testing.assert_allclose(evaluate(name, given, hyper), oracle(*given.values(), **hyper), rtol=tolerance)


def test_every_term_has_a_reference() -> None:
    """Those of groups have theirs in test_fairness_reference.py."""
    assert {row[0] for row in REFERENCE} == {name for name, term in terms.items() if not OF_GROUPS & set(term.reads)}


def test_poisson_above_the_floor_is_half_the_deviance_of_sklearn() -> None:
    mean, count = np.array([0.5, 2.0, 7.0]), np.array([3.0, 2.0, 0.4])
    given = {"prediction": mean - 1.2, "target": count - 1.2, "zero": np.array(-1.2)}
    assert evaluate("poisson", given, {"floor": 0.01}).mean() == pytest.approx(
        metrics.mean_poisson_deviance(count, mean) / 2
    )


def test_binary_hinge_equals_sklearn() -> None:
    given = read("pairwise_auc")
    z, y = given["logit"], given["labels"]
    value = evaluate("hinge", {"logits": np.stack([-z / 2, z / 2], 1), "labels": y}, {}).mean()
    assert value == pytest.approx(metrics.hinge_loss(y, z))


@pytest.mark.parametrize(
    ("name", "hyper", "score"),
    [
        ("soft_f1", {}, lambda y, z: metrics.f1_score(y, z.argmax(1), average="macro")),
        ("tversky", {"alpha": 1.0, "beta": 1.0}, lambda y, z: metrics.jaccard_score(y, z.argmax(1), average="macro")),
        ("soft_f_beta", {"beta": 2.0}, lambda y, z: metrics.fbeta_score(y, z > 0, beta=2)),
        ("smooth_average_precision", {"temperature": 1.0}, metrics.average_precision_score),
    ],
)
def test_saturated_outputs_give_the_metric_of_sklearn(
    name: str, hyper: Hyper, score: Callable[[Array, Array], float]
) -> None:
    given = read(name)
    output = next(iter(given))
    given[output] = given[output] * 1e6
    assert evaluate(name, given, hyper) == pytest.approx(1 - score(given["labels"], given[output]))


def test_best_constant_of_asymmetric_squared_is_the_expectile_of_scipy() -> None:
    target = read("squared")["target"]
    prediction = torch.full((BATCH,), stats.expectile(target, 0.8), dtype=torch.float64, requires_grad=True)
    terms["asymmetric_squared"](prediction, torch.from_numpy(target), asymmetry=torch.tensor(0.8)).sum().backward()
    assert float(prediction.grad.sum()) == pytest.approx(0, abs=1e-5)
