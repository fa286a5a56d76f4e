"""Targets by row, over several epochs with shuffled rows; the oracles are the papers' formulas in plain loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax

from losssearch.data.batch import Sizes
from losssearch.errors import SpecError
from losssearch.export.facts import LossFacts
from losssearch.export.source import loss_source
from losssearch.losses.carried import table_bytes, table_type
from losssearch.losses.compose import compose
from losssearch.losses.kept import kept_states
from losssearch.losses.population import PopulationLoss
from losssearch.losses.spec import LossSpec
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


CASES: list[tuple[str, dict[str, float], Looped]] = [
    (
        "early_learning",
        {"strength": strength, "beta": beta},
        lambda z, y, b, strength=strength, beta=beta: early_learning(z, y, b, strength, beta),
    )
    for strength, beta in ((3.0, 0.7), (12.0, 0.9))
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
    """Two replicas with rows of their own, beside a member that keeps nothing."""
    drawn = [epochs(seed) for seed in range(2)]
    specs = [{"term": "focal"}, {"term": name, **hyper}]
    population = PopulationLoss(
        [LossSpec.from_json({"parts": [spec]}) for spec in specs], sizes=Sizes(CLASSES, rows=ROWS)
    )
    states, found = population.start([0, 1]), []
    learned = population.start_learned([0, 1])
    assert [tuple(own.shape) for own in states] == [(2, 1, ROWS, CLASSES)]
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
