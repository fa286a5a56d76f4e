"""What fairness terms carry from batch to batch: less noise, multipliers that find their constraint, an adversary."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from losssearch.errors import SpecError
from losssearch.losses.compose import ComposedLoss, compose

SHARES = torch.tensor([0.58, 0.27, 0.05, 0.045, 0.035, 0.02])
"""Of six groups, as those of sex × race in adult."""


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def disparity(groups: int, weight: float = 1.0, base: str | None = None, **hyper: Any) -> ComposedLoss:
    parts = [{"term": "group_disparity", "weight": weight, **hyper}]
    return compose({"parts": [{"term": base}, *parts] if base else parts}, groups=groups)


@pytest.mark.parametrize("statistic", ["positive_rate", "true_positive_rate", "equalized_odds"])
def test_the_window_takes_the_noise_of_small_groups_out(statistic: str) -> None:
    """All six groups are served alike: what is read beyond 0 is noise."""
    random = source()
    settings = {"statistic": statistic, "temperature": 0.05, "limit": 0.0}
    windowed = disparity(6, **settings)
    raw, read = disparity(6, **settings, decay=0.0, shrinkage=0.0), []
    for _ in range(400):
        group = torch.multinomial(SHARES, 512, replacement=True, generator=random)
        logit = torch.randn(512, generator=random) - 0.8
        labels = (torch.rand(512, generator=random) < 0.4).long()
        read.append((raw(logit, labels, group=group), windowed(logit, labels, group=group)))
    of_batch, of_window = torch.tensor(read)[200:].mean(0).tolist()
    assert of_batch > 0.2
    assert of_window <= 0.05


@pytest.mark.parametrize("mechanism", ["penalty", "augmented"])
def test_a_strong_penalty_on_means_narrows_the_gap_in_the_longest_window_that_is_searched(mechanism: str) -> None:
    """In a window of 0.99 the gap stays at 0.2 to 0.7: the penalty pushes on after the gap has changed its sign."""
    strong = [{"term": "squared"}, _on_means(weight=10.0, decay=0.9, mechanism=mechanism)]
    assert _gap_of_means([{"term": "squared"}]) > 0.5
    assert _gap_of_means(strong) < 0.1


def _on_means(**own: Any) -> dict[str, Any]:
    return {"term": "group_disparity_regression", "limit": 0.0, **own}


def _gap_of_means(parts: list[dict[str, Any]]) -> float:
    """Of a line through noisy means of two groups, the mean over the last passes."""
    random = source()
    group = (torch.rand(2000, generator=random) < 0.3).long()
    features = torch.randn(2000, 3, generator=random) + torch.stack((group, 0 * group, 0 * group), 1)
    target = features @ torch.tensor([0.8, 0.4, 0.0]) + 0.5 * torch.randn(2000, generator=random)
    loss, weights = compose({"parts": parts}, groups=2), torch.zeros(3, requires_grad=True)
    optimiser, found = torch.optim.Adam([weights], lr=0.01), []
    for _ in range(12):
        for rows in torch.randperm(2000, generator=random).split(128):
            optimiser.zero_grad()
            memberships = {"group": group[rows]} if len(parts) > 1 else {}
            loss(features[rows] @ weights, target[rows], **memberships).backward()
            optimiser.step()
        guess = (features @ weights).detach()
        found.append(float((guess[group == 1].mean() - guess[group == 0].mean()).abs()))
    return sum(found[-4:]) / 4


def people(rows: int = 600) -> tuple[Tensor, Tensor, Tensor]:
    """One feature that tells of the label, and of the group."""
    random = source(1)
    group = (torch.arange(rows) % 3 == 0).long()
    feature = torch.randn(rows, generator=random) + 1.2 * group
    labels = (torch.rand(rows, generator=random) < torch.sigmoid(1.5 * feature - 0.5)).long()
    return feature, labels, group


def trained(loss: ComposedLoss, steps: int = 1500) -> tuple[Tensor, Tensor]:
    """Logits of a logistic regression on the feature and the group, and the group."""
    feature, labels, group = people()
    inputs = torch.stack((feature, group.float(), torch.ones_like(feature)), 1)
    weights = torch.zeros(3, requires_grad=True)
    optimiser = torch.optim.Adam([weights], lr=0.05)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 0.05 * (1 - step / steps)
        optimiser.zero_grad()
        loss(inputs @ weights, labels, group=group).backward()
        optimiser.step()
    return (inputs @ weights).detach(), group


def gap(decisions: Tensor, group: Tensor) -> float:
    return float((decisions[group == 0].mean() - decisions[group == 1].mean()).abs())


LIMIT, TEMPERATURE = 0.1, 1.0


def soft_gap(logit: Tensor, group: Tensor) -> float:
    return gap(torch.sigmoid(logit / TEMPERATURE), group)


def test_without_a_constraint_the_gap_is_far_above_the_limit() -> None:
    logit, group = trained(compose({"parts": [{"term": "binary_cross_entropy"}]}))
    assert soft_gap(logit, group) > 2 * LIMIT


@pytest.mark.parametrize(
    ("mechanism", "violation"),
    [
        ("dual", "worst_pair"),
        ("augmented", "norm_inf"),
        pytest.param("dual", "log_sum_exp", marks=pytest.mark.nightly),
        pytest.param("dual", "norm_inf", marks=pytest.mark.nightly),
        pytest.param("augmented", "worst_pair", marks=pytest.mark.nightly),
        pytest.param("augmented", "log_sum_exp", marks=pytest.mark.nightly),
    ],
)
def test_a_multiplier_ends_at_its_limit(mechanism: str, violation: str) -> None:
    """The constraint is active, so at the optimum it holds with equality; within a fifth of the limit here."""
    loss = disparity(
        2,
        base="binary_cross_entropy",
        mechanism=mechanism,
        violation=violation,
        limit=LIMIT,
        temperature=TEMPERATURE,
        decay=0.5,
        shrinkage=0.0,
        rate=0.02,
    )
    logit, group = trained(loss)
    reading = disparity(2, violation=violation, limit=0.0, temperature=TEMPERATURE, shrinkage=0.0)
    measured = float(reading(logit, people()[1], group=group))
    assert measured == pytest.approx(LIMIT, rel=0.2)


def test_the_proxy_multiplier_follows_hard_decisions() -> None:
    loss = disparity(
        2, base="binary_cross_entropy", mechanism="proxy", limit=LIMIT, temperature=TEMPERATURE, decay=0.5, rate=0.02
    )
    logit, group = trained(loss)
    assert gap((logit > 0).float(), group) == pytest.approx(LIMIT, rel=0.35)  # decisions jump, a row is 0.5 %
    assert soft_gap(logit, group) < LIMIT


def test_a_strong_penalty_keeps_the_limit_and_a_weak_one_does_not() -> None:
    def found(weight: float) -> float:
        settings = {"base": "binary_cross_entropy", "limit": LIMIT, "temperature": TEMPERATURE, "decay": 0.0}
        return soft_gap(*trained(disparity(2, weight, **settings), 400))

    assert found(0.01) > 2 * LIMIT
    assert found(20.0) == pytest.approx(LIMIT, abs=0.03)


def test_the_threshold_is_where_decisions_are_compared() -> None:
    """Scores that differ below the threshold alone make no gap there."""
    logit, labels = torch.tensor([-3.0, -1.0, 2.0, 2.0]), torch.tensor([0, 0, 1, 1])
    group = torch.tensor([0, 1, 0, 1])
    settings = {"limit": 0.0, "shrinkage": 0.0, "temperature": 0.01}
    assert float(disparity(2, threshold=0.0, **settings)(logit, labels, group=group)) == pytest.approx(0)
    assert float(disparity(2, threshold=-2.0, **settings)(logit, labels, group=group)) == pytest.approx(0.5)


@pytest.mark.parametrize("sees", ["output", "output_and_label"])
def test_an_adversary_learns_to_guess(sees: str) -> None:
    """Of scores that tell the group it learns most of the entropy, of others next to nothing."""
    _, labels, group = people()

    def advantage(logit: Tensor) -> float:
        loss = compose({"parts": [{"term": "adversarial", "sees": sees, "rate": 2.0}]}, groups=2)
        return [float(loss(logit, labels, group=group)) for _ in range(400)][-1]

    entropy = float(torch.distributions.Categorical(torch.tensor([2 / 3, 1 / 3])).entropy())
    assert advantage(6.0 * group - 3) > 0.8 * entropy
    assert advantage(torch.randn(600, generator=source())) < 0.1 * entropy


def test_group_dro_moves_its_weight_to_the_worst_group() -> None:
    loss = compose({"parts": [{"term": "group_dro", "step": 0.5}]}, groups=2)
    logit, labels, group = torch.tensor([3.0, 3.0, -1.0]), torch.ones(3), torch.tensor([0, 0, 1])
    values = [float(loss(logit, labels, group=group)) for _ in range(40)]
    worst = float(torch.nn.functional.softplus(torch.tensor(1.0)))
    assert values == sorted(values)
    assert values[-1] == pytest.approx(worst, rel=1e-3)


def test_memory_moves_in_training_alone_and_is_saved() -> None:
    feature, labels, group = people(60)
    loss = disparity(2, mechanism="dual")
    loss.eval()(feature, labels, group=group)
    assert all(not value.any() for name, value in loss.state_dict().items() if name.startswith("memory"))
    loss.train()(feature, labels, group=group)
    assert loss.state_dict()["memory_0"].any()
    again = disparity(2, mechanism="dual")
    again.load_state_dict(loss.state_dict())
    other = copy.deepcopy(loss)
    values = [module(feature, labels, group=group) for module in (loss, again, other)]
    assert values[0] == values[1] == values[2]


def test_ids_and_memberships_are_the_same() -> None:
    feature, labels, group = people(60)
    soft = torch.eye(2)[group]
    ids, shares = disparity(2)(feature, labels, group=group), disparity(2)(feature, labels, group=soft)
    assert ids == shares


@pytest.mark.parametrize(
    ("term", "given", "message"),
    [
        ("group_disparity", {}, "a term of this loss reads group: give ids"),
        ("group_disparity", {"group": torch.zeros(4, 5)}, r"memberships must have 2 columns, .*got \[4, 5\]"),
        ("group_disparity", {"group": torch.zeros(3, dtype=torch.int64)}, "one row per sample, got 3 for 4"),
        ("individual_fairness", {}, "reads distance: give features"),
    ],
)
def test_what_is_missing_is_named(term: str, given: dict[str, Tensor], message: str) -> None:
    loss = compose({"parts": [{"term": term}]}, groups=2)
    with pytest.raises(SpecError, match=message):
        loss(torch.zeros(4), torch.zeros(4), **given)


def test_the_number_of_groups_is_asked_for() -> None:
    with pytest.raises(SpecError, match="give their number, groups="):
        compose({"parts": [{"term": "group_disparity"}]})
    with pytest.raises(SpecError, match="ids need the number of groups"):
        compose({"parts": [{"term": "hsic"}]})(torch.zeros(4), torch.zeros(4), group=torch.zeros(4, dtype=torch.int64))
