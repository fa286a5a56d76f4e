"""The running average of a member's weights: what it is, when it counts, and who has none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import losssearch as ls
from losssearch.data.batch import at_rows
from losssearch.data.replicas import Replicas
from losssearch.errors import InputError, OptionError
from losssearch.judging.metric import MetricJudge
from losssearch.losses.population import PopulationLoss
from losssearch.losses.spec import LossSpec
from losssearch.models import build_model
from losssearch.training import Candidate, Outcome, TrainingPlan, train_population
from losssearch.training.members import Members

DECAY = 0.8
SPECS = [
    LossSpec.from_json({"parts": [{"term": "squared"}]}),
    LossSpec.from_json({"parts": [{"term": "general_robust", "weight": {"learned": "uncertainty"}}]}),
]


def normed(features: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.BatchNorm1d(features), nn.Linear(features, outputs))


def members_of(replicas: Replicas, model: Any, average: float | None = DECAY) -> Members:
    return Members(
        build_model(model, replicas.width, 1),
        PopulationLoss(SPECS),
        torch.arange(2),
        torch.tensor([1e-2, 3e-2]),
        replicas.seeds,
        weight_decay=0.1,
        clip=None,
        device=torch.device("cpu"),
        average=average,
    )


def stepped(population: Members, replicas: Replicas, number: int) -> None:
    batch = at_rows(replicas.train, slice(16 * number, 16 * number + 16))
    population.step(batch, replicas.facts, progress=number / 10, factor=1.0, seed=number)


@pytest.mark.parametrize("model", ["mlp", normed], ids=["stacked", "with buffers"])
def test_it_is_the_mean_under_weights_that_decay(replicas: Replicas, model: Any) -> None:
    population, seen, held = members_of(replicas, model), [], []
    for number in range(6):
        stepped(population, replicas, number)
        seen.append(population.flat[..., : sum(population.sizes)].clone())
        held.append({name: value.clone() for name, value in population.buffers.items()})
    assert population.average is not None
    shares = DECAY ** torch.arange(5, -1, -1.0)
    shares = shares / shares.sum()
    expected = sum(share * weights for share, weights in zip(shares, seen, strict=True))
    torch.testing.assert_close(population.average.weights, expected, rtol=1e-5, atol=1e-6)
    for name, value in population.average.buffers.items():
        if value.is_floating_point():
            mean = sum(share * own[name] for share, own in zip(shares, held, strict=True))
            torch.testing.assert_close(value, mean, rtol=1e-5, atol=1e-6)
        else:
            assert torch.equal(value, held[-1][name])


@pytest.mark.parametrize("model", ["mlp", normed], ids=["stacked", "with buffers"])
def test_the_better_of_the_two_is_kept_in_each_replica(replicas: Replicas, model: Any) -> None:
    population = members_of(replicas, model)
    for number in range(3):
        stepped(population, replicas, number)
    count = len(replicas.seeds)
    own = torch.tensor([[0.5, 0.7]] * count, dtype=torch.float64)
    other = torch.tensor([[0.6, 0.1]] * count, dtype=torch.float64)
    features = replicas.validation["features"]
    plain, smooth = population.outputs(features), population.outputs(features, averaged=True)
    population.record(own, 1, 5, None, (other, None))
    assert population.best.tolist() == [[0.6, 0.7]] * count
    found = population.outputs(features, best=True)
    torch.testing.assert_close(found[:, 0], smooth[:, 0])
    torch.testing.assert_close(found[:, 1], plain[:, 1])
    assert not torch.allclose(plain[:, 0], smooth[:, 0])
    # What the loss learns is that of the step, whichever weights count.
    learned = population.split(population.best_flat)[1]
    assert torch.equal(learned, population.split(population.flat)[1])
    before = smooth[:, 1]
    population.keep([1])
    torch.testing.assert_close(population.outputs(features, averaged=True)[:, 0], before, rtol=1e-5, atol=1e-6)


def trained(replicas: Replicas, average: float | None) -> list[Outcome]:
    plan = TrainingPlan(epochs=6, batch_size=16, rungs=(2,), patience=6, average=average)
    candidates = [Candidate(spec, (3e-3, 3e-2), protected=True) for spec in SPECS]
    judge = MetricJudge("mae", "regression", replicas)
    return train_population(build_model("mlp", replicas.width, 1), candidates, replicas, plan, judge, hold=True)


def test_an_average_of_the_last_step_alone_changes_nothing(replicas: Replicas) -> None:
    """To the bit, and so does the option change nothing where it is not given."""
    for found, expected in zip(trained(replicas, 0.0), trained(replicas, None), strict=True):
        assert replace(found, held={}) == replace(expected, held={})
        for name, outputs in found.held.items():
            np.testing.assert_array_equal(outputs, expected.held[name])


def test_a_study_never_loses_on_validation_by_it(replicas: Replicas) -> None:
    better = 0
    for found, expected in zip(trained(replicas, 0.9), trained(replicas, None), strict=True):
        assert np.mean(found.utilities) >= np.mean(expected.utilities)
        better += np.mean(found.utilities) > np.mean(expected.utilities)
    assert better


def test_a_plan_takes_shares_below_one() -> None:
    with pytest.raises(OptionError, match=r"average must lie in \[0, 1\), got 1.0"):
        TrainingPlan(1, 1, average=1.0)


def test_trees_and_training_functions_have_no_weights_to_average(tmp_path: Path) -> None:
    shared: dict[str, Any] = {"average": True, "trials": 2, "out": tmp_path / "out", "mlflow": False}
    with pytest.raises(InputError, match="averages the weights of a network, and lightgbm has none") as caught:
        ls.search("builtin:diabetes", target="target", model="lightgbm", **shared)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="brings its own data and model: leave out average"):
        ls.search(train=lambda loss, trial: 0.0, task="regression", metric="mae", **shared)


def test_private_training_averages_what_it_has_anyway() -> None:
    pytest.importorskip("opacus", reason="the extra `private` is not installed")
    from losssearch.training.private import Privacy, train_privately

    features = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    batch = {"features": features, "target": features[:, 0]}
    given: dict[str, Any] = {"epochs": 1, "batch_size": 20, "rate": 0.05, "seed": 0}
    model, privacy = build_model("linear", 3, 1), Privacy(20.0)
    plain, last, mean = (
        train_privately(model, SPECS[0], batch, {}, privacy, **given, average=average) for average in (None, 0.0, 0.9)
    )
    assert plain.averaged is None
    assert last.averaged is not None
    assert mean.averaged is not None
    for name, value in plain.parameters.items():
        assert torch.equal(last.averaged[name], value)
        assert not torch.equal(mean.averaged[name], value)
    assert mean.epsilon == plain.epsilon
