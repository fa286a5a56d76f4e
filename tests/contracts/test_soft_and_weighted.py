"""The contract of targets and weights: composed, loaded and exported losses alike, for every term and sampled specs.

A target may be class ids or probabilities, a sample may count as often as its weight says.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from losssearch.errors import SpecError
from losssearch.export.bundle import write_bundle
from losssearch.export.facts import LossFacts
from losssearch.export.reading import load_loss
from losssearch.losses.spec import LossSpec
from losssearch.space import bundled_spaces
from tests.contracts.written_losses import (
    BATCH,
    LOSSES,
    close,
    facts_of,
    given,
    modules,
    one_hot,
    sampled_facts,
    value_and_slope,
)

every_loss = pytest.mark.parametrize("name", list(LOSSES))


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
        more |= {"index": torch.arange(len(rows))} if "index" in more else {}  # a repeated row is a row of its own
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
            value_and_slope(modules(facts)[0], output, torch.full((BATCH,), c), weight=shares[:, c], **beside)
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


@pytest.mark.parametrize(
    "space",
    [name for name in bundled_spaces() if name not in ("count", "distribution", "ordinal", "ranking", "survival")],
)
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


@pytest.mark.parametrize(
    "space",
    [name for name in bundled_spaces() if name not in ("count", "distribution", "ordinal", "ranking", "survival")],
)
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
