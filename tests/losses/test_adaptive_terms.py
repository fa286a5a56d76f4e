"""Terms and weightings that change while they train, against plain loops over batches and against SciPy's optima."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import Tensor

from losssearch.data.batch import Sizes
from losssearch.export.facts import LossFacts
from losssearch.export.source import loss_source
from losssearch.losses.compose import ComposedLoss, compose
from losssearch.losses.composed_states import read_states, write_states
from losssearch.losses.part import next_states
from losssearch.losses.spec import LossSpec

ROWS, CLASSES = 30, 3


def batches(count: int, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    source = torch.Generator().manual_seed(seed)
    shares = torch.tensor([0.7, 0.2, 0.1])
    return [
        (2 * torch.randn(ROWS, CLASSES, generator=source), torch.multinomial(shares, ROWS, True, generator=source))
        for _ in range(count)
    ]


def test_recall_is_that_of_the_window_in_a_plain_loop() -> None:
    loss = compose({"parts": [{"term": "recall_weighted", "decay": 0.8}]}, classes=CLASSES)
    hits, seen = np.zeros(CLASSES), np.zeros(CLASSES)
    for logits, labels in batches(12):
        weight = 1 - np.divide(hits, seen, out=np.zeros(CLASSES), where=seen > 0)
        each = torch.nn.functional.cross_entropy(logits, labels, reduction="none").numpy()
        assert float(loss(logits, labels)) == pytest.approx((weight[labels] * each).mean(), rel=1e-5)
        right = (logits.argmax(1) == labels).numpy()
        hits, seen = 0.8 * hits, 0.8 * seen
        for label, hit in zip(labels.tolist(), right, strict=True):
            hits[label] += hit
            seen[label] += 1
    assert 0 < hits.min() / seen.min() < 1


def test_seesaw_counts_the_labels_of_all_batches() -> None:
    loss, counts = compose({"parts": [{"term": "seesaw", "p": 0.8, "q": 2.0}]}, classes=CLASSES), np.zeros(CLASSES)
    for logits, labels in batches(5):
        counts += np.bincount(labels, minlength=CLASSES)
        expected = 0.0
        for z, y in zip(logits.double(), labels.tolist(), strict=True):
            s = torch.softmax(z, 0)
            others = [
                min(1, counts[j] / counts[y]) ** 0.8
                * max(1, float(s[j] / max(s[y], 0.01))) ** 2
                * np.exp(float(z[j] - z[y]))
                for j in range(CLASSES)
                if j != y
            ]
            expected += float(np.log(1 + sum(others))) / ROWS
        assert float(loss(logits, labels)) == pytest.approx(expected, rel=1e-5)


def test_the_min_max_problem_has_the_solution_of_its_formula() -> None:
    """At fixed scores: a and b are the mean scores, α the margin less their difference; 0 where the margin is met."""
    source = torch.Generator().manual_seed(0)
    labels = (torch.arange(200) % 4 == 0).long()
    for shift in (0.5, 8.0):
        logit = torch.randn(200, generator=source) + shift * (2 * labels - 1)
        loss = compose({"parts": [{"term": "auc_margin", "margin": 0.6}]}, class_prior=torch.tensor([0.75, 0.25]))
        optimiser = torch.optim.Adam(loss.parameters(), lr=0.05)
        for _ in range(250):
            optimiser.zero_grad()
            loss(logit, labels).backward()
            optimiser.step()
        h = torch.sigmoid(logit)
        means = float(h[labels == 1].mean()), float(h[labels == 0].mean())
        found = {name: float(value.detach()) for name, value in loss.learned.items()}
        assert (found["0_positive"], found["0_negative"]) == pytest.approx(means, abs=1e-3)
        assert max(found["0_level"], 0.0) == pytest.approx(max(0.6 - means[0] + means[1], 0.0), abs=2e-3)
        value = float(loss(logit, labels).detach())
        # E over pairs of (m - h + h')² with the best variables, less what does not depend on the margin
        spread = [float(h[labels == c].var(unbiased=False)) for c in (1, 0)]
        gap = max(0.6 - means[0] + means[1], 0.0)
        assert value == pytest.approx(0.1875 * (sum(spread) + gap**2), abs=1e-4)


def test_points_that_stay_wrong_get_more_attention() -> None:
    loss = compose({"parts": [{"term": "squared"}, {"term": "point_attention", "rate": 0.05}]}, rows=4)
    output, target, index = torch.tensor([0.0, 1.0]), torch.tensor([2.0, 1.5]), torch.tensor([3, 1])
    multipliers = np.ones(4)
    for _ in range(4):
        each = np.array([4.0, 0.25])
        weight = multipliers[[3, 1]] ** 2
        expected = 0.5 * each.mean() + 0.5 * (weight / weight.mean() * each).mean()
        assert float(loss(output, target, index=index)) == pytest.approx(expected, rel=1e-5)
        multipliers[[3, 1]] += 0.05 * 2 * multipliers[[3, 1]] * each
    assert multipliers[3] > multipliers[1] > multipliers[0] == 1


CENTRES = torch.tensor([[0.0, 0.0], [2.0, 1.0]])
"""Of two quadratics of one point: the mean squared distances of 2 outputs to either target."""


def quadratics(x: Any) -> tuple[float, float]:
    point = np.asarray(x)
    one, two = (float(((point - centre.numpy()) ** 2).mean()) for centre in CENTRES)
    return one + 1.0, 3 * two + 1.0


class Quadratics(torch.nn.Module):
    """The balance of a loss, applied to the two quadratics."""

    def __init__(self, balance: dict[str, Any]) -> None:
        super().__init__()
        self.loss = ComposedLoss.of_facts(
            compose({"parts": [{"term": "squared"}, {"term": "absolute"}], "balance": balance}).spec, {}, Sizes(0)
        )

    def forward(self, point: Tensor) -> Tensor:
        values = ((point - CENTRES[0]).square().mean() + 1.0, 3 * (point - CENTRES[1]).square().mean() + 1.0)
        return self.loss._balanced(values, point, torch.zeros(()), self._numbers())

    def _numbers(self) -> Any:
        return iter([torch.tensor(float(number)) for _, number in self.loss.spec.balance.numbers])


def descended(balance: dict[str, Any], steps: int = 600) -> np.ndarray:
    loss, point = Quadratics(balance), torch.tensor([1.5, -0.5], requires_grad=True)
    for step in range(steps):
        (slope,) = torch.autograd.grad(loss(point), point)
        with torch.no_grad():
            point -= 0.3 * (1 - 0.9 * step / steps) * slope
    return point.detach().numpy()


def test_famo_finds_the_optimum_of_the_logarithms() -> None:
    """Where it stands still, its weights are even: the sum of logarithms, whose optimum SciPy gives."""
    expected = optimize.minimize(lambda x: np.log(quadratics(x)).sum(), [1.0, 0.5], tol=1e-10).x
    found = descended({"famo": {"rate": 0.5, "decay": 0.01}})
    np.testing.assert_allclose(found, expected, atol=2e-3)
    plain = optimize.minimize(lambda x: sum(quadratics(x)), [1.0, 0.5], tol=1e-10).x
    assert np.abs(expected - plain).max() > 0.05


@pytest.mark.parametrize("decay", [0.5, 0.9])
def test_relobralo_finds_the_fixed_point_of_its_weights(decay: float) -> None:
    """Without a look at its own history: ``decay`` times the softmax since the start, plus ``1 - decay`` times one."""
    start = np.array(quadratics([1.5, -0.5]))

    def residual(x: np.ndarray) -> np.ndarray:
        left = np.array(quadratics(x)) / start
        weights = decay * 2 * np.exp(left) / np.exp(left).sum() + (1 - decay)
        slopes = [2 * factor * (x - centre.numpy()) / 2 for factor, centre in zip((1, 3), CENTRES, strict=True)]
        return weights[0] * slopes[0] + weights[1] * slopes[1]

    expected = optimize.root(residual, [1.0, 0.5], tol=1e-12).x
    found = descended({"relobralo": {"temperature": 1.0, "decay": decay, "lookback": 0.0}})
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_multiplier_keeps_its_part_at_the_limit() -> None:
    """The smallest squared error to one target with a mean absolute error to another of at most 0.6, by SciPy."""
    weight = {"weighting": "multiplier", "limit": 0.6, "rate": 0.05}
    loss = compose({"parts": [{"term": "squared"}, {"term": "log_cosh", "weight": weight, "scale": 2.0}]})
    point, targets = torch.zeros(2, requires_grad=True), torch.tensor([[0.0, 0.0], [3.0, 1.0]])
    part = next(place for place, own in enumerate(loss.spec.parts) if own.name == "log_cosh")
    prepared = loss._parts
    for _ in range(1200):
        total = torch.zeros(())
        for place, own in enumerate(prepared):
            numbers = own.own_numbers(iter([torch.tensor(v) for v in own.tensors.values()]))
            states = read_states(loss, loss.learned, loss._kept[place], point, None) if own.states else {}
            named = {
                "prediction": point,
                "target": targets[1 if place == part else 0],
                "progress": torch.zeros(()),
            }
            total = total + own.value(named, numbers, states)
            if own.follows:
                with torch.no_grad():
                    write_states(loss, loss._kept[place], next_states(own.part, named, numbers, states), None)
        (slope,) = torch.autograd.grad(total, point)
        with torch.no_grad():
            point -= 0.05 * slope
    limited = {"type": "ineq", "fun": lambda x: 0.6 - np.log(np.cosh(x - targets[1].numpy())).mean()}
    best = optimize.minimize(lambda x: (x**2).mean(), [1.0, 1.0], constraints=[limited], tol=1e-10)
    np.testing.assert_allclose(point.detach().numpy(), best.x, atol=5e-3)
    assert float(loss.get_buffer(f"dual_{part}")) > 0.1


MULTIPLIED = {"weighting": "multiplier", "limit": 0.3}
LOSSES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "recall_weighted": ("multiclass", [{"term": "recall_weighted"}]),
    "seesaw": ("multiclass", [{"term": "seesaw"}, {"term": "cross_entropy", "weight": MULTIPLIED, "scale": 2.0}]),
    "auc_margin": ("binary", [{"term": "auc_margin"}]),
    "point_attention": ("regression", [{"term": "point_attention"}, {"term": "huber"}]),
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_exported_loss_is_the_searched_one_with_its_states(name: str, tmp_path: Path) -> None:
    """Over 50 batches, weighed and not."""
    task, parts = LOSSES[name]
    classes, spec = {"multiclass": 3, "binary": 2, "regression": 0}[task], LossSpec.from_json({"parts": parts})
    prior = tuple([1 / classes] * classes) if classes else None
    facts = LossFacts(spec, task, **({"classes": classes, "class_prior": prior} if classes else {}))
    namespace: dict[str, Any] = {"__name__": "loss"}
    exec(compile(loss_source(facts), "loss.py", "exec"), namespace)
    by_row, source = name == "point_attention", torch.Generator().manual_seed(0)
    exported, searched = (
        namespace["Loss"](**({"rows": 40} if by_row else {})),
        compose(
            spec, class_prior=None if prior is None else torch.tensor(prior), classes=classes or None, rows=40 * by_row
        ),
    )
    for step in range(50):
        shape = (12, 3) if classes == 3 else (12,)
        output = torch.randn(shape, generator=source)
        target = torch.randint(classes, (12,), generator=source) if classes else torch.randn(12, generator=source)
        index = torch.randperm(40, generator=source)[:12]
        weight = {"weight": torch.rand(12, generator=source)} if step % 2 else {}
        ours = exported(output, target, *([index] if by_row else []), **weight)
        theirs = searched(output, target, **weight, **({"index": index} if by_row else {}))
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)
