"""Screening: one size of gradient for all, equals found, and what leads nowhere turned away."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from losssearch.data import draws, load, make_replicas, partition
from losssearch.data.replicas import Replicas
from losssearch.losses import loss_term, term, terms
from losssearch.losses.compose import ComposedLoss
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.weighting import Weighting
from losssearch.models import build_model
from losssearch.study.proposing.probe import ROWS
from losssearch.study.proposing.screening import PROGRESS, Screen
from losssearch.tasks import TASKS, get_task

DATA = {"binary": "breast_cancer", "multiclass": "digits_longtail", "regression": "diabetes"}
every_task = pytest.mark.parametrize(
    "task", [kind for kind, task in TASKS.items() if not (task.shared or task.by_size)]
)
UNCERTAIN = {"learned": "uncertainty"}


def line(start: float, end: float) -> dict[str, Any]:
    return {"schedule": "linear", "start": start, "end": end}


def spec(*parts: dict[str, Any], decision: str = "tuned") -> LossSpec:
    return LossSpec.from_json({"parts": list(parts), "decision": decision})


MIXED = {
    "binary": [
        spec({"term": "focal"}, {"term": "pairwise_auc", "weight": 0.3}, {"term": "soft_f1", "weight": line(1, 0)}),
        spec({"term": "squared_hinge", "reduction": {"cvar": 0.3}}, {"term": "ldam", "weight": UNCERTAIN}),
        spec({"term": "binary_cross_entropy", "weight": line(0, 1)}),
    ],
    "multiclass": [
        spec({"term": "focal"}, {"term": "one_vs_rest_auc", "weight": 0.3}, {"term": "soft_f1", "weight": line(1, 0)}),
        spec({"term": "squared_hinge", "reduction": {"cvar": 0.3}}, {"term": "ldam", "weight": UNCERTAIN}),
        spec({"term": "cross_entropy", "weight": line(0, 1)}),
    ],
    "regression": [
        spec({"term": "squared"}, {"term": "absolute", "weight": 0.3}, {"term": "quantile", "weight": line(1, 0)}),
        spec({"term": "huber", "reduction": {"cvar": 0.3}}, {"term": "general_robust", "weight": UNCERTAIN}),
        spec({"term": "log_cosh", "weight": line(0, 1)}),
    ],
}


@cache
def replicas(task: str) -> Replicas:
    dataset = load(f"builtin:{DATA[task]}")
    parts = partition(dataset, seed=0)
    return make_replicas(dataset, draws(dataset, parts.search, seed=0, count=2, purpose="test"))


@cache
def screen(task: str, metric: str | None = None) -> Screen:
    given = replicas(task)
    model = build_model("linear", given.width, get_task(task).width(given.classes))
    return Screen(model, given, metric or get_task(task).metric, task)


def untrained(task: str) -> tuple[Tensor, Tensor, Tensor | None]:
    """Outputs of the untrained linear model on the first replica's rows, by hand; their targets and class prior."""
    given = replicas(task)
    width = get_task(task).width(given.classes)
    start = build_model("linear", given.width, width).initial(given.seeds[0])
    outputs = given.train["features"][0, :ROWS] @ start["weight0"] + start["bias0"]
    return outputs, given.train["target"][0, :ROWS], given.facts["class_prior"][0] if given.classes else None


def zero(task: str) -> float:
    return float(replicas(task).facts["zero"][0]) if task == "regression" else 0.0


def size(loss: LossSpec, task: str, progress: float) -> float:
    """Mean over samples of the norm of the gradient that one sample's output gets, times the batch; by autograd."""
    outputs, target, prior = untrained(task)
    outputs.requires_grad_()
    value = ComposedLoss(loss, prior, zero=zero(task))(outputs, target, progress=progress)
    (gradient,) = torch.autograd.grad(value, outputs)
    return float(gradient.norm(dim=-1).sum())


@pytest.fixture
def odd_terms() -> Iterator[None]:
    """Terms that no search should train."""

    @loss_term(reference="cross-entropy turned round", nonnegative=False)
    def maximised(logit: Tensor, labels: Tensor) -> Tensor:
        """Rewards wrong answers."""
        return -terms["binary_cross_entropy"].function(logit, labels, smoothing=torch.tensor(0.0))

    @loss_term(reference="no gradient at all")
    def flat(logit: Tensor, labels: Tensor) -> Tensor:
        """A constant."""
        return 0 * logit + 1

    @loss_term(reference="no finite gradient")
    def sharp(logit: Tensor, labels: Tensor) -> Tensor:
        """Its slope at its own value is infinite."""
        return (logit - logit.detach()).abs().sqrt()

    @loss_term(reference="no finite value")
    def lost(logit: Tensor, labels: Tensor) -> Tensor:
        """Nan."""
        return logit * torch.nan

    @loss_term(reference="wants equal scores", nonnegative=True)
    def levelling(logit: Tensor, labels: Tensor) -> Tensor:
        """Pulls all scores to 0, whatever the label."""
        return logit.square()

    @loss_term(reference="wants less of everything", nonnegative=False)
    def sinking(logit: Tensor, labels: Tensor) -> Tensor:
        """Lowers all scores alike, which leaves their order as it was."""
        return logit

    yield
    for made in (maximised, flat, sharp, lost, levelling, sinking):
        del term._registry[made.name]


@every_task
def test_gradients_start_with_one_size(task: str) -> None:
    population = [*(b.spec() for b in get_task(task).menu), *MIXED[task]]
    for before, found in zip(population, screen(task)(population), strict=True):
        sizes = [size(found.spec, task, progress) for progress in PROGRESS]
        assert sum(sizes) / len(PROGRESS) == pytest.approx(1, rel=1e-4), before.formula()


@every_task
def test_unit_weights_mean_equal_gradients(task: str) -> None:
    """The parts' own gradients, each over its own scale, have one size among them."""
    for loss, found in zip(MIXED[task], screen(task)(MIXED[task]), strict=True):
        own = [size(LossSpec((Part(p.name, p.hyperparameters, Weighting(), p.reduction, p.scale),)), task, 0.0)
               for p in found.spec.parts]  # fmt: skip
        assert own == pytest.approx([own[0]] * len(own), rel=1e-4), loss.formula()


@every_task
def test_screening_changes_scales_alone(task: str) -> None:
    for before, found in zip(MIXED[task], screen(task)(MIXED[task]), strict=True):
        assert found.spec == before
        assert found.spec.key == before.key
        assert [p.weighting for p in found.spec.parts] == [p.weighting for p in before.parts]
        assert found.reason == ""


@every_task
def test_scales_that_were_given_do_not_matter(task: str) -> None:
    scaled = [
        LossSpec.from_json({**loss.to_json(), "parts": [{**p, "scale": 37.0} for p in loss.to_json()["parts"]]})
        for loss in MIXED[task]
    ]
    for found, expected in zip(screen(task)(scaled), screen(task)(MIXED[task]), strict=True):
        assert found.signature == expected.signature
        assert [p.scale for p in found.spec.parts] == [p.scale for p in expected.spec.parts]


@every_task
def test_an_answer_does_not_depend_on_the_others(task: str) -> None:
    population = [*(b.spec() for b in get_task(task).menu), *MIXED[task]]
    for loss, found in zip(population, screen(task)(population), strict=True):
        (alone,) = screen(task)([loss])
        assert (found.signature, found.reason) == (alone.signature, alone.reason)
        scales = [part.scale for part in alone.spec.parts]
        assert [part.scale for part in found.spec.parts] == pytest.approx(scales, rel=1e-6)


def test_nothing_to_screen() -> None:
    assert screen("binary")([]) == []


EQUAL = {
    "binary": [
        spec({"term": "binary_cross_entropy"}),
        spec({"term": "cross_entropy"}),
        spec({"term": "cross_entropy", "weight": line(3, 3)}),
        spec({"term": "cross_entropy", "weight": 5, "scale": 0.2}),
        spec({"term": "cross_entropy", "reduction": {"cvar": 1.0}}),
        spec({"term": "focal", "gamma": 0}),
        spec({"term": "poly1", "epsilon": 0}),
        spec({"term": "weighted_cross_entropy", "power": 0}),
        spec({"term": "logit_adjustment", "tau": 0}),
        spec({"term": "cost_sensitive_cross_entropy"}),
    ],
    "multiclass": [
        spec({"term": "cross_entropy"}),
        spec({"term": "cross_entropy", "weight": line(0.7, 0.7)}),
        spec({"term": "focal", "gamma": 0}),
        spec({"term": "poly1", "epsilon": 0}),
        spec({"term": "weighted_cross_entropy", "power": 0}),
        spec({"term": "ldam", "max_margin": 0}),
    ],
    "regression": [
        spec({"term": "absolute"}),
        spec({"term": "quantile", "quantile": 0.5}),
        spec({"term": "absolute", "weight": line(0.1, 0.1)}),
    ],
}


@every_task
def test_a_loss_and_any_multiple_of_it_are_one(task: str) -> None:
    """By the identities that the terms state; most of them have keys of their own."""
    assert len({loss.key for loss in EQUAL[task]}) >= len(EQUAL[task]) - 2
    found = screen(task)(EQUAL[task])
    assert len({answer.signature for answer in found}) == 1


@every_task
def test_losses_that_differ_have_signatures_that_differ(task: str) -> None:
    learning = "general_robust" if task == "regression" else "ldam"
    population = [
        *(b.spec() for b in get_task(task).menu),
        *MIXED[task],
        spec({"term": learning, "weight": UNCERTAIN}),
        spec({"term": learning, "weight": line(1, 0)}, {"term": MIXED[task][0].parts[0].name}),
        spec({"term": learning, "weight": line(0, 1)}, {"term": MIXED[task][0].parts[0].name}),
    ]
    found = screen(task)(population)
    # by default, the pinball loss is half of the absolute residual and the asymmetric one half of the squared
    twins = 2 if task == "regression" else 0
    assert len({answer.signature for answer in found}) == len(population) - twins


def test_what_is_tuned_after_training_tells_candidates_apart() -> None:
    tuned, fixed = screen("binary")([spec({"term": "focal"}), spec({"term": "focal"}, decision="fixed")])
    assert tuned.signature != fixed.signature


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("maximised", "does not improve the metric"),
        ("levelling", "does not improve the metric"),
        ("sinking", "does not improve the metric"),
        ("flat", "gradient"),
        ("sharp", "gradient"),
        ("lost", "gradient"),
    ],
)
def test_what_leads_nowhere_is_turned_away(odd_terms: None, name: str, reason: str) -> None:
    """The others are judged as if it were not there."""
    good = MIXED["binary"]
    rejected, *others = screen("binary")([spec({"term": name}), *good])
    assert reason in rejected.reason
    for found, expected in zip(others, screen("binary")(good), strict=True):
        assert (found.signature, found.reason) == (expected.signature, "")


@pytest.mark.parametrize("name", ["maximised", "flat", "sharp", "lost"])
def test_a_part_that_leads_nowhere_spoils_its_loss(odd_terms: None, name: str) -> None:
    spoilt, good = screen("binary")([spec({"term": name, "weight": 9}, {"term": "focal"}), MIXED["binary"][0]])
    assert spoilt.reason
    assert not good.reason


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        ("binary", "f1"),
        ("binary", "log_loss"),
        ("binary", "roc_auc"),
        ("multiclass", "accuracy"),
        ("multiclass", "log_loss"),
        ("regression", "mae"),
        ("regression", "r2"),
    ],
)
def test_every_loss_of_the_menu_leads_somewhere(task: str, metric: str) -> None:
    found = screen(task, metric)([baseline.spec() for baseline in get_task(task).menu])
    assert [answer.reason for answer in found] == [""] * len(found)


def test_losses_that_differ_between_the_times_of_the_probe_are_no_equivalents() -> None:
    def of(kind: str, **numbers: float) -> LossSpec:
        return spec({"term": "focal", "gamma": {"schedule": kind, "start": 0.0, "end": 2.0, **numbers}})

    specs = [
        of("linear"),
        of("cosine"),
        of("step", at=0.6),
        of("step", at=0.8),
        of("cyclic", cycles=2),
        of("linear", **{"from": 0.1}),
        spec({"term": "focal", "gamma": 0.0}),
    ]
    signatures = screen("binary").signatures(specs)
    assert len(set(signatures)) == len(specs)
