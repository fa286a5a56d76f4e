"""The correlation of scores with a sensitive number: value, bound, certificate and noise floor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from losssearch.errors import OptionError
from losssearch.evaluation.fairness import bound, certificate, noise_floor, parse_constraint, value


def numbers(rows: int = 500, members: int = 3, strength: float = 0.3, seed: int = 3) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    attribute = torch.randn(1, rows, generator=generator)
    outputs = torch.randn(members, rows, generator=generator) + strength * attribute
    return outputs, (outputs[:1] > 0).long(), attribute


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_the_value_is_the_size_of_pearsons_correlation(task: str) -> None:
    outputs, target, attribute = numbers()
    found = value(parse_constraint("attribute_correlation <= 0.1", task), -outputs, target, attribute, 1)
    shown = outputs.double().sigmoid() if task == "binary" else outputs.double()
    expected = [abs(stats.pearsonr(one, attribute[0].double()).statistic) for one in shown]  # scipy 1.16
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_decisions_have_a_correlation_of_their_own() -> None:
    outputs, target, attribute = numbers()
    found = value(parse_constraint("decision_correlation <= 0.1", "binary"), outputs, target, attribute, 1)
    expected = [abs(stats.pearsonr((one > 0).double(), attribute[0].double()).statistic) for one in outputs]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    limit = parse_constraint("decision_correlation <= 0.1", "multiclass")
    logits = torch.stack((-outputs, outputs, torch.full_like(outputs, -9.0)), dim=-1)  # of two classes, and one of none
    np.testing.assert_allclose(value(limit, logits, target, attribute, 1), expected, rtol=1e-9)


def test_of_several_classes_the_worst_counts() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, attribute = torch.randn(2, 300, 3, generator=generator), torch.randn(1, 300, generator=generator)
    logits[..., 2] += 0.5 * attribute
    found = value(
        parse_constraint("attribute_correlation <= 0.1", "multiclass"), logits, torch.zeros(1, 300), attribute, 1
    )
    shares = logits.double().softmax(-1)
    for member in range(2):
        each = [abs(stats.pearsonr(shares[member, :, c], attribute[0].double()).statistic) for c in range(3)]
        assert found[member] == pytest.approx(max(each), rel=1e-9)


@pytest.mark.parametrize("strength", [0.0, 0.3, 2.0])
def test_the_bound_is_as_wide_as_a_bootstrap_says(strength: float) -> None:
    outputs, target, attribute = numbers(strength=strength, members=1)
    limit = parse_constraint("attribute_correlation <= 0.1", "regression")
    width = float(bound(limit, outputs, target, attribute, 1, z=1.0) - value(limit, outputs, target, attribute, 1))
    random = np.random.default_rng(0)
    x, y = outputs[0].numpy(), attribute[0].numpy()
    drawn = [np.corrcoef(x[rows], y[rows])[0, 1] for rows in random.integers(0, len(x), (2_000, len(x)))]
    assert width == pytest.approx(np.std(drawn), rel=0.08)


def test_the_bound_covers_as_often_as_it_says() -> None:
    limit = parse_constraint("attribute_correlation <= 0.1", "regression")
    outputs, target, attribute = numbers(rows=300 * 400, members=1, strength=0.3)
    shaped = [one.reshape(400, 300) for one in (outputs, target, attribute)]
    covered = bound(limit, *shaped, 1, z=1.645) >= 0.3 / np.sqrt(1.09)
    assert 0.92 <= covered.double().mean() <= 0.98


def test_a_certificate_and_what_chance_shows() -> None:
    limit = parse_constraint("attribute_correlation <= 0.2", "binary")
    outputs, target, attribute = numbers(rows=2_000, members=2, strength=0.0)
    (found,) = certificate([limit], outputs[0], target[0], attribute[0], 1)
    assert found.status == "met"
    assert found.rows == (2_000,)
    assert found.value < found.bound < 0.2
    floor = noise_floor(limit, outputs[0], target[0], attribute[0], 1)
    assert floor.quantile == pytest.approx(1.96 / np.sqrt(2_000), rel=0.05)
    assert floor.mean == pytest.approx(np.sqrt(2 / np.pi / 2_000), rel=0.05)
    outputs, target, attribute = numbers(rows=2_000, members=1, strength=0.5)
    (found,) = certificate([limit], outputs[0], target[0], attribute[0], 1)
    assert found.status == "not met"
    outputs, target, attribute = numbers(rows=40, members=1, strength=0.0)
    (found,) = certificate([limit], outputs[0], target[0], attribute[0], 1)
    assert found.status == "not certifiable"


def test_constant_scores_do_not_depend_on_anything() -> None:
    limit = parse_constraint("attribute_correlation <= 0.2", "binary")
    _, target, attribute = numbers()
    outputs = torch.full_like(attribute, 0.7)
    assert value(limit, outputs, target, attribute, 1).item() == 0
    assert bound(limit, outputs, target, attribute, 1, z=2.0).isfinite().all()


def test_an_attribute_must_be_finite() -> None:
    limit = parse_constraint("attribute_correlation <= 0.2", "binary")
    outputs, target, attribute = numbers()
    attribute[0, 3] = torch.nan
    with pytest.raises(OptionError, match="finite numbers of the same 500 rows"):
        value(limit, outputs, target, attribute, 1)
