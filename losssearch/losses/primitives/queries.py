"""Terms on the documents of a query: their scores should put the documents of the best grades first.

A sample is a query with its documents, padded to the longest list: ``document_scores``, ``relevance`` and ``present``
are [queries, documents], and ``present`` is 1 for a document and 0 for padding. Grades are 0 for irrelevant documents
and grow with relevance. A query whose documents all have one grade has nothing to order: its value is 0 for the terms
over pairs, orders and gains.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> document_scores, relevance = torch.tensor([[2.0, 0.5, 0.0]]), torch.tensor([[2.0, 0.0, 0.0]])
    >>> ls.terms["list_net"].module()(document_scores, relevance, torch.tensor([[1.0, 1.0, 0.0]]))
    tensor(0.3200)
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits

_STEEPNESS = Float(0.2, 5.0, default=1.0, log=True)
"""Of the logistic function: the larger, the more a pair in the right order is left alone."""


def _gains(relevance: Tensor, present: Tensor) -> Tensor:
    """``2^grade - 1`` of each document, 0 for padding."""
    return (torch.exp2(relevance) - 1) * present


def _ideal(gain: Tensor) -> Tensor:
    """The discounted gain of the best order, [queries]; 1 for a query without gain."""
    best = gain.sort(-1, descending=True).values
    places = torch.arange(2, gain.shape[-1] + 2, device=gain.device, dtype=gain.dtype)
    ideal = (best / torch.log2(places)).sum(-1)
    return torch.where(ideal > 0, ideal, 1.0)


def _better(relevance: Tensor, present: Tensor) -> Tensor:
    """1 for each pair (i, j) of documents of which i has the higher relevance, [queries, documents, documents]."""
    both = present.unsqueeze(-1) * present.unsqueeze(-2)
    return (relevance.unsqueeze(-1) > relevance.unsqueeze(-2)).to(relevance.dtype) * both


def _lead(document_scores: Tensor) -> Tensor:
    """``s_i - s_j`` of each pair, [queries, documents, documents]."""
    return document_scores.unsqueeze(-1) - document_scores.unsqueeze(-2)


def _log_shares(document_scores: Tensor, present: Tensor) -> Tensor:
    """The log-softmax over a query's documents, 0 for padding."""
    least = torch.finfo(document_scores.dtype).min / 4
    shares = torch.log_softmax(torch.where(present > 0, document_scores, least), -1)
    return torch.where(present > 0, shares, 0.0)


@loss_term(
    reference="least squares on the relevance, over the documents of a query",
    traits=Traits(oracle="sklearn.metrics.mean_squared_error"),
)
def grade_squared(document_scores: Tensor, relevance: Tensor, present: Tensor) -> Tensor:
    """Each score should be the document's relevance: the mean squared error over the documents of a query.

    ``Σ_i (s_i - g_i)² / documents``. Shapes: document_scores, relevance, present [queries, documents] → [queries].
    Minimum: the mean grade given the features.
    """
    return ((document_scores - relevance).square() * present).sum(-1) / present.sum(-1).clamp_min(1)


@loss_term(
    reference="Burges et al. 2005, RankNet, eq. 3",
    steepness=_STEEPNESS,
    traits=Traits(oracle="allrank.models.losses.rankNet"),
)
def pairwise_logistic(document_scores: Tensor, relevance: Tensor, present: Tensor, *, steepness: Tensor) -> Tensor:
    """Every document should score above every one of a lower grade.

    ``mean over pairs with g_i > g_j of log(1 + exp(κ (s_j - s_i))) / κ``. Shapes: document_scores, relevance, present
    [queries, documents] → [queries]. Limits: with one document of grade 1 and one of grade 0 it is
    `binary_cross_entropy` of their difference.
    """
    better = _better(relevance, present)
    cost = -F.logsigmoid(steepness * _lead(document_scores)) / steepness * better
    return cost.sum((-1, -2)) / better.sum((-1, -2)).clamp_min(1)


@loss_term(
    reference="Burges 2010, LambdaRank; Wang et al. 2018, NDCG-Loss",
    steepness=_STEEPNESS,
    traits=Traits(oracle="allrank.models.losses.lambdaLoss"),
)
def lambda_loss(document_scores: Tensor, relevance: Tensor, present: Tensor, *, steepness: Tensor) -> Tensor:
    """Pairs count by how much swapping them would change NDCG.

    ``Σ over pairs with g_i > g_j of |G_i - G_j| · |1/D_i - 1/D_j| / IDCG · log(1 + exp(κ (s_j - s_i))) / κ`` with the
    gain ``G = 2^g - 1`` and the discount ``D = log2(1 + rank)``; ranks are those of the current scores, and nothing is
    differentiated through them. Shapes: document_scores, relevance, present [queries, documents] → [queries].
    """
    gain = _gains(relevance, present)
    least = torch.finfo(document_scores.dtype).min
    placed = torch.where(present > 0, document_scores.detach(), least)
    rank = placed.sort(dim=-1, descending=True, stable=True).indices.argsort(-1)
    discount = 1 / torch.log2(rank.to(document_scores.dtype) + 2)
    swap = (gain.unsqueeze(-1) - gain.unsqueeze(-2)).abs() * (discount.unsqueeze(-1) - discount.unsqueeze(-2)).abs()
    cost = -F.logsigmoid(steepness * _lead(document_scores)) / steepness * swap * _better(relevance, present)
    return cost.sum((-1, -2)) / _ideal(gain)


@loss_term(
    reference="Cao et al. 2007, ListNet, top-one probabilities", traits=Traits(oracle="allrank.models.losses.listNet")
)
def list_net(document_scores: Tensor, relevance: Tensor, present: Tensor) -> Tensor:
    """The probability of being on top should be that which the grades give: cross-entropy, less its least value.

    ``KL(softmax(g) ‖ softmax(s))`` over the documents of a query, whose gradient is that of the cross-entropy. Shapes:
    document_scores, relevance, present [queries, documents] → [queries]. Minimum: scores that are the grades, up to a
    constant.
    """
    wanted = _log_shares(relevance, present)
    shares = wanted.exp() * present
    return (shares * (wanted - _log_shares(document_scores, present))).sum(-1)


@loss_term(reference="Xia et al. 2008, ListMLE, eq. 6", traits=Traits(oracle="allrank.models.losses.listMLE"))
def list_mle(document_scores: Tensor, relevance: Tensor, present: Tensor) -> Tensor:
    """The order by grade should be likely: the negative log-likelihood of Plackett and Luce.

    ``Σ_i (log Σ_{j ≥ i} exp(s_j) - s_i)`` along the documents from the best grade down, over their number; documents of
    one grade stay in the order of the data. Shapes: document_scores, relevance, present [queries, documents] →
    [queries].
    """
    low = torch.finfo(document_scores.dtype).min / 4
    order = torch.where(present > 0, relevance, low).sort(dim=-1, descending=True, stable=True).indices
    there, ordered = present.gather(-1, order), document_scores.gather(-1, order)
    kept = torch.where(there > 0, ordered, low)
    # In place of logcumsumexp, whose second derivatives are not defined everywhere.
    places = torch.arange(kept.shape[-1], device=kept.device)
    after = torch.where(places >= places.unsqueeze(-1), kept.unsqueeze(-2), low).logsumexp(-1)
    mixed = _better(relevance, present).sum((-1, -2)) > 0
    cost = (torch.where(there > 0, after - ordered, 0.0)).sum(-1) / present.sum(-1).clamp_min(1)
    return torch.where(mixed, cost, 0.0)


@loss_term(
    reference="Bruch et al. 2019, softmax cross-entropy with gains as shares",
    traits=Traits(oracle="torch.nn.functional.cross_entropy"),
)
def softmax_gain(document_scores: Tensor, relevance: Tensor, present: Tensor) -> Tensor:
    """The probability of being on top should be the document's share of the gain.

    ``-Σ_i G_i / ΣG · log softmax(s)_i`` with ``G = 2^g - 1``; a bound of NDCG for binary grades. Shapes:
    document_scores, relevance, present [queries, documents] → [queries].
    """
    gain = _gains(relevance, present)
    total = gain.sum(-1, keepdim=True)
    mixed = _better(relevance, present).sum((-1, -2)) > 0
    cost = -(gain / torch.where(total > 0, total, 1.0) * _log_shares(document_scores, present)).sum(-1)
    return torch.where(mixed, cost, 0.0)


@loss_term(
    reference="Qin, Liu and Li 2010, approximate NDCG",
    temperature=Float(0.01, 10.0, default=0.1, log=True),
    traits=Traits(oracle="allrank.models.losses.approxNDCGLoss"),
)
def approx_ndcg(document_scores: Tensor, relevance: Tensor, present: Tensor, *, temperature: Tensor) -> Tensor:
    """One minus NDCG with smooth ranks.

    The rank of a document is ``1 + Σ_j σ((s_j - s_i) / T)`` over the other documents. Shapes: document_scores,
    relevance, present [queries, documents] → [queries]. Limits: T → 0 is one minus NDCG.
    """
    above = torch.sigmoid(-_lead(document_scores) / temperature) * present.unsqueeze(-2)
    rank = above.sum(-1) + 0.5  # a document's own entry is σ(0) = 1/2
    gain = _gains(relevance, present)
    found = (gain / torch.log2(1 + rank)).sum(-1) / _ideal(gain)
    mixed = _better(relevance, present).sum((-1, -2)) > 0
    return torch.where(mixed, 1 - found, 0.0)
