"""Terms of ranked queries: allRank's values, and what holds for all of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from losssearch.losses import terms
from losssearch.losses.term import LossTerm

ORACLE = json.loads((Path(__file__).parents[1] / "oracles/queries.json").read_text())
QUERIES = [term for term in terms.values() if term.family == "queries"]
every_term = pytest.mark.parametrize("term", QUERIES, ids=lambda term: term.name)
PADDING = 3


def padded(values: list[float], filling: float = 7.0) -> Tensor:
    return torch.tensor([*values, *[filling] * PADDING], dtype=torch.float64)[None]


def value(name: str, score: list[float], grade: list[float], **numbers: float) -> float:
    present = torch.ones(1, len(score) + PADDING, dtype=torch.float64)
    present[:, len(score) :] = 0
    given = {**terms[name].defaults, **numbers}
    hyper = {key: torch.tensor(number, dtype=torch.float64) for key, number in given.items()}
    return float(terms[name](padded(score), padded(grade), present, **hyper))


def entropy(grade: list[float]) -> float:
    shares = torch.softmax(torch.tensor(grade, dtype=torch.float64), 0)
    return float(-(shares * shares.log()).sum())


@pytest.mark.parametrize("case", ORACLE["cases"], ids=lambda case: str(len(case["score"])))
def test_values_are_those_of_all_rank(case: dict) -> None:
    score, grade, distinct, wanted = case["score"], case["grade"], case["distinct"], case["value"]
    close = {"rel": 1e-6, "abs": 1e-6}  # allRank clamps and adds small numbers
    assert value("pairwise_logistic", score, grade) == pytest.approx(wanted["pairwise_logistic"], **close)
    assert value("lambda_loss", score, grade) == pytest.approx(wanted["lambda_loss"], **close)
    assert value("list_net", score, grade) + entropy(grade) == pytest.approx(wanted["list_net_cross_entropy"])
    assert value("list_mle", score, distinct) * len(score) == pytest.approx(wanted["list_mle_sum"])
    smooth = value("approx_ndcg", score, grade, temperature=0.5)
    assert smooth - 1 == pytest.approx(wanted["approx_ndcg_minus_one"], **close)


def test_softmax_gain_is_cross_entropy_with_shares_of_the_gain() -> None:
    score, grade = [0.3, -1.0, 2.0], [0.0, 1.0, 2.0]
    gain = torch.tensor([[0.0, 1.0, 3.0]], dtype=torch.float64)
    wanted = torch.nn.functional.cross_entropy(torch.tensor([score], dtype=torch.float64), gain / gain.sum())
    assert value("softmax_gain", score, grade) == pytest.approx(float(wanted))


def queries(documents: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    source = torch.Generator().manual_seed(2)
    score = torch.randn(4, documents, generator=source, dtype=torch.float64)
    grade = torch.randint(4, (4, documents), generator=source).double()
    present = torch.ones_like(score)
    present[0, 4:] = present[1, 2:] = 0
    return score, grade, present


def defaults(term: LossTerm) -> dict[str, Tensor]:
    return {name: torch.tensor(number, dtype=torch.float64) for name, number in term.defaults.items()}


@every_term
def test_padding_has_no_part_in_it(term: LossTerm) -> None:
    score, grade, present = queries()
    score.requires_grad_()
    found = term(score, grade, present, **defaults(term))
    (slope,) = torch.autograd.grad(found.sum(), score)
    assert (slope[present == 0] == 0).all()
    other = torch.where(present > 0, score, 1e3), torch.where(present > 0, grade, 9.0), present
    torch.testing.assert_close(term(*other, **defaults(term)), found)


@every_term
def test_the_order_of_the_documents_does_not_count(term: LossTerm) -> None:
    score, grade, present = queries()
    if term.name == "list_mle":
        grade = grade.argsort(-1).double()  # documents of one grade stay in the order of the data
    turned = (tensor.flip(-1) for tensor in (score, grade, present))
    torch.testing.assert_close(term(*turned, **defaults(term)), term(score, grade, present, **defaults(term)))


@every_term
def test_a_better_score_of_the_best_document_costs_less(term: LossTerm) -> None:
    score, grade, present = torch.zeros(1, 4).double(), torch.tensor([[3.0, 1.0, 0.0, 0.0]]).double(), torch.ones(1, 4)
    better = score.clone()
    better[0, 0] = 0.5
    present = present.double()
    before, after = (float(term(s, grade, present, **defaults(term))) for s in (score, better))
    assert after < before


@pytest.mark.parametrize("name", ["pairwise_logistic", "lambda_loss", "list_mle", "softmax_gain", "approx_ndcg"])
def test_a_query_of_one_grade_has_nothing_to_order(name: str) -> None:
    numbers = {key: float(number) for key, number in terms[name].defaults.items()}
    assert value(name, [0.5, -1.0, 2.0], [1.0, 1.0, 1.0], **numbers) == 0


def test_a_small_temperature_gives_one_minus_ndcg() -> None:
    from sklearn.metrics import ndcg_score

    score, grade, _ = queries(12)
    present = torch.ones_like(score)
    smooth = terms["approx_ndcg"](score, grade, present, temperature=torch.tensor(1e-4, dtype=torch.float64))
    wanted = [1 - ndcg_score((2 ** g.numpy() - 1)[None], s.numpy()[None]) for s, g in zip(score, grade, strict=True)]
    torch.testing.assert_close(smooth, torch.tensor(wanted, dtype=torch.float64), atol=1e-6, rtol=0)
