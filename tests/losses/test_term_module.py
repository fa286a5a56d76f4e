"""A term as a module has PyTorch's habits."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F

from losssearch.errors import SpecError
from losssearch.losses import terms
from losssearch.losses.compose import compose

LOGITS = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(10) % 3


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_reductions_are_those_of_torch(reduction: str) -> None:
    ours = terms["cross_entropy"].module(smoothing=0.1, reduction=reduction)(LOGITS, LABELS)
    torch.testing.assert_close(ours, F.cross_entropy(LOGITS, LABELS, label_smoothing=0.1, reduction=reduction))


def test_the_default_reduction_is_the_mean() -> None:
    torch.testing.assert_close(terms["cross_entropy"].module()(LOGITS, LABELS), F.cross_entropy(LOGITS, LABELS))


def test_hyperparameters_keep_the_precision_of_the_output() -> None:
    value = terms["generalised_cross_entropy"].module(q=0.7)(LOGITS.double(), LABELS)
    p = torch.softmax(LOGITS.double(), 1)[torch.arange(10), LABELS]
    torch.testing.assert_close(value, ((1 - p**0.7) / 0.7).mean(), rtol=1e-12, atol=0)


def test_choices_reach_the_term() -> None:
    logit, labels = torch.tensor([0.5, -0.5]), torch.tensor([1, 0])
    assert float(terms["pairwise_auc"].module(surrogate="squared_hinge")(logit, labels)) == 0


def test_prints_its_hyperparameters() -> None:
    assert repr(terms["focal"].module(gamma=1.5)) == "TermModule(focal, gamma=1.5, reduction=mean)"


def test_learned_scalars_are_parameters() -> None:
    loss = terms["general_robust"].module(reduction="sum")
    assert {name for name, _ in loss.named_parameters()} == {"shape", "log_scale"}
    loss(torch.zeros(4), torch.ones(4)).backward()
    assert all(parameter.grad.isfinite() and parameter.grad != 0 for parameter in loss.parameters())


@pytest.mark.parametrize("name", ["focal", "general_robust"])
def test_can_be_copied_and_pickled(name: str) -> None:
    loss = terms[name].module(reduction="sum")
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert twin.term is terms[name]
        assert twin.extra_repr() == loss.extra_repr()
        assert twin.state_dict() == loss.state_dict()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("focal", {"reduction": "max"}, "focal's reduction must be one of mean, sum, none; got 'max'"),
        ("soft_f1", {"reduction": "none"}, "must be one of mean, since it gives one value per batch"),
        ("focal", {"gama": 1.0}, "focal has no hyperparameter 'gama'; it has: gamma"),
        ("focal", {"gamma": 9.0}, r"focal.gamma must lie in \[0, 5\], got 9.0"),
        ("pairwise_auc", {"surrogate": "cubic"}, "must be one of logistic, squared_hinge, got 'cubic'"),
    ],
)
def test_bad_options_are_refused(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        terms[name].module(**options)


def test_binary_logits_of_one_column_are_two_classes() -> None:
    """A logit z is shown to a term over classes as (-z/2, z/2), as a composed loss shows it."""
    logit, labels = torch.tensor([0.5, -1.5, 2.0]), torch.tensor([1, 0, 0])
    focal = terms["focal"].module(gamma=2.0)
    expected = compose({"parts": [{"term": "focal", "gamma": 2.0}]})(logit, labels)
    for shown in (logit, logit[:, None], torch.stack((-logit / 2, logit / 2), -1)):
        torch.testing.assert_close(focal(shown, labels), expected)
    plain = terms["binary_cross_entropy"].module()
    for shown in (logit, logit[:, None], torch.stack((-logit / 2, logit / 2), -1)):
        torch.testing.assert_close(plain(shown, labels), F.binary_cross_entropy_with_logits(logit, labels.float()))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_weights_are_those_of_the_composed_loss(reduction: str) -> None:
    weight = torch.arange(10.0)
    ours = terms["focal"].module(reduction=reduction)(LOGITS, LABELS, weight=weight)
    composed = compose({"parts": [{"term": "focal"}]}, reduction=reduction)
    torch.testing.assert_close(ours, composed(LOGITS, LABELS, weight=weight))
    rows = torch.arange(10).repeat_interleave(weight.long())
    if reduction != "none":
        torch.testing.assert_close(ours, terms["focal"].module(reduction=reduction)(LOGITS[rows], LABELS[rows]))


def test_weights_of_a_batch_level_term_count_rows() -> None:
    weight = torch.arange(10)
    rows = torch.arange(10).repeat_interleave(weight)
    loss = terms["soft_f1"].module()
    torch.testing.assert_close(loss(LOGITS, LABELS, weight=weight), loss(LOGITS[rows], LABELS[rows]))


def test_probabilities_are_targets() -> None:
    shares = torch.softmax(LOGITS.flip(0), -1)
    loss = terms["cross_entropy"].module(smoothing=0.1)
    torch.testing.assert_close(loss(LOGITS, shares), F.cross_entropy(LOGITS, shares, label_smoothing=0.1))
    with pytest.raises(SpecError, match="one_vs_rest_auc reads class ids, not probabilities"):
        terms["one_vs_rest_auc"].module()(LOGITS, shares)


@pytest.mark.parametrize(
    ("name", "tensors", "message"),
    [
        ("focal", (LOGITS,), "focal reads logits, labels, so it takes 2 tensors; got 1"),
        ("focal", (LOGITS[None], LABELS), r"reads logits \[batch, classes\], or \[batch\] of two classes"),
        ("focal", (LOGITS, LABELS[:3]), "as many targets as outputs"),
        ("focal", (LOGITS[:, 0], LABELS), "class id from 0 to 1"),
        ("pairwise_auc", (LOGITS, LABELS), r"reads the logit of class 1 \[batch\], or two scores, got \[10, 3\]"),
        ("squared", (LOGITS, LABELS), r"reads predictions \[batch\], got \[10, 3\]"),
        ("squared", (LOGITS[:, 0], LOGITS[:4, 0]), r"reads target \[10\] for outputs \[10\], got \[4\]"),
        ("ldam", (LOGITS, LABELS, torch.full((2,), 0.5)), r"reads class_prior \[3\] for outputs \[10, 3\], got \[2\]"),
        ("hsic", (LOGITS, LABELS), r"reads group \[10, groups\] for outputs \[10, 3\], got \[10\]"),
    ],
)
def test_other_shapes_are_refused(name: str, tensors: tuple[torch.Tensor, ...], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        terms[name].module()(*tensors)
