"""A spec as a module: its value is that of PyTorch, of the paper's formula, or of plain numpy."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from losssearch.errors import SpecError, UnknownNameError
from losssearch.losses import terms
from losssearch.losses.compose import ComposedLoss, compose
from losssearch.losses.inputs import STANDARD
from losssearch.losses.spec import LossSpec
from losssearch.losses.state import Dimensions

BATCH, CLASSES = 24, 4


@pytest.fixture
def source() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def loss(term: str, **part: Any) -> ComposedLoss:
    return compose({"parts": [{"term": term, **part}]})


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_that_of_pytorch(source: torch.Generator, smoothing: float) -> None:
    logits = torch.randn(BATCH, CLASSES, generator=source)
    labels = torch.randint(CLASSES, (BATCH,), generator=source)
    expected = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    torch.testing.assert_close(loss("cross_entropy", smoothing=smoothing)(logits, labels), expected)


@pytest.mark.parametrize("term", ["binary_cross_entropy", "cross_entropy"])
@pytest.mark.parametrize("shape", [(BATCH,), (BATCH, 1)])
@pytest.mark.parametrize("dtype", [torch.int64, torch.float32, torch.bool])
def test_binary_logit_of_either_shape(
    source: torch.Generator, term: str, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    """Oracle: torch's binary_cross_entropy_with_logits; terms over classes see the logit as two scores."""
    logit = torch.randn(shape, generator=source, requires_grad=True)
    labels = torch.randint(2, shape, generator=source)
    expected = F.binary_cross_entropy_with_logits(logit, labels.float())
    value = loss(term)(logit, labels.to(dtype))
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(
        torch.autograd.grad(value, logit)[0], torch.autograd.grad(expected, logit)[0], rtol=1e-5, atol=1e-8
    )


def test_a_term_on_one_logit_sees_the_difference_of_two_scores(source: torch.Generator) -> None:
    scores = torch.randn(BATCH, 2, generator=source)
    labels = torch.randint(2, (BATCH,), generator=source)
    torch.testing.assert_close(loss("binary_cross_entropy")(scores, labels), F.cross_entropy(scores, labels))


@pytest.mark.parametrize(
    ("term", "hyper", "expected"),
    [
        ("squared", {}, F.mse_loss),
        ("absolute", {}, F.l1_loss),
        ("huber", {"delta": 0.7}, lambda p, t: F.huber_loss(p, t, delta=0.7)),
    ],
)
@pytest.mark.parametrize("shape", [(BATCH,), (BATCH, 1)])
def test_regression_losses_are_those_of_pytorch(
    source: torch.Generator, term: str, hyper: dict[str, float], expected: Any, shape: tuple[int, ...]
) -> None:
    prediction, target = torch.randn(2, *shape, generator=source)
    torch.testing.assert_close(loss(term, **hyper)(prediction, target), expected(prediction, target))


def test_parts_add_up_by_weight_over_scale(source: torch.Generator) -> None:
    prediction, target = torch.randn(2, BATCH, generator=source)
    combined = compose(
        {"parts": [{"term": "squared", "weight": 3, "scale": 0.5}, {"term": "absolute", "weight": 1, "scale": 4}]}
    )
    expected = 0.75 / 0.5 * F.mse_loss(prediction, target) + 0.25 / 4 * F.l1_loss(prediction, target)
    torch.testing.assert_close(combined(prediction, target), expected)


@pytest.mark.parametrize("share", [0.01, 0.25, 0.33, 0.5, 0.99, 1.0])
def test_cvar_is_the_mean_of_the_worst_share(source: torch.Generator, share: float) -> None:
    """Oracle: numpy; where the share is no whole number of samples, the last one counts in part."""
    prediction, target = torch.randn(2, BATCH, generator=source, dtype=torch.float64)
    worst = np.sort(np.abs((target - prediction).numpy()))[::-1]
    whole, rest = divmod(share * BATCH, 1)
    expected = (worst[: int(whole)].sum() + (rest * worst[int(whole)] if rest else 0)) / (share * BATCH)
    value = loss("absolute", reduction={"cvar": share})(prediction, target)
    assert float(value) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("progress", "expected"), [(0.0, 2.0), (0.5, 1.25), (1.0, 0.5)])
@pytest.mark.parametrize("kind", [float, torch.tensor])
def test_linear_schedule_follows_progress(source: torch.Generator, progress: float, expected: float, kind: Any) -> None:
    prediction, target = torch.randn(2, BATCH, generator=source)
    scheduled = loss("squared", weight={"schedule": "linear", "start": 2.0, "end": 0.5})
    value = scheduled(prediction, target, progress=kind(progress))
    torch.testing.assert_close(value, expected * F.mse_loss(prediction, target))


def test_a_schedule_leaves_constant_weights_as_they_were_written(source: torch.Generator) -> None:
    prediction, target = torch.randn(2, BATCH, generator=source)
    mixed = compose(
        {
            "parts": [
                {"term": "squared", "weight": {"schedule": "linear", "start": 1.0, "end": 0.0}},
                {"term": "absolute", "weight": 3.0},
            ]
        }
    )
    torch.testing.assert_close(mixed(prediction, target, progress=1.0), 3 * F.l1_loss(prediction, target))


def test_uncertainty_weighting_is_that_of_the_paper(source: torch.Generator) -> None:
    """Kendall et al. 2018, eq. 10 with s = log σ²: exp(-s) L + s / 2, least where exp(s) = 2 L."""
    prediction, target = torch.randn(2, BATCH, generator=source)
    weighted = loss("squared", weight={"learned": "uncertainty"}, scale=0.5)
    plain = F.mse_loss(prediction, target) / 0.5
    (s,) = weighted.parameters()
    torch.testing.assert_close(weighted(prediction, target), plain)
    with torch.no_grad():
        s.fill_(0.7)
    torch.testing.assert_close(weighted(prediction, target), math.exp(-0.7) * plain + 0.35)
    with torch.no_grad():
        s.copy_((2 * plain).log())
    weighted(prediction, target).backward()
    assert float(s.grad) == pytest.approx(0, abs=1e-6)


def test_learned_scalars_are_parameters_and_move(source: torch.Generator) -> None:
    prediction, target = torch.randn(2, BATCH, generator=source)
    learning = compose(
        {"parts": [{"term": "general_robust", "weight": {"learned": "uncertainty"}}, {"term": "squared"}]}
    )
    assert {name.split(".")[-1] for name, _ in learning.named_parameters()} == {
        "0_shape",
        "0_log_scale",
        "0_log_variance",
    }
    optimiser = torch.optim.SGD(learning.parameters(), lr=0.1)
    before = [parameter.detach().clone() for parameter in learning.parameters()]
    learning(prediction, target).backward()
    optimiser.step()
    assert all(not torch.equal(a, b) for a, b in zip(before, learning.parameters(), strict=True))


def test_learned_scalars_of_two_parts_do_not_mix(source: torch.Generator) -> None:
    prediction, target = torch.randn(2, BATCH, generator=source)
    uncertain = {"learned": "uncertainty"}
    both = compose({"parts": [{"term": "absolute", "weight": uncertain}, {"term": "squared", "weight": uncertain}]})
    with torch.no_grad():
        both.learned["0_log_variance"].fill_(1.0)
    expected = math.exp(-1) * F.l1_loss(prediction, target) + 0.5 + F.mse_loss(prediction, target)
    torch.testing.assert_close(both(prediction, target), expected)


READ_PRIOR = [name for name, term in terms.items() if "class_prior" in term.reads]


@pytest.mark.parametrize("term", READ_PRIOR)
def test_class_prior_is_asked_for(source: torch.Generator, term: str) -> None:
    classes = 2 if "logit" in terms[term].reads else CLASSES
    logits = torch.randn(BATCH, classes, generator=source)
    labels = torch.randint(classes, (BATCH,), generator=source)
    prior = torch.arange(1.0, classes + 1)
    prior /= prior.sum()
    with pytest.raises(SpecError, match="give the share of each class"):
        loss(term)(logits, labels)
    given = loss(term)(logits, labels, class_prior=prior)
    kept = compose({"parts": [{"term": term}]}, class_prior=prior)
    torch.testing.assert_close(kept(logits, labels), given)
    assert not torch.equal(kept(logits, labels, class_prior=prior.flip(0)), given)
    torch.testing.assert_close(kept.state_dict()["class_prior"], prior)


@pytest.mark.parametrize(
    ("term", "output", "target", "message"),
    [
        ("squared", (BATCH, BATCH), (BATCH,), "one prediction per sample"),
        ("squared", (BATCH,), (BATCH + 1,), "one number per sample"),
        ("binary_cross_entropy", (BATCH, 3), (BATCH,), "two classes"),
        ("cross_entropy", (BATCH, 3), (1,), "as many targets"),
        ("cross_entropy", (BATCH, 3, 2), (BATCH,), r"\[batch\], \[batch, 1\] or \[batch, columns\]"),
        ("ldam", (BATCH, 3), (BATCH,), "class_prior"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    term: str, output: tuple[int, ...], target: tuple[int, ...], message: str
) -> None:
    """Broadcasting would give a number that means nothing."""
    prior = torch.full((5,), 0.2)
    with pytest.raises(SpecError, match=message):
        loss(term)(torch.zeros(output), torch.zeros(target), class_prior=prior)


def test_a_bad_spec_is_refused() -> None:
    with pytest.raises(SpecError, match="an object with a list"):
        compose({"term": "focal"})
    with pytest.raises(UnknownNameError, match="focal"):
        compose({"parts": [{"term": "focall"}]})


def test_takes_a_spec_or_its_json(source: torch.Generator) -> None:
    data = {"parts": [{"term": "squared"}, {"term": "absolute", "weight": 2.0}]}
    prediction, target = torch.randn(2, BATCH, generator=source)
    torch.testing.assert_close(
        compose(LossSpec.from_json(data))(prediction, target), compose(data)(prediction, target), rtol=0, atol=0
    )


@pytest.mark.parametrize("term", [name for name, term in terms.items() if "zero" in term.reads])
def test_zero_is_asked_for(source: torch.Generator, term: str) -> None:
    prediction, target = torch.randn(2, BATCH, generator=source)
    with pytest.raises(SpecError, match="reads zero: give where the target's own zero lies, 0 for raw targets"):
        loss(term)(prediction, target)
    given = loss(term)(prediction, target, zero=torch.tensor(-0.9))
    kept = compose({"parts": [{"term": term}]}, zero=-0.9)
    torch.testing.assert_close(kept(prediction, target), given)
    assert not torch.equal(kept(prediction, target, zero=torch.tensor(0.0)), given)
    torch.testing.assert_close(kept.state_dict()["zero"], torch.tensor(-0.9))


def test_a_loss_that_does_not_read_zero_does_not_keep_it() -> None:
    assert not compose({"parts": [{"term": "squared"}]}, zero=-0.9).state_dict()


@pytest.mark.parametrize("again", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_copies_and_pickles(source: torch.Generator, again: Any) -> None:
    prediction, target = torch.randn(2, BATCH, generator=source)
    original = loss("general_robust", weight={"learned": "uncertainty"})
    with torch.no_grad():
        for parameter in original.parameters():
            parameter.add_(0.3)
    torch.testing.assert_close(again(original)(prediction, target), original(prediction, target), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_keeps_the_dtype_of_the_output(source: torch.Generator, dtype: torch.dtype) -> None:
    output = torch.randn(BATCH, CLASSES, generator=source, dtype=dtype)
    labels = torch.randint(CLASSES, (BATCH,), generator=source)
    mixed = compose(
        {
            "parts": [
                {"term": "ldam", "reduction": {"cvar": 0.4}},
                {"term": "soft_f1", "weight": {"schedule": "linear", "start": 0, "end": 1}},
                {"term": "focal", "weight": {"learned": "uncertainty"}},
            ]
        },
        class_prior=torch.full((CLASSES,), 1 / CLASSES),
    )
    assert mixed(output, labels, progress=0.3).dtype == dtype


def test_prints_its_formula() -> None:
    assert "0.25·absolute + 0.75·squared" in repr(
        compose({"parts": [{"term": "squared", "weight": 3}, {"term": "absolute"}]})
    )


def test_equals_the_term_alone(source: torch.Generator) -> None:
    """`LossTerm.module` and `compose` are two ways to one loss."""

    def inputs(name: str) -> tuple[Tensor, Tensor]:
        if "prediction" in terms[name].reads:
            return torch.randn(BATCH, generator=source), torch.randn(BATCH, generator=source)
        classes = 2 if "logit" in terms[name].reads else CLASSES
        return torch.randn(BATCH, classes, generator=source), torch.arange(BATCH) % classes

    for name, term in terms.items():
        if not term.fits(frozenset(STANDARD.providers)):
            continue  # what it reads is of one kind of task
        if term.family == "given":
            continue  # what a training loop gives by name
        output, target = inputs(name)
        prior = torch.full((output.shape[-1],), 1 / output.shape[-1])
        score = output[:, 1] - output[:, 0] if "logit" in term.reads else output
        named = {"logits": output, "logit": score, "prediction": output, "scores": output}
        named["predicted"] = output.softmax(-1)
        if output.dim() == 2:
            named["plain_loss"] = torch.nn.functional.cross_entropy(output, target, reduction="none")
            named["goal"] = torch.nn.functional.one_hot(target, output.shape[-1]).float()
        named |= {"labels": target, "target": target, "class_prior": prior, "progress": torch.tensor(0.0)}
        named["zero"] = torch.tensor(-0.7)
        features, ids = torch.randn(BATCH, 3, generator=source), torch.arange(BATCH) % 3
        classes = output.shape[-1] if output.dim() == 2 else 2
        named |= {"group": torch.eye(3)[ids]}
        named |= {"distance": (features[:, None] - features).square().mean(-1).sqrt()}
        choices = {key: value for key, value in term.defaults.items() if isinstance(value, str)}
        dimensions = Dimensions(classes, 3, BATCH, choices=choices)
        kept = {key: state.start(dimensions, key) for key, state in term.states.items() if key not in term.learned}
        alone = term.module()(*(named[read] for read in term.reads), **kept)
        composed = compose({"parts": [{"term": name}]}, groups=3, classes=classes, zero=-0.7, rows=BATCH)
        found = composed(output, target, class_prior=prior, group=ids, features=features, index=torch.arange(BATCH))
        torch.testing.assert_close(found, alone)
