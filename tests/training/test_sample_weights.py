"""Trainers under sample weights: rows of whole weights train as so many equal rows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from losssearch.data.batch import at_rows
from losssearch.data.replicas import Replicas
from losssearch.judging.metric import MetricJudge
from losssearch.losses.spec import LossSpec
from losssearch.models import build_model
from losssearch.training import Candidate, TrainingPlan, train_population
from losssearch.training.boosting import train_boosted
from losssearch.training.boosting.objective import initial_score
from tests.regrouped import unweighted

ROWS, HELD = 48, 40


def weighted(task: str, seed: int = 0) -> Replicas:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(1, ROWS + HELD, 3, generator=generator)
    signal = features[..., 0] + torch.randn(1, ROWS + HELD, generator=generator)
    target = signal if task == "regression" else (signal > 0.5).long() + (signal > 1.5).long() * (task == "multiclass")
    weight = torch.randint(1, 4, (1, ROWS), generator=generator)
    classes = {"binary": 2, "multiclass": 3, "regression": 0}[task]
    facts = {"target_mean": torch.zeros(1), "target_scale": torch.ones(1), "zero": torch.zeros(1)}
    if classes:
        counts = torch.bincount(target[0, :ROWS], weight[0], minlength=classes).float()
        facts = {"class_prior": (counts / weight.sum())[None]}
    train = {"features": features[:, :ROWS], "target": target[:, :ROWS], "weight": weight / weight.float().mean()}
    rest = {"features": features[:, ROWS:], "target": target[:, ROWS:]}
    judged = {**rest, "weight": torch.ones(1, HELD)}
    return Replicas(train, judged, facts, seeds=(5,), held={"test": rest}, classes=classes)


def repeated(replicas: Replicas) -> Replicas:
    often = (replicas.train["weight"][0] / replicas.train["weight"].min()).round().long()
    if int(often.min()) == 1 and not torch.allclose(often / often.float().mean(), replicas.train["weight"][0]):
        raise AssertionError("weights are whole numbers over their mean")
    index = torch.arange(ROWS).repeat_interleave(often)
    plain = unweighted(replicas)
    return replace(plain, train=at_rows(plain.train, index))


SPECS = {
    "binary": [
        {"term": "cross_entropy"},
        {"term": "focal", "gamma": 2.0},
        {"term": "soft_f_beta"},
        {"term": "pairwise_auc"},
    ],
    "multiclass": [{"term": "cross_entropy"}, {"term": "logit_adjustment"}],
    "regression": [{"term": "squared"}, {"term": "huber"}],
}
CASES = [(task, part) for task, parts in SPECS.items() for part in parts]
NAMES = {"binary": "log_loss", "multiclass": "log_loss", "regression": "rmse"}


def spec_of(part: dict[str, object]) -> LossSpec:
    return LossSpec.from_json({"parts": [part], "decision": "fixed"})


@pytest.mark.parametrize(("task", "part"), CASES, ids=lambda value: value if isinstance(value, str) else value["term"])
def test_a_network_on_weighted_rows_is_one_on_repeated_rows(task: str, part: dict[str, object]) -> None:
    data = weighted(task)
    assert float(data.train["weight"].min()) > 0
    model = build_model("mlp", 3, 1 if task != "multiclass" else 3)

    def outputs(replicas: Replicas) -> Tensor:
        plan = TrainingPlan(epochs=12, batch_size=replicas.rows)
        judge = MetricJudge(NAMES[task], task, replicas)
        found = train_population(model, [Candidate(spec_of(part), (3e-3,))], replicas, plan, judge, hold=True)
        return torch.tensor(found[0].held["test"])

    found, again = outputs(data), outputs(repeated(data))
    if part["term"] == "pairwise_auc":  # which no shift changes: the bias is moved by rounding alone
        found, again = found - found.mean(), again - again.mean()
    torch.testing.assert_close(found, again, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(found, outputs(unweighted(data)), atol=1e-3)


@pytest.mark.parametrize(("task", "part"), CASES, ids=lambda value: value if isinstance(value, str) else value["term"])
@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_trees_count_weights(task: str, part: dict[str, object], library: str) -> None:
    data = weighted(task)

    def outputs(replicas: Replicas) -> Tensor:
        judge = MetricJudge(NAMES[task], task, replicas)
        plan = TrainingPlan(epochs=2, batch_size=64)
        found = train_boosted(library, [Candidate(spec_of(part), (0.1,))], replicas, plan, judge, hold=True)
        return torch.tensor(found[0].held["test"])

    found = outputs(data)
    assert bool(found.isfinite().all())
    assert not torch.allclose(found, outputs(unweighted(data)), atol=1e-3)
    same = replace(data, train={**data.train, "weight": torch.ones(1, ROWS)})
    if part["term"] != "pairwise_auc":  # whose pairs are drawn in float32
        torch.testing.assert_close(outputs(same), outputs(unweighted(data)), rtol=1e-4, atol=1e-5)


def test_trees_start_from_the_weighted_share() -> None:
    labels, weight = torch.tensor([0, 0, 1]).numpy(), torch.tensor([1.0, 1.0, 2.0]).numpy()
    assert float(initial_score(labels, 2, weight)) == pytest.approx(0.0)
    assert float(initial_score(labels.astype(float), 0, weight)) == pytest.approx(0.5)


def test_validation_counts_by_weight() -> None:
    data = weighted("binary")
    outputs = torch.randn(1, 4, HELD, generator=torch.Generator().manual_seed(1))
    often = torch.arange(HELD).float().add(1)[None]
    judge = MetricJudge("log_loss", "binary", data, weight=often)
    utility, _ = judge(outputs, data.validation["target"], torch.zeros(4, dtype=torch.bool))
    losses = torch.nn.functional.binary_cross_entropy_with_logits(
        outputs.double(), data.validation["target"][:, None].expand(-1, 4, -1).double(), reduction="none"
    )
    torch.testing.assert_close(-utility, (losses * often[:, None]).sum(-1) / often.sum())
