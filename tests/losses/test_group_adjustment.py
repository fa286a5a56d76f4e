"""Logits adjusted by the share of each label in the row's group."""

from __future__ import annotations

import pytest
import torch

from losssearch.losses import terms
from losssearch.losses.compose import compose

CLASSES, GROUPS = 3, 2


def drawn(rows: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(seed)
    group = torch.randint(GROUPS, (rows,), generator=source)
    labels = (group + (torch.rand(rows, generator=source) < 0.2).long()) % CLASSES
    return torch.randn(rows, CLASSES, generator=source, dtype=torch.float64), labels, group


def loss_at(tau: float) -> torch.nn.Module:
    spec = {"parts": [{"term": "group_logit_adjustment", "tau": tau}]}
    return compose(spec, groups=GROUPS, classes=CLASSES).double()


def test_without_adjustment_it_is_cross_entropy() -> None:
    logits, labels, group = drawn(50)
    expected = torch.nn.functional.cross_entropy(logits, labels)
    torch.testing.assert_close(loss_at(0.0)(logits, labels, group=group), expected)


def test_with_one_group_it_is_logit_adjustment() -> None:
    logits, labels, _ = drawn(50)
    prior = torch.bincount(labels, minlength=CLASSES).double() / len(labels)
    alone = torch.ones(50, 1, dtype=torch.float64)
    tau, memory = torch.tensor(1.5, dtype=torch.float64), torch.zeros(CLASSES, 1, dtype=torch.float64)
    found = terms["group_logit_adjustment"](logits, labels, alone, memory=memory, tau=tau)
    torch.testing.assert_close(found, terms["logit_adjustment"](logits, labels, prior, tau=tau))


def test_the_shares_are_those_of_the_training_batches_alone() -> None:
    loss, (logits, labels, group) = loss_at(1.0), drawn(400)
    for start in range(0, 400, 50):
        batch = slice(start, start + 50)
        loss(logits[batch], labels[batch], group=group[batch])
    counts = torch.stack([torch.bincount(labels[group == g], minlength=CLASSES) for g in range(GROUPS)], 1)
    torch.testing.assert_close(loss.state_dict()["memory_0"], counts.double())
    loss.eval()(logits, labels, group=group)
    torch.testing.assert_close(loss.state_dict()["memory_0"], counts.double())


def test_an_unusual_pair_is_pulled_harder_and_a_cell_without_rows_stays_finite() -> None:
    loss, (_, labels, group) = loss_at(1.0), drawn(400)
    level = torch.zeros(400, CLASSES, dtype=torch.float64, requires_grad=True)
    assert not ((group == 0) & (labels == 2)).any()  # a cell without rows
    loss(level, labels, group=group).backward()
    pull = -level.grad.gather(1, labels[:, None])[:, 0]
    usual, unusual = pull[labels == group], pull[labels != group]
    assert float(unusual.min()) > float(usual.max())
    one = torch.tensor([[0.0, 0.0, 5.0]], dtype=torch.float64, requires_grad=True)
    value = loss(one, torch.tensor([2]), group=torch.tensor([0]))
    value.backward()
    assert bool(value.isfinite())
    assert bool(one.grad.isfinite().all())


def test_a_row_of_no_group_is_adjusted_by_the_share_among_all() -> None:
    loss, (logits, labels, group) = loss_at(1.0), drawn(200)
    loss(logits, labels, group=group)
    loss.eval()
    prior = loss.state_dict()["memory_0"].sum(1) / 200
    row = (logits[:1], labels[:1])
    shift = torch.nn.functional.cross_entropy(row[0] + prior.log(), row[1])
    # the row itself counts: it has no group, so nothing is added
    assert float(loss(*row, group=torch.tensor([-1]))) == pytest.approx(float(shift))
