"""The contract of targets and weights: composed, loaded and exported losses alike, for every term and sampled specs.

A target may be class ids or probabilities, a sample may count as often as its weight says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from losssearch.errors import SpecError
from losssearch.export.bundle import write_bundle
from losssearch.export.facts import LossFacts
from losssearch.export.reading import load_loss
from losssearch.export.source import loss_source
from losssearch.losses import terms
from losssearch.losses.spec import LossSpec
from losssearch.space import Draw, bundled_spaces, load_space
from losssearch.tasks import TASKS

BATCH, GROUPS = 15, 3
CLASSES = {"binary": 2, "multiclass": 4, "regression": 0}
PRIORS = {"binary": (0.7, 0.3), "multiclass": (0.4, 0.3, 0.2, 0.1), "regression": None}


def term_specs() -> Iterator[tuple[str, str, LossSpec]]:
    for task in TASKS:
        for name, term in terms.items():
            if not term.fits(TASKS[task].with_groups().offers):
                continue
            parts: list[dict[str, Any]] = [{"term": name}]
            yield f"{name} in {task}", task, LossSpec.from_json({"parts": parts})
            if term.per_sample:
                yield (
                    f"cvar of {name} in {task}",
                    task,
                    LossSpec.from_json({"parts": [{"term": name, "reduction": {"cvar": 0.4}}]}),
                )


LOSSES = {name: (task, spec) for name, task, spec in [*term_specs()]}


def facts_of(task: str, spec: LossSpec, groups: int = GROUPS) -> LossFacts:
    more = {"target_mean": 6.0, "target_scale": 8.0} if task == "regression" else {}
    return LossFacts(spec, task, classes=CLASSES[task] or 2, class_prior=PRIORS[task], groups=groups, **more)


def modules(facts: LossFacts) -> list[nn.Module]:
    """The composed loss and the exported one."""
    namespace: dict[str, Any] = {"__name__": "loss"}
    exec(compile(loss_source(facts), "loss.py", "exec"), namespace)
    return [facts.module().double(), namespace["Loss"]().double()]


def given(facts: LossFacts, seed: int = 0) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    source = torch.Generator().manual_seed(seed)
    shape = (BATCH, facts.classes) if facts.task == "multiclass" else (BATCH,)
    output = 2 * torch.randn(shape, generator=source, dtype=torch.float64)
    target = torch.arange(BATCH) % max(facts.classes, 2)
    if facts.task == "regression":
        target = torch.randn(BATCH, generator=source, dtype=torch.float64)
    made = {
        "group": torch.arange(BATCH) // 2 % GROUPS
        if facts.groups != 1
        else torch.randn(BATCH, generator=source, dtype=torch.float64),
        "features": torch.randn(BATCH, 3, generator=source, dtype=torch.float64),
    }
    return output, target, {name: made[name] for name in facts.beside()}


def value_and_slope(loss: nn.Module, output: Tensor, target: Tensor, **more: Any) -> tuple[Tensor, Tensor]:
    leaf = output.clone().requires_grad_()
    value = loss(leaf, target, **more)
    (slope,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), slope


def one_hot(facts: LossFacts, target: Tensor) -> Tensor:
    return F.one_hot(target, facts.classes).double()


def close(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


every_loss = pytest.mark.parametrize("name", list(LOSSES))


def sampled_facts(name: str, draws: int = 8) -> list[LossFacts]:
    """Facts of specs drawn from a bundled space."""
    space, random = load_space(name), np.random.default_rng(0)
    groups = 1 if name.endswith("_attribute") else GROUPS
    return [facts_of(space.task, space.sample(Draw(random)), groups) for _ in range(draws)]


def check_weights(facts: LossFacts) -> None:
    """Whole weights are repeated rows, value and gradient; composed and exported."""
    output, target, beside = given(facts)
    weight = torch.tensor([0, 1, 2, 3, 1] * 3)
    rows = torch.arange(BATCH).repeat_interleave(weight)
    composed, exported = modules(facts)
    repeated, _ = modules(facts)
    for _ in range(2):  # the second time with what terms carry from batch to batch
        found = value_and_slope(composed, output, target, weight=weight.double(), **beside)
        alike = value_and_slope(exported, output, target, weight=weight.double(), **beside)
        more = {name: value[rows] for name, value in beside.items()}
        value, slope = value_and_slope(repeated, output[rows], target[rows], **more)
        torch.testing.assert_close(found[0], value, rtol=1e-7, atol=1e-9)
        summed = torch.zeros_like(output).index_add(0, rows, slope)
        torch.testing.assert_close(found[1], summed, rtol=1e-6, atol=1e-9)
        close(alike, found)


def check_one_hot(facts: LossFacts) -> None:
    output, target, beside = given(facts)
    for hard, soft in zip(modules(facts), modules(facts), strict=True):
        for _ in range(2):
            expected = value_and_slope(hard, output, target, **beside)
            close(value_and_slope(soft, output, one_hot(facts, target), **beside), expected)


def check_probabilities(facts: LossFacts) -> None:
    """A mean over samples is the mean over labels drawn from the probabilities; else `SpecError` names the term."""
    output, _, beside = given(facts)
    shares = torch.softmax(torch.randn(BATCH, facts.classes, generator=torch.Generator().manual_seed(1)).double(), -1)
    composed, exported = modules(facts)
    if facts.spec.needs_ids:
        with pytest.raises(SpecError, match=f"{facts.spec.needs_ids} reads class ids, not probabilities"):
            composed(output, shares, **beside)
        with pytest.raises(ValueError, match=f"{facts.spec.needs_ids} reads class ids, not probabilities"):
            exported(output, shares, **beside)
        return
    found = value_and_slope(composed, output, shares, **beside)
    close(value_and_slope(exported, output, shares, **beside), found)
    assert bool(found[0].isfinite())
    if facts.task == "binary":
        close(value_and_slope(modules(facts)[0], output, shares[:, 1], **beside), found)
    if all(
        part.is_mean and "labels" in part.term.reads and "group" not in part.term.reads for part in facts.spec.parts
    ):
        rows = [
            value_and_slope(composed, output, torch.full((BATCH,), c), weight=shares[:, c], **beside)
            for c in range(facts.classes)
        ]
        total = shares.sum(0) / BATCH
        if not facts.learned:
            close(sum(value * share for (value, _), share in zip(rows, total, strict=True)), found[0])


def check_reductions(facts: LossFacts) -> None:
    """The sum and the weighted mean of each sample's loss; a loss of a whole batch has the mean alone."""
    output, target, beside = given(facts)
    weight = torch.rand(BATCH, generator=torch.Generator().manual_seed(2)).double() + 0.1
    for loss, kind in zip(modules(facts), (SpecError, ValueError), strict=True):
        loss.eval()
        if facts.spec.batch_level:
            for reduction in ("sum", "none"):
                with pytest.raises(kind, match=r"must be mean, since .* gives one value per batch"):
                    loss(output, target, reduction=reduction, **beside)
            continue
        for more in ({}, {"weight": weight}):
            each = loss(output, target, reduction="none", **more, **beside)
            assert each.shape == (BATCH,)
            close(loss(output, target, reduction="sum", **more, **beside), each.sum())
            mean = each.sum() / (weight.sum() if more else BATCH)
            close(loss(output, target, **more, **beside), mean)


@every_loss
def test_whole_weights_are_repeated_rows(name: str) -> None:
    check_weights(facts_of(*LOSSES[name]))


CLASSIFYING = [name for name, (task, _) in LOSSES.items() if task != "regression"]
classifying = pytest.mark.parametrize("name", CLASSIFYING)


@classifying
def test_one_hot_probabilities_are_class_ids(name: str) -> None:
    check_one_hot(facts_of(*LOSSES[name]))


@classifying
def test_probabilities_are_expectations(name: str) -> None:
    check_probabilities(facts_of(*LOSSES[name]))


@pytest.mark.parametrize("space", bundled_spaces())
def test_sampled_specs_keep_the_contract(space: str) -> None:
    for facts in sampled_facts(space):
        check_weights(facts)
        check_reductions(facts)
        if facts.task != "regression":
            check_one_hot(facts)
            check_probabilities(facts)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_with_probabilities_is_that_of_pytorch(smoothing: float, reduction: str) -> None:
    spec = LossSpec.from_json({"parts": [{"term": "cross_entropy", "smoothing": smoothing}]})
    facts = facts_of("multiclass", spec)
    output, _, _ = given(facts)
    shares = torch.softmax(output.flip(0), -1)
    for loss in modules(facts):
        expected = F.cross_entropy(output, shares, label_smoothing=smoothing, reduction=reduction)
        close(loss(output, shares, reduction=reduction), expected)


@pytest.mark.parametrize("term", ["binary_cross_entropy", "cross_entropy"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_binary_cross_entropy_with_probabilities_is_that_of_pytorch(term: str, reduction: str) -> None:
    facts = facts_of("binary", LossSpec.from_json({"parts": [{"term": term}]}))
    output, _, _ = given(facts)
    share = torch.sigmoid(output.flip(0))
    weight = torch.rand(BATCH, generator=torch.Generator().manual_seed(2)).double()
    for loss in modules(facts):
        for target in (share, share[:, None], torch.stack((1 - share, share), -1)):
            expected = F.binary_cross_entropy_with_logits(output, share, reduction=reduction)
            close(loss(output, target, reduction=reduction), expected)
        each = F.binary_cross_entropy_with_logits(output, share, reduction="none") * weight
        expected = {"none": each, "sum": each.sum(), "mean": each.sum() / weight.sum()}[reduction]
        close(loss(output, share, weight=weight, reduction=reduction), expected)


BAD: dict[str, tuple[str, Any, str]] = {
    "above one": ("binary", [2.5], "got 2.5"),
    "below zero": ("binary", [-1.0], "got -1"),
    "id below zero": ("binary", [-1], "class id from 0 to 1.*got -1"),
    "id too large": ("binary", [2], "class id from 0 to 1.*got 2"),
    "not a number": ("binary", [torch.nan], "got nan"),
    "no sum of one": ("binary", [[0.9, 0.3]], r"got \[0.9, 0.3\] in row 1"),
    "fraction of a class": ("multiclass", [2.5], "class id from 0 to 3.*got 2.5"),
    "ignored by PyTorch": ("multiclass", [-100], "got -100"),
    "beyond the classes": ("multiclass", [4], "got 4"),
    "class not a number": ("multiclass", [torch.nan], "got nan"),
    "shares below zero": ("multiclass", [[1.5, -0.5, 0.0, 0.0]], r"got \[1.5, -0.5, 0, 0\] in row 1"),
    "shares not a number": ("multiclass", [[torch.nan, 0.0, 0.0, 0.0]], "got .nan, 0, 0, 0."),
}


@pytest.mark.parametrize("case", list(BAD))
@pytest.mark.parametrize("term", ["cross_entropy", "soft_f1", "hinge"])
def test_what_is_neither_labels_nor_probabilities_is_refused(term: str, case: str) -> None:
    task, row, message = BAD[case]
    facts = facts_of(task, LossSpec.from_json({"parts": [{"term": term}]}))
    output, _, _ = given(facts)
    odd = torch.tensor(row)
    target = odd.expand(BATCH, *odd.shape[1:]).clone()
    target[0] = F.one_hot(torch.tensor(0), odd.shape[1]) if odd.dim() == 2 else 0
    for loss, kind in zip(modules(facts), (SpecError, ValueError), strict=True):
        with pytest.raises(kind, match=message):
            loss(output, target)
        compiled = torch.func.vmap(lambda o, t, loss=loss: loss(o, t))(output[None], target[None])
        assert bool(compiled.isnan().all())


@pytest.mark.parametrize("shape", [(BATCH + 1,), (BATCH, 3), (1, BATCH), (BATCH, 4, 1), ()])
def test_targets_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    facts = facts_of("multiclass", LossSpec.from_json({"parts": [{"term": "focal"}]}))
    output, _, _ = given(facts)
    for loss, kind in zip(modules(facts), (SpecError, ValueError), strict=True):
        with pytest.raises(kind, match=r"class ids \[15\] or probabilities \[15, 4\], got"):
            loss(output, torch.zeros(shape))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.ones(BATCH + 1), r"weight must be one number per sample, \[15\], got \[16\]"),
        (torch.full((BATCH,), -1.0), "finite numbers of 0 and above, got -1"),
        (torch.full((BATCH,), torch.nan), "finite numbers of 0 and above, got nan"),
        (torch.full((BATCH,), torch.inf), "finite numbers of 0 and above, got inf"),
    ],
)
def test_other_weights_are_refused(weight: Tensor, message: str) -> None:
    facts = facts_of("regression", LossSpec.from_json({"parts": [{"term": "squared"}]}))
    output, target, _ = given(facts)
    for loss, kind in zip(modules(facts), (SpecError, ValueError), strict=True):
        with pytest.raises(kind, match=message):
            loss(output, target, weight=weight)


@every_loss
def test_reductions_add_up_or_are_refused(name: str) -> None:
    check_reductions(facts_of(*LOSSES[name]))


@every_loss
def test_a_batch_without_weight_has_no_loss(name: str) -> None:
    facts = facts_of(*LOSSES[name])
    output, target, beside = given(facts)
    for loss in modules(facts):
        value, slope = value_and_slope(loss, output, target, weight=torch.zeros(BATCH), **beside)
        assert bool(value.isfinite())
        assert not slope.any()


@pytest.mark.parametrize("space", bundled_spaces())
def test_a_loaded_loss_is_the_composed_one(space: str, tmp_path: Path) -> None:
    for place, facts in enumerate(sampled_facts(space, draws=2)):
        folder = tmp_path / str(place)
        write_bundle(
            folder,
            facts.spec,
            task=facts.task,
            classes=facts.classes,
            class_prior=facts.class_prior,
            groups=facts.groups,
        )
        output, target, beside = given(facts)
        if facts.task != "regression" and not facts.spec.needs_ids:
            target = torch.softmax(torch.randn(BATCH, facts.classes, generator=torch.Generator().manual_seed(1)), -1)
        weight = torch.arange(float(BATCH))
        reduction = "mean" if facts.spec.batch_level else "none"
        of_file = replace(facts, target_mean=0.0, target_scale=1.0)
        loaded, composed = load_loss(folder, reduction=reduction).double(), of_file.module(reduction).double()
        expected = value_and_slope(composed, output, target, weight=weight, **beside)
        close(value_and_slope(loaded, output, target, weight=weight, **beside), expected)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("term", ["cross_entropy", "ldam", "soft_f1"])
def test_a_compiled_loss_is_the_same_and_marks_bad_targets(term: str, soft: bool) -> None:
    """In one graph, which reads no values."""
    facts = facts_of("multiclass", LossSpec.from_json({"parts": [{"term": term}]}))
    output, target, _ = given(facts)
    target = torch.softmax(output.flip(0), -1) if soft else target
    weight = torch.arange(float(BATCH))
    for loss in modules(facts):
        torch.compiler.reset()
        compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
        close(compiled(output, target, weight=weight), loss(output, target, weight=weight))
        bad = target.clone()
        bad[3] = torch.tensor([0.9, 0.3, 0.0, 0.0]) if soft else 9
        assert bool(compiled(output, bad, weight=weight).isnan())
