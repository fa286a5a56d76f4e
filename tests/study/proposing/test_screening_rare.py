"""Screening where a class, or what a target varies in, is rare among the training rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from losssearch.data.batch import sensitive
from losssearch.data.replicas import Replicas
from losssearch.losses import loss_term, term
from losssearch.losses.spec import LossSpec
from losssearch.models import build_model
from losssearch.study.proposing.probe import ROWS
from losssearch.study.proposing.screening import NOWHERE, Screen
from losssearch.tasks import get_task
from tests.regrouped import regrouped

TRAINED = 12_000
SEEDS = range(3)
BINARY = ("average_precision", "roc_auc", "f1", "mcc", "balanced_accuracy", "log_loss", "cost(fp=1,fn=10)")
MULTICLASS = ("worst_class_recall", "balanced_accuracy", "macro_f1", "log_loss")


def made(target: Tensor, classes: int, seed: int, group: Tensor | None = None) -> Replicas:
    """One replica of made-up features, as many classes as told, none for a number."""
    features = torch.randn(1, len(target), 6, generator=torch.Generator().manual_seed(seed))
    features[0, :, 0] += target
    facts = {"target_mean": torch.zeros(1), "target_scale": torch.ones(1), "zero": torch.zeros(1)}
    if classes:
        facts = {"class_prior": (torch.bincount(target, minlength=classes) / len(target))[None]}
    batch = {"features": features, "target": target[None]}
    if group is not None:
        batch["group"] = group[None]
    count = 0 if group is None else int(group.max()) + 1
    return Replicas(batch, batch, facts, seeds=(seed,), classes=classes, sensitive=sensitive(count))


@cache
def rare(one_in: int, seed: int, classes: int = 2) -> Replicas:
    """Classification in which all classes but the first have one row in so many."""
    generator = np.random.default_rng(seed)
    count = TRAINED // one_in
    target = np.zeros(TRAINED, dtype=np.int64)
    target[: count * (classes - 1)] = np.repeat(np.arange(1, classes), count)
    return made(torch.from_numpy(generator.permutation(target)), classes, seed)


def screen(replicas: Replicas, metric: str, task: str) -> Screen:
    return Screen(build_model("mlp", replicas.width, get_task(task).width(replicas.classes)), replicas, metric, task)


@pytest.fixture
def turned_round() -> Iterator[LossSpec]:
    """A loss that rewards wrong answers."""

    @loss_term(reference="hinge turned round", nonnegative=False)
    def turned(logit: Tensor, labels: Tensor) -> Tensor:
        """The margin."""
        return logit * (2 * labels - 1)

    yield LossSpec.from_json({"parts": [{"term": "turned"}], "decision": "tuned"})
    del term._registry["turned"]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("one_in", [200, 1_000])
@pytest.mark.parametrize("metric", BINARY)
def test_rare_positives_reject_no_sound_loss(metric: str, one_in: int, seed: int) -> None:
    screening = screen(rare(one_in, seed), metric, "binary")
    found = screening([baseline.spec() for baseline in get_task("binary").menu])
    assert [answer.reason for answer in found] == [""] * len(found)
    assert screening.judges


@pytest.mark.parametrize("one_in", [200, 1_000])
@pytest.mark.parametrize("metric", BINARY)
def test_rare_positives_do_not_hide_a_loss_that_leads_nowhere(turned_round: LossSpec, metric: str, one_in: int) -> None:
    (answer,) = screen(rare(one_in, 0), metric, "binary")([turned_round])
    assert answer.reason == NOWHERE


@pytest.mark.parametrize("metric", MULTICLASS)
def test_rare_classes_among_several_reject_no_sound_loss(metric: str) -> None:
    screening = screen(rare(500, 0, classes=5), metric, "multiclass")
    found = screening([baseline.spec() for baseline in get_task("multiclass").menu])
    assert [answer.reason for answer in found] == [""] * len(found)
    assert screening.judges


@pytest.mark.parametrize("metric", ["rmse", "mae", "r2"])
def test_a_target_that_is_hardly_ever_above_zero_rejects_no_sound_loss(metric: str) -> None:
    target = torch.zeros(TRAINED)
    target[5_000:5_024] = torch.linspace(1, 9, 24)
    screening = screen(made(target, 0, 0), metric, "regression")
    assert screening._free.max() > 0
    assert not screening([get_task("regression").plain.spec()])[0].reason


def test_every_class_of_every_group_is_among_the_probed() -> None:
    base = rare(200, 0)
    group = torch.zeros(TRAINED, dtype=torch.long)
    group[::150] = 1
    probe = screen(regrouped(base, group[None], group[None], count=2), "f1", "binary")._batch
    probed = {(int(y), int(g)) for y, g in zip(probe["target"][0], probe["group"][0], strict=True)}
    everywhere = {(int(y), int(g)) for y, g in zip(base.train["target"][0], group, strict=True)}
    assert probed == everywhere


def test_scales_are_those_of_the_rows_that_a_training_sees() -> None:
    """The mean size of a row's gradient, over all training rows, whatever share of them is probed."""
    replicas = rare(200, 0)
    losses = ["binary_cross_entropy", "weighted_cross_entropy", "focal"]
    specs = [LossSpec.from_json({"parts": [{"term": name}]}) for name in losses]
    found = [answer.spec.parts[0].scale for answer in screen(replicas, "f1", "binary")(specs)]
    model = build_model("mlp", replicas.width, 1)
    start = {name: value[None, None] for name, value in model.initial(replicas.seeds[0]).items()}
    outputs = model.forward(start, {}, replicas.train["features"], training=False, seed=0)
    loss = screen(replicas, "f1", "binary")._population(specs)
    leaf = outputs.expand(1, len(specs), -1).clone().requires_grad_()
    values = loss(leaf, replicas.train, replicas.facts, loss.initial[None], 0.0)
    (slopes,) = torch.autograd.grad(values.sum(), leaf)
    assert found == pytest.approx(slopes[0].abs().sum(dim=-1).tolist(), rel=0.1)


def test_a_perfect_start_rejects_nothing_and_says_so(turned_round: LossSpec) -> None:
    """Where the untrained model is right about every row, no loss can improve a metric of decisions."""
    replicas = rare(200, 0)
    model = build_model("linear", replicas.width, 1)
    weight = model.initial(replicas.seeds[0])["weight0"][:, 0]
    aimed = (2.0 * replicas.train["target"] - 1)[..., None] * weight / weight.square().sum()
    screening = Screen(
        model, replace(replicas, train={**replicas.train, "features": aimed}), "balanced_accuracy", "binary"
    )
    (answer,) = screening([turned_round])
    assert not answer.reason
    assert not screening.judges
    assert "balanced_accuracy cannot be judged" in screening.note
    assert not screen(replicas, "balanced_accuracy", "binary").note


def test_one_class_alone_leaves_the_metric_undefined_and_rejects_nothing() -> None:
    replicas = made(torch.zeros(ROWS, dtype=torch.long), 2, 0)
    screening = screen(replicas, "roc_auc", "binary")
    (answer,) = screening([get_task("binary").plain.spec()])
    assert not answer.reason
    assert "cannot be judged" in screening.note
