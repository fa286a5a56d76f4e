"""Counts: what is refused, and what is tuned after training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import poisson
from sklearn.metrics import auc, mean_poisson_deviance

from losssearch.data import load
from losssearch.data.given_splits import Given
from losssearch.errors import DataError
from losssearch.evaluation import get_metric
from losssearch.evaluation.adjustment import evaluate


def rows(**changed: float) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    table = pd.DataFrame({"age": draw.normal(size=80), "years": draw.uniform(0.5, 2, size=80)})
    table["claims"] = draw.poisson(np.exp(0.3 * table["age"]) * table["years"]).astype(float)
    for name, value in changed.items():
        table.loc[3, name] = value
    return table


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"claims": -1.0}, "a count must be a whole number of at least 0; target 'claims' .* has -1 in row 4"),
        ({"claims": 0.5}, "a count must be a whole number of at least 0; target 'claims' .* has 0.5 in row 4"),
        ({"years": 0.0}, "an exposure must be a finite number above 0; exposure column 'years' .* has 0.0 in row 4"),
    ],
)
def test_what_is_no_count_is_refused(changed: dict[str, float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(rows(**changed), target="claims", task="count", given=Given(exposure="years"))


def test_counts_that_are_all_zero_are_refused() -> None:
    with pytest.raises(DataError, match="some counts must be above 0"):
        load(rows().assign(claims=0.0), target="claims", task="count")


def test_an_exposure_is_no_feature_and_the_metric_is_weighted_by_it() -> None:
    data = load(rows(), target="claims", task="count", given=Given(exposure="years"))
    assert [column.name for column in data.schema.columns] == ["age"]
    rate = torch.rand(80, generator=torch.Generator().manual_seed(0)).double() + 0.2
    outputs = torch.stack((rate, torch.zeros(80).double()), -1)
    found = get_metric("poisson_deviance", "count")(outputs, torch.from_numpy(data.judged))
    count, exposure = data.judged.T
    assert float(found) == pytest.approx(mean_poisson_deviance(count / exposure, rate, sample_weight=exposure))


def test_one_factor_and_one_floor_are_tuned() -> None:
    data = load(rows(), target="claims", task="count", given=Given(exposure="years"))
    target = torch.from_numpy(data.judged)
    rate = torch.linspace(-0.1, 1, 80).double()
    outputs = torch.stack((rate, torch.zeros(80).double()), -1)[None]
    metric = get_metric("poisson_deviance", "count")
    tuned, adjustment = evaluate(metric, outputs, target, tuned=True)
    plain, _ = evaluate(metric, outputs, target, tuned=False)
    assert float(tuned) < float(plain)
    adjusted = adjustment.apply(outputs)[0, :, 0]
    assert float(adjusted.min()) > 0
    assert float((adjusted * target[:, 1]).sum()) == pytest.approx(float(target[:, 0].sum()))


def counted() -> tuple[torch.Tensor, torch.Tensor]:
    draw = np.random.default_rng(3)
    outputs = np.stack((draw.exponential(size=40), draw.uniform(0, 0.5, size=40)), 1)
    exposure = draw.uniform(0.3, 2, size=40)
    return torch.from_numpy(outputs), torch.from_numpy(np.stack((draw.poisson(2 * exposure), exposure), 1))


def test_ranked_probability_is_the_sum_over_counts_of_scipys_distribution() -> None:
    """Czado, Gneiting and Held 2009, eq. 9, of a Poisson distribution of the rows that are not always zero."""
    outputs, target = counted()
    (rate, never), (count, exposure) = outputs.numpy().T, target.numpy().T
    numbers = np.arange(200)[:, None]
    below = never + (1 - never) * poisson.cdf(numbers, exposure * rate / (1 - never))
    wanted = np.mean(((below - (count <= numbers)) ** 2).sum(0))
    assert float(get_metric("ranked_probability", "count")(outputs, target)) == pytest.approx(wanted)


def test_gini_is_one_less_twice_the_area_under_the_lorenz_curve() -> None:
    outputs, target = counted()
    order = np.argsort(outputs[:, 0].numpy())
    count, exposure = target.numpy()[order].T
    claims, observed = (np.concatenate([[0], own.cumsum() / own.sum()]) for own in (count, exposure))
    wanted = 1 - 2 * auc(observed, claims)
    assert float(get_metric("gini", "count")(outputs, target)) == pytest.approx(wanted)
