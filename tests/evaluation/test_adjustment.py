"""What is tuned after training is the optimum, found here by slower means."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from losssearch.evaluation import Metric, evaluate, fit_adjustment, get_metric
from losssearch.evaluation.prior_shift import HIGH, LOW, POINTS

DECISIONS = ["accuracy", "balanced_accuracy", "f1", "mcc", "cost(fp=1,fn=5)", "cost(fp=3,fn=0)"]
SCORES = {
    "continuous": lambda z: z,
    "tied": lambda z: z.round(),
    "constant": lambda z: torch.full_like(z, -2.5),
    "huge": lambda z: z * 1e30,
    "tiny": lambda z: z * 1e-42,
    "float64": lambda z: z.double(),
    "half": lambda z: z.half(),
}


def _cuts(scores: Tensor) -> list[float]:
    """A threshold in every gap between distinct scores, one below and one above all."""
    distinct = scores.double().unique()
    middles = (distinct[1:] + distinct[:-1]) / 2
    return [float(distinct[0]) - 1 - abs(float(distinct[0])), *middles.tolist(), float(distinct[-1])]


@pytest.mark.parametrize("rows", [1, 2, 60])
@pytest.mark.parametrize("shape", SCORES)
@pytest.mark.parametrize("name", DECISIONS)
def test_a_threshold_is_the_best_of_all_cuts(name: str, shape: str, rows: int) -> None:
    metric = get_metric(name, "binary")
    generator = torch.Generator().manual_seed(rows)
    target = (torch.rand(4, rows, generator=generator) < 0.3).long()
    scores = SCORES[shape](torch.randn(4, rows, generator=generator) + target)
    values, adjustment = evaluate(metric, scores, target, tuned=True)
    for k in range(4):
        above = torch.stack([scores[k].double() > cut for cut in _cuts(scores[k])]).double() - 0.5
        best = metric.utility(metric(above, target[k])).max()
        assert metric.utility(values[k]).item() == pytest.approx(best.item(), abs=1e-12)
        assert math.isfinite(adjustment.parameter[k])


def test_a_threshold_lies_midway_between_the_scores_that_it_parts() -> None:
    scores, target = torch.tensor([-3.0, -1.0, 0.5, 2.0]), torch.tensor([0, 0, 1, 1])
    assert fit_adjustment(get_metric("f1", "binary"), scores, target).parameter.item() == -0.25


def test_of_equally_good_thresholds_the_middle_one_is_taken() -> None:
    # Three cuts accept nothing but negatives less or more: with free false positives, all below the positive are best.
    scores, target = torch.tensor([-4.0, -3.0, -1.0, 2.0]), torch.tensor([0, 0, 0, 1])
    fitted = fit_adjustment(get_metric("cost(fp=0,fn=1)", "binary"), scores, target)
    assert fitted.parameter.item() == -2.0


def test_a_threshold_between_adjacent_numbers_still_parts_them() -> None:
    # the midpoint of these two rounds up to the higher one
    low = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0))
    high = torch.nextafter(low, torch.tensor(2.0))
    outputs, target = torch.stack([low, high]), torch.tensor([0, 1])
    value, adjustment = evaluate(get_metric("accuracy", "binary"), outputs, target, tuned=True)
    assert value.item() == 1.0
    assert (adjustment.apply(outputs) > 0).tolist() == [False, True]


def _tempered(metric: Metric, logits: Tensor, target: Tensor) -> float:
    found = minimize_scalar(
        lambda x: float(metric(logits.double() / math.exp(x), target)),
        bounds=(-3, 3),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(found.x)


@pytest.mark.parametrize("name", ["log_loss", "brier", "ece"])
@pytest.mark.parametrize("scale", [0.3, 1.0, 6.0])
def test_a_binary_temperature_is_that_of_a_scalar_minimiser(name: str, scale: float) -> None:
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(3, 400, generator=generator)
    target = (torch.rand(3, 400, generator=generator) < logits.sigmoid()).long()
    fitted = fit_adjustment(get_metric(name, "binary"), logits * scale, target)
    # a temperature for ece is that of the log loss
    objective = get_metric("log_loss" if name == "ece" else name, "binary")
    for k in range(3):
        expected = _tempered(objective, logits[k] * scale, target[k])
        assert math.log(fitted.parameter[k]) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("name", ["log_loss", "ece"])
@pytest.mark.parametrize("scale", [0.3, 6.0])
def test_a_multiclass_temperature_is_that_of_a_scalar_minimiser(name: str, scale: float) -> None:
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(3, 300, 5, generator=generator) + 3
    target = torch.stack([torch.multinomial(z.softmax(-1), 1, generator=generator).squeeze(1) for z in logits])
    fitted = fit_adjustment(get_metric(name, "multiclass"), logits * scale, target)
    for k in range(3):
        expected = _tempered(get_metric("log_loss", "multiclass"), logits[k] * scale, target[k])
        assert math.log(fitted.parameter[k]) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("name", ["log_loss", "brier"])
def test_a_temperature_stays_in_its_range(name: str) -> None:
    target = torch.tensor([0, 1, 0, 1])
    right = target * 2.0 - 1
    fitted = fit_adjustment(get_metric(name, "binary"), torch.stack([right, -right, 0 * right]), target)
    assert fitted.parameter[0].log().item() == pytest.approx(-3, abs=1e-2)
    assert fitted.parameter[1].log().item() == pytest.approx(3, abs=1e-2)
    assert fitted.parameter[2].log().abs().item() <= 3 + 1e-9


@pytest.mark.parametrize("name", ["balanced_accuracy", "macro_f1", "worst_class_recall"])
@pytest.mark.parametrize("logits_kind", ["continuous", "tied"])
@pytest.mark.parametrize("prior", [[0.6, 0.2, 0.15, 0.05], [0.4, 0.4, 0.1, 0.1], [0.25] * 4, [0.7, 0.3, 0.0, 0.0]])
def test_a_prior_shift_is_the_best_of_its_grid(name: str, logits_kind: str, prior: list[float]) -> None:
    metric = get_metric(name, "multiclass")
    generator = torch.Generator().manual_seed(8)
    class_prior = torch.tensor(prior, dtype=torch.float64)
    target = torch.multinomial(torch.tensor([0.6, 0.2, 0.15, 0.05]), 240, True, generator=generator).reshape(3, 80)
    logits = torch.randn(3, 80, 4, dtype=torch.float64, generator=generator) + class_prior.clamp(min=0.05).log()
    logits = logits + torch.nn.functional.one_hot(target, 4)
    if logits_kind == "tied":
        logits = logits.round()
    values, _ = evaluate(metric, logits, target, tuned=True, facts={"class_prior": class_prior})
    rarest = class_prior[class_prior > 0].min()
    slopes = class_prior.clamp(min=float(rarest)).log()
    grid = torch.linspace(LOW, HIGH, POINTS, dtype=torch.float64)
    shifted = logits - grid[:, None, None, None] * slopes
    torch.testing.assert_close(values, metric(shifted, target).amax(0))


@pytest.mark.parametrize("rows", [1, 2, 50, 51])
@pytest.mark.parametrize(
    "name", ["rmse", "mae", "medae", "mape", "r2", "poisson_deviance", "pinball(q=0.9)", "pinball(q=0.1)"]
)
def test_a_shift_is_the_best_of_many(name: str, rows: int) -> None:
    if name == "medae" and rows % 2 == 0:
        pytest.skip("for an even number of rows the shift is best for the upper of the two middle errors")
    metric = get_metric(name, "regression")
    generator = torch.Generator().manual_seed(rows)
    target = torch.randn(3, rows, generator=generator).exp() + 1
    predictions = target + torch.randn(3, rows, generator=generator).square() - 2
    values, _ = evaluate(metric, predictions.double(), target, tuned=True)
    for k in range(3):
        residuals = (target[k] - predictions[k]).double()
        middles = (residuals[:, None] + residuals) / 2
        tried = torch.cat([torch.linspace(-6, 6, 4001, dtype=torch.float64), middles.flatten()])
        best = metric.utility(metric(predictions[k] + tried[:, None], target[k])).max()
        assert metric.utility(values[k]).item() >= best.item() - 1e-12


@pytest.mark.parametrize("lowest", [-2.0, 0.5])
def test_a_shift_of_counts_is_near_the_best_of_many_though_some_predictions_stay_below_zero(lowest: float) -> None:
    metric = get_metric("poisson_deviance", "regression")
    generator = torch.Generator().manual_seed(3)
    mean = torch.randn(4, 300, generator=generator, dtype=torch.float64).exp()
    count = torch.poisson(mean, generator=generator)
    predictions = mean + 0.3 * torch.randn(4, 300, generator=generator, dtype=torch.float64) - 0.5
    predictions[:, :5], count[:, :5] = lowest, 0
    values, _ = evaluate(metric, predictions, count, tuned=True)
    tried = torch.linspace(-3, 8, 40_001, dtype=torch.float64)
    for k in range(4):
        best = metric(predictions[k] + tried[:, None], count[k]).min()
        assert values[k].item() <= 1.001 * best.item()


def test_a_shift_of_an_even_number_of_rows_is_best_for_the_upper_median() -> None:
    predictions, target = torch.zeros(6), torch.tensor([0.0, 1.0, 1.2, 1.4, 2.0, 9.0])
    shift = fit_adjustment(get_metric("medae", "regression"), predictions, target).parameter.item()
    upper = [float(np.sort(np.abs(target.numpy() - s))[3]) for s in np.linspace(-1, 9, 2001)]
    assert float(np.sort(np.abs(target.numpy() - shift))[3]) <= min(upper) + 1e-6


def test_an_adjustment_changes_outputs_as_its_kind_says() -> None:
    logits, target = torch.tensor([-3.0, -1.0, 0.5, 2.0]), torch.tensor([0, 0, 1, 1])
    threshold = fit_adjustment(get_metric("f1", "binary"), logits, target)
    torch.testing.assert_close(threshold.apply(logits), logits + 0.25)
    temperature = fit_adjustment(get_metric("log_loss", "binary"), logits, target)
    torch.testing.assert_close(temperature.apply(logits), logits / temperature.parameter.float())
    shift = fit_adjustment(get_metric("rmse", "regression"), logits, logits + 3)
    torch.testing.assert_close(shift.apply(logits), logits + 3)
    ranking = fit_adjustment(get_metric("roc_auc", "binary"), logits, target)
    assert ranking.apply(logits) is logits
