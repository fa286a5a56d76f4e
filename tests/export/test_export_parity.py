"""The exported source computes what the searched loss computes: value, gradient, learned scalars' gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from losssearch.errors import SpecError
from losssearch.export.facts import LossFacts
from losssearch.export.source import loss_source
from losssearch.losses.compose import compose
from losssearch.losses.spec import LossSpec
from tests.contracts.written_losses import placed


def executed(facts: LossFacts) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "loss", "__file__": placed(facts)}
    exec(compile(loss_source(facts), "loss.py", "exec"), namespace)
    return namespace


def batch(facts: LossFacts, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (17, facts.classes) if facts.task == "multiclass" else (17,)
    output = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    if facts.task == "regression":
        return output, torch.randn(17, generator=generator, dtype=torch.float64)
    return output, torch.arange(17) % facts.classes


def beside(facts: LossFacts) -> dict[str, Tensor]:
    features = torch.randn(17, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    made = {"group": torch.arange(17) // 2 % 3, "features": features, "index": torch.arange(17).flip(0)}
    return {name: made[name] for name in facts.extra()}


def value_and_gradients(
    loss: nn.Module, scalars: list[nn.Parameter], output: Tensor, target: Tensor, **more: Any
) -> list[Tensor]:
    """Of the second of two batches, when a loss that carries something carries it."""
    loss(output.flip(0), target, **more)
    output = output.clone().requires_grad_()
    value = loss(output, target, **more)
    return [value.detach(), *torch.autograd.grad(value, [output, *scalars])]


@pytest.mark.parametrize("progress", [0.0, 0.35, 1.0])
def test_equals_the_searched_loss(any_facts: LossFacts, progress: float) -> None:
    exported, searched = executed(any_facts)["Loss"]().double(), any_facts.module().double()
    output, target = batch(any_facts)
    known = {"progress": progress} if any_facts.scheduled else {}
    kept, names = [kept for kept in any_facts.kept() if kept.state.optimised], any_facts.attributes()
    own = [getattr(exported, names[kept.place, kept.name]) for kept in kept]
    theirs = [searched.learned[kept.key] for kept in kept]
    assert len(own) == len(list(exported.parameters()))
    given = beside(any_facts)
    found = value_and_gradients(exported, own, output, target, **known, **given)
    expected = value_and_gradients(searched, theirs, output, target, progress=progress, **given)
    assert len(found) == len(expected) == 2 + len(kept)
    one_column = output.dim() == 1 and any(part.name == "decorrelation" for part in any_facts.spec.parts)
    assert one_column or expected[1].abs().max() > 0
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6 * float(b.abs().max()))


def test_the_file_checks_itself(any_facts: LossFacts) -> None:
    of_value, of_gradient = executed(any_facts)["check"]()
    assert max(of_value, of_gradient) <= 1e-12


def test_the_check_sees_a_changed_loss() -> None:
    facts = LossFacts(
        LossSpec.from_json({"parts": [{"term": "focal", "gamma": 1.5}]}), "binary", class_prior=(0.5, 0.5)
    )
    namespace: dict[str, Any] = {"__name__": "loss"}
    exec(loss_source(facts).replace("labels, gamma=1.5)", "labels, gamma=1.5001)"), namespace)
    assert min(namespace["check"]()) > 1e-6
    assert namespace["main"]() == 1


def test_set_progress_is_the_same_as_passing_it(all_facts: dict[str, LossFacts]) -> None:
    facts = all_facts["linear schedule"]
    loss = executed(facts)["Loss"]().double()
    output, target = batch(facts)
    loss.set_progress(0.75)
    assert loss(output, target) == loss(output, target, progress=0.75)
    assert loss(output, target) != loss(output, target, progress=0.0)


def test_another_class_prior_can_be_given(all_facts: dict[str, LossFacts]) -> None:
    facts = all_facts["logit_adjustment in multiclass"]
    output, target = batch(facts)
    prior = (0.1, 0.2, 0.7)
    found = executed(facts)["Loss"](class_prior=prior).double()(output, target)
    expected = facts.module().double()(output, target, class_prior=torch.tensor(prior).double())
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_raw_targets_equal_standardised_ones(all_facts: dict[str, LossFacts]) -> None:
    facts = all_facts["cvar"]
    output, target = batch(facts)
    loss = executed(facts)["Loss"]
    raw = loss(target_mean=50.0, target_scale=8.0).double()(output * 8 + 50, target * 8 + 50)
    torch.testing.assert_close(raw, loss().double()(output, target), rtol=1e-9, atol=0)


def test_where_the_zero_of_an_exported_loss_lies(all_facts: dict[str, LossFacts]) -> None:
    """That of the searched data; of raw targets, with a standardisation and without; and as told."""
    facts = all_facts["relative"]
    output, target = batch(facts)
    loss = executed(facts)["Loss"]
    searched = loss().double()(output, target)
    torch.testing.assert_close(
        loss(target_mean=6.0, target_scale=8.0).double()(output * 8 + 6, target * 8 + 6), searched, rtol=1e-9, atol=0
    )
    expected = facts.module().double()
    for arguments, mean, scale, zero in (
        ({"target_mean": 50.0, "target_scale": 8.0}, 50.0, 8.0, -6.25),
        ({"target_mean": 50.0, "target_scale": 8.0, "zero": 10.0}, 50.0, 8.0, -5.0),
        ({"zero": 0.0}, 0.0, 1.0, 0.0),
        ({"zero": -2.5}, 0.0, 1.0, -2.5),
    ):
        found = loss(**arguments).double()(output * scale + mean, target * scale + mean)
        torch.testing.assert_close(found, expected(output, target, zero=torch.tensor(zero)), rtol=1e-9, atol=0)
        assert found != searched


def test_a_scale_must_be_above_zero(all_facts: dict[str, LossFacts]) -> None:
    loss = executed(all_facts["cvar"])["Loss"]
    with pytest.raises(ValueError, match="target_scale > 0"):
        loss(target_scale=0.0)


@pytest.mark.parametrize("name", ["two parts", "pairwise_auc in binary", "cvar"])
def test_a_column_of_outputs_and_half_precision(all_facts: dict[str, LossFacts], name: str) -> None:
    facts = all_facts[name]
    loss = executed(facts)["Loss"]()
    output, target = batch(facts)
    value = loss(output.float(), target)
    torch.testing.assert_close(loss(output.float()[:, None], target), value)
    half = loss(output.bfloat16(), target)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, value, rtol=0.05, atol=0.05)


def test_two_scores_of_a_binary_model(all_facts: dict[str, LossFacts]) -> None:
    facts = all_facts["two parts"]
    output, _ = batch(facts)
    pair = torch.stack((-output / 2, output / 2), dim=-1)
    target = torch.arange(17) % 2
    loss = executed(facts)["Loss"]().double()
    torch.testing.assert_close(loss(pair, target), loss(output, target))


def test_learned_scalars_are_parameters_with_the_searched_values(all_facts: dict[str, LossFacts]) -> None:
    facts = all_facts["the same term twice"]
    parameters = dict(executed(facts)["Loss"]().named_parameters())
    assert sorted(round(p.item(), 6) for p in parameters.values()) == sorted(facts.learned.values())
    assert set(parameters) == {
        f"general_robust_{name}_{index}" for index in (0, 1) for name in ("shape", "log_scale", "log_variance")
    }


def test_many_classes_keep_the_file_small() -> None:
    prior = tuple(1 / 300 for _ in range(300))
    spec = LossSpec.from_json({"parts": [{"term": "logit_adjustment", "tau": 1.3}]})
    facts = LossFacts(spec, "multiclass", classes=300, class_prior=prior)
    assert len(loss_source(facts)) < 30_000
    assert max(executed(facts)["check"]()) <= 1e-6


@pytest.mark.parametrize("name", ["seesaw", "recall_weighted", "early_learning", "temporal_ensembling"])
def test_outputs_of_another_number_of_classes_are_refused_until_it_is_given(name: str) -> None:
    """In the words of the composed loss."""
    spec = LossSpec.from_json({"parts": [{"term": name}]})
    facts = LossFacts(spec, "multiclass", classes=3, class_prior=(0.5, 0.3, 0.2))
    namespace: dict[str, Any] = {"__name__": "loss"}
    exec(compile(loss_source(facts), "loss.py", "exec"), namespace)
    output, target = torch.linspace(-2, 2, 20).reshape(4, 5), torch.arange(4)
    more = {"index": torch.arange(4)} if facts.knows_rows else {}
    told = "this loss keeps something of each of 3 classes, got outputs of 5: give classes= where the loss is made"
    with pytest.raises(ValueError, match=f"^{told}$"):
        namespace["Loss"]()(output, target, **more)
    with pytest.raises(SpecError, match=f"^{told}$"):
        facts.module()(output, target, **more)
    composed = compose(spec, classes=5, class_prior=torch.full((5,), 0.2), rows=10)
    wider = namespace["Loss"](classes=5, **({"rows": 10} if facts.knows_rows else {}))
    for _ in range(2):
        torch.testing.assert_close(wider(output, target, **more), composed(output, target, **more))
