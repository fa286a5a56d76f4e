"""A term as a module has PyTorch's habits."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F

from losssearch.errors import SpecError
from losssearch.losses import terms

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
        ("soft_f1", {"reduction": "none"}, "must be one of mean, since it gives one value a batch"),
        ("focal", {"gama": 1.0}, "focal has no hyperparameter 'gama'; it has: gamma"),
        ("focal", {"gamma": 9.0}, r"focal.gamma must lie in \[0, 5\], got 9.0"),
        ("pairwise_auc", {"surrogate": "cubic"}, "must be one of logistic, squared_hinge, got 'cubic'"),
    ],
)
def test_bad_options_are_refused(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        terms[name].module(**options)
