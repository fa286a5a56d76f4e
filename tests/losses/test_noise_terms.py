"""Targets by row, over several epochs with shuffled rows; the oracles are the papers' formulas in plain loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import lambertw, softmax

from losssearch.data.batch import Sizes
from losssearch.data.replicas import Replicas
from losssearch.errors import SpecError
from losssearch.export.facts import LossFacts
from losssearch.export.source import loss_source
from losssearch.losses.carried import table_bytes, table_type
from losssearch.losses.compose import compose
from losssearch.losses.kept import kept_states
from losssearch.losses.noise.selection import confidence, lambert_w
from losssearch.losses.population import PopulationLoss
from losssearch.losses.spec import LossSpec
from losssearch.models import build_model
from losssearch.study.proposing.screening import Screen
from losssearch.training.boosting.objective import Objective
from losssearch.training.boosting.pieces import pieces_of

ROWS, BATCH, CLASSES, EPOCHS = 30, 10, 4, 3
Array = np.ndarray
Looped = Callable[[Array, Array, list[Array]], list[float]]


def early_learning(logits: Array, labels: Array, batches: list[Array], strength: float, beta: float) -> list[float]:
    """Liu et al. 2020 as the authors' code has it, sample by sample: the target moves before it is used."""
    target, found = np.zeros((ROWS, CLASSES)), []
    for step, batch in enumerate(batches):
        losses = []
        for place, row in enumerate(batch):
            z = logits[step, place]
            p = softmax(z)
            clamped = np.clip(p, 1e-4, 1 - 1e-4)
            target[row] = beta * target[row] + (1 - beta) * clamped / clamped.sum()
            losses.append(-np.log(p[labels[row]]) + strength * np.log(1 - target[row] @ clamped))
        found.append(float(np.mean(losses)))
    return found


def self_correction(logits: Array, labels: Array, batches: list[Array], alpha: float, begin: float) -> list[float]:
    """Lu and He 2022 in plain loops: cross-entropy first, then the target moves before it is used."""
    target, found = np.eye(CLASSES)[labels], []
    for step, batch in enumerate(batches):
        losses = []
        for place, row in enumerate(batch):
            p = softmax(logits[step, place])
            clamped = np.clip(p, 1e-4, 1 - 1e-4)
            if step / len(batches) >= begin:
                target[row] = alpha * target[row] + (1 - alpha) * clamped / clamped.sum()
            losses.append(-target[row] @ np.log(p))
        found.append(float(np.mean(losses)))
    return found


def temporal_ensembling(
    logits: Array, labels: Array, batches: list[Array], strength: float, beta: float
) -> list[float]:
    """Laine and Aila 2017, algorithm 2, in plain loops; the start bias is divided out."""
    mean, times, found = np.zeros((ROWS, CLASSES)), np.zeros(ROWS), []
    for step, batch in enumerate(batches):
        losses = []
        for place, row in enumerate(batch):
            p = softmax(logits[step, place])
            apart = p - mean[row] / (1 - beta ** times[row]) if times[row] else np.zeros(CLASSES)
            losses.append(-np.log(p[labels[row]]) + strength * (apart**2).sum())
            mean[row] = beta * mean[row] + (1 - beta) * p
            times[row] += 1
        found.append(float(np.mean(losses)))
    return found


def small_loss(
    logits: Array, labels: Array, batches: list[Array], share: float, over: float, smoothing: float
) -> list[float]:
    """Rows by the mean of their losses so far, in plain loops; the smallest of the batch are kept."""
    past: dict[int, list[float]] = {}
    found = []
    for step, batch in enumerate(batches):
        losses = [-np.log(softmax(logits[step, place])[labels[row]]) for place, row in enumerate(batch)]
        running = []
        for row, loss in zip(batch, losses, strict=True):
            past.setdefault(row, []).insert(0, loss)
            running.append(np.average(past[row], weights=smoothing ** np.arange(len(past[row]))))
        left = len(batch) * (1 - share * min(step / len(batches) / over, 1))
        total, kept = 0.0, left
        for place in np.argsort(running):
            total += min(1.0, max(left, 0.0)) * losses[place]
            left -= 1
        found.append(float(total / kept))
    return found


CASES: list[tuple[str, dict[str, float], Looped]] = [
    (
        "early_learning",
        {"strength": strength, "beta": beta},
        lambda z, y, b, strength=strength, beta=beta: early_learning(z, y, b, strength, beta),
    )
    for strength, beta in ((3.0, 0.7), (12.0, 0.9))
] + [
    ("self_correction", {"alpha": 0.9, "begin": 0.4}, lambda z, y, b: self_correction(z, y, b, 0.9, 0.4)),
    ("temporal_ensembling", {"strength": 4.0, "beta": 0.6}, lambda z, y, b: temporal_ensembling(z, y, b, 4.0, 0.6)),
    ("small_loss", {"share": 0.4, "over": 0.5}, lambda z, y, b: small_loss(z, y, b, 0.4, 0.5, 0.0)),
    (
        "small_loss",
        {"share": 0.4, "over": 0.5, "smoothing": 0.7},
        lambda z, y, b: small_loss(z, y, b, 0.4, 0.5, 0.7),
    ),
]


def epochs(seed: int = 0) -> tuple[Array, Array, list[Array]]:
    """Logits of every batch, saturated ones among them, labels of all rows, and the rows of every batch."""
    random = np.random.default_rng(seed)
    batches = [batch for _ in range(EPOCHS) for batch in np.split(random.permutation(ROWS), ROWS // BATCH)]
    logits = random.normal(size=(len(batches), BATCH, CLASSES)) * 3
    logits[:, 0, 1] += 40
    return logits, random.integers(CLASSES, size=ROWS), batches


@pytest.mark.parametrize(("name", "hyper", "looped"), CASES, ids=[case[0] for case in CASES])
def test_the_composed_loss_is_the_formula_in_plain_loops(name: str, hyper: dict[str, float], looped: Looped) -> None:
    logits, labels, batches = epochs()
    loss = compose({"parts": [{"term": name, **hyper}]}, classes=CLASSES, rows=ROWS).double()
    found = []
    for step, batch in enumerate(batches):
        target, index = torch.from_numpy(labels[batch]), torch.from_numpy(batch)
        done = step / len(batches)
        found.append(float(loss(torch.from_numpy(logits[step]), target, index=index, progress=done)))
    np.testing.assert_allclose(found, looped(logits, labels, batches), rtol=1e-6)


@pytest.mark.parametrize(("name", "hyper", "looped"), CASES, ids=[case[0] for case in CASES])
def test_and_so_is_a_population(name: str, hyper: dict[str, float], looped: Looped) -> None:
    """Two replicas with rows of their own, in a population with a member that keeps nothing."""
    drawn = [epochs(seed) for seed in range(2)]
    specs = [{"term": "focal"}, {"term": name, **hyper}]
    population = PopulationLoss(
        [LossSpec.from_json({"parts": [spec]}) for spec in specs], sizes=Sizes(CLASSES, rows=ROWS)
    )
    states, found = population.start([0, 1]), []
    learned = population.start_learned([0, 1])
    assert [own.shape[:3] for own in states] == [(2, 1, ROWS)]
    steps = len(drawn[0][2])
    for step in range(steps):
        outputs = torch.stack([torch.from_numpy(own[0][step]).float().expand(2, -1, -1) for own in drawn])
        batch = {
            "target": torch.stack([torch.from_numpy(own[1][own[2][step]]) for own in drawn]),
            "index": torch.stack([torch.from_numpy(own[2][step]) for own in drawn]),
        }
        found.append(population(outputs, batch, {}, learned, step / steps, states=states)[:, 1])
        _, _, after = population.slopes(outputs, batch, {}, learned, step / steps, states=states)
        states = population.carried(states, after, batch)
    expected = np.array([looped(*own) for own in drawn])
    np.testing.assert_allclose(torch.stack(found, 1).numpy(), expected, rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("index", "rule"),
    [
        (None, "give the numbers of the samples, index="),
        ([0, 1, 1], "each training row once in a batch, got row 1 again"),
        ([0, 1, 5], "below the number of training rows, rows=5; got 5"),
        ([0, -1, 2], "counts the training rows from 0, got -1"),
        ([0, 1], "one whole number for each of the 3 samples"),
        ([0.0, 1.0, 2.0], "one whole number for each of the 3 samples"),
    ],
)
def test_numbers_of_rows_that_are_none_are_refused_in_one_line(index: list[int] | None, rule: str) -> None:
    """By the composed loss and by the exported one; neither remembers anything of the batch."""
    spec = {"parts": [{"term": "early_learning"}]}
    exported: dict[str, Any] = {"__name__": "loss"}
    exec(compile(loss_source(LossFacts(LossSpec.from_json(spec), "binary")), "loss.py", "exec"), exported)
    for loss in (compose(spec, rows=5), exported["Loss"](rows=5)):
        given = None if index is None else torch.tensor(index)
        with pytest.raises((SpecError, ValueError), match=rule) as caught:
            loss(torch.zeros(3), torch.tensor([0, 1, 1]), index=given)
        assert "\n" not in str(caught.value)
        assert all(not value.any() for value in loss.buffers())


def test_trees_move_what_they_keep_once_an_iteration() -> None:
    scores, labels = np.random.default_rng(0).normal(size=(4, 9)), torch.arange(9) % 2
    spec = LossSpec.from_json({"parts": [{"term": "early_learning", "beta": 0.8}]})
    (piece,) = pieces_of(spec, {}, Sizes(2, rows=9))
    objective, expected = Objective([piece], {"target": labels}, classes=2, rounds=4), np.zeros((9, 2))
    assert piece.kind == "bent"
    for row in scores:
        objective(row)
        p = np.clip(softmax(np.stack((-row / 2, row / 2), 1), 1), 1e-4, 1 - 1e-4)
        expected = 0.8 * expected + 0.2 * p / p.sum(1, keepdims=True)
    np.testing.assert_allclose(piece.loss.get_buffer("kept_0").numpy(), expected, rtol=1e-6)


def test_a_table_is_smaller_where_it_would_be_large_whatever_the_population() -> None:
    spec = LossSpec.from_json({"parts": [{"term": "early_learning"}]})
    (small,) = kept_states(spec, Sizes(10, rows=100_000))
    (large,) = kept_states(spec, Sizes(10, rows=110_000))
    assert (table_type(small), table_bytes(small)) == (torch.float32, 4_000_000)
    assert (table_type(large), table_bytes(large)) == (torch.bfloat16, 2_200_000)


def test_lambert_w_is_that_of_scipy() -> None:
    far = torch.logspace(-12, 12, 2000, dtype=torch.float64)
    y = torch.cat((-1 / math.e + far[far < 0.36], torch.linspace(-1 / math.e, 3, 5000).double(), far))
    expected = torch.from_numpy(lambertw(y.numpy()).real)
    torch.testing.assert_close(lambert_w(y), expected, rtol=1e-7, atol=2e-8)
    torch.testing.assert_close(lambert_w(y.float()).double(), expected, rtol=1e-4, atol=2e-3)


def test_the_weight_of_super_loss_is_the_best_one() -> None:
    """It minimises ``(ℓ - τ) σ + λ (log σ)²``, by SciPy's minimiser over log σ; its ends are -2/e and far above."""
    for excess in (-0.7, -0.2, 0.0, 0.5, 4.0):
        value = minimize_scalar(lambda s, excess=excess: excess * np.exp(s) + s**2, bounds=(-3, 1), method="bounded").x
        found = confidence(torch.tensor([excess], dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64))
        assert float(found.log()) == pytest.approx(value, abs=1e-4)


def test_what_would_not_fit_is_told_and_not_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("losssearch.losses.composed_states.memory", lambda: 1_000_000)
    spec = {"parts": [{"term": "early_learning"}]}
    compose(spec, rows=31_250)
    with pytest.raises(
        SpecError, match=r"quarter of the memory, 1 MB in all; this one would take 8 GB for rows=10{9}$"
    ):
        compose(spec, rows=1_000_000_000)


def test_a_candidate_whose_memory_would_not_fit_is_screened_out(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(1, 400, 3, generator=draw)
    target = (features[..., 0] > 0).long()
    part = {"features": features, "target": target}
    replicas = Replicas(part, part, facts={"class_prior": torch.full((1, 2), 0.5)}, seeds=(0,), classes=2)
    screen = Screen(build_model("linear", 3, 1), replicas, "accuracy", "binary")
    specs = [LossSpec.from_json({"parts": [{"term": name}]}) for name in ("early_learning", "focal")]
    assert [found.reason for found in screen(specs)] == ["", ""]
    monkeypatch.setattr("losssearch.study.proposing.screening.memory", lambda: 40_000)
    kept, plain = screen(specs)
    assert kept.reason.startswith("what it keeps for each of 400 training rows would take 12.8 kB, more than a quarter")
    assert not plain.reason
