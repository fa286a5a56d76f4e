"""Differentially private training: clipping, noise, the accountant's promise, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from losssearch.errors import OptionError
from losssearch.losses.spec import LossSpec
from losssearch.models import build_model
from losssearch.training.private import Privacy, _clipped_sum, require_per_sample, train_privately

pytest.importorskip("opacus", reason="the extra `private` is not installed")

PLAIN = LossSpec.from_json({"parts": [{"term": "binary_cross_entropy"}]})


def _rows(count: int = 600) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(count, 4, generator=generator)
    return {"features": features, "target": (features[:, 0] > 0).long()}


def _accuracy(epsilon: float) -> float:
    rows = _rows()
    model = build_model("linear", 4, 1)
    fit = train_privately(model, PLAIN, rows, {}, Privacy(epsilon), epochs=20, batch_size=100, rate=0.05, seed=1)
    stacked = {name: value[None, None] for name, value in fit.parameters.items()}
    outputs = model.forward(stacked, {}, rows["features"][None], training=False, seed=0)[0, 0]
    return float(((outputs > 0).long() == rows["target"]).float().mean())


def test_the_promise_is_kept_and_used_up() -> None:
    model = build_model("linear", 4, 1)
    fit = train_privately(model, PLAIN, _rows(), {}, Privacy(3.0), epochs=3, batch_size=60, rate=0.05, seed=0)
    assert 2.5 < fit.epsilon <= 3.0
    assert fit.steps == 30
    assert fit.sample_rate == pytest.approx(0.1)


def test_a_loss_relative_to_the_target_is_given_its_zero() -> None:
    features = _rows(120)["features"]
    spec = LossSpec.from_json({"parts": [{"term": "poisson"}, {"term": "relative_absolute"}]})
    one, other = (
        train_privately(
            build_model("linear", 4, 1),
            spec,
            {"features": features, "target": features[:, 0]},
            {"zero": torch.tensor(zero)},
            Privacy(20.0),
            epochs=2,
            batch_size=60,
            rate=0.05,
            seed=0,
        )
        for zero in (-1.0, -4.0)
    )
    assert any(not torch.equal(one.parameters[name], other.parameters[name]) for name in one.parameters)
    assert all(value.isfinite().all() for value in one.parameters.values())


def test_more_privacy_costs_more_accuracy() -> None:
    assert _accuracy(20.0) > 0.93
    assert _accuracy(0.2) < _accuracy(20.0)


def test_no_sample_moves_the_sum_by_more_than_the_clip() -> None:
    gradients = {"w": torch.tensor([[30.0, 40.0], [0.3, 0.4], [float("nan"), 1.0]])}
    torch.testing.assert_close(_clipped_sum(gradients, 1.0)["w"], torch.tensor([0.6 + 0.3, 0.8 + 0.4]))


def test_noise_differs_between_calls_without_a_seed() -> None:
    rows = _rows(120)
    model = build_model("linear", 4, 1)
    fits = [train_privately(model, PLAIN, rows, {}, Privacy(3.0), epochs=1, batch_size=60, rate=0.05) for _ in range(2)]
    assert not torch.equal(fits[0].parameters["weight0"], fits[1].parameters["weight0"])


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ({"term": "soft_f1"}, "one value per batch"),
        ({"term": "binary_cross_entropy", "reduction": {"cvar": 0.5}}, "is reduced by cvar"),
        ({"term": "binary_cross_entropy", "weight": {"learned": "uncertainty"}}, "keeps states of its own"),
    ],
)
def test_a_loss_over_batches_is_refused(part: dict[str, object], reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        require_per_sample(LossSpec.from_json({"parts": [part]}))


@pytest.mark.parametrize("wrong", [{"epsilon": 0.0}, {"epsilon": 1.0, "delta": 1.0}, {"epsilon": 1.0, "clip": 0.0}])
def test_a_promise_must_be_one(wrong: dict[str, float]) -> None:
    with pytest.raises(OptionError):
        Privacy(**wrong)
