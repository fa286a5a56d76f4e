"""Ranked queries: how they are read, metrics against scikit-learn, exported losses, and a whole search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score, label_ranking_average_precision_score, ndcg_score

import losssearch as ls
from losssearch.data import load
from losssearch.data.given_splits import Given
from losssearch.errors import DataError, InputError
from losssearch.evaluation import get_metric
from losssearch.export.facts import LossFacts
from losssearch.export.source import loss_source
from losssearch.losses.spec import LossSpec
from losssearch.models import build_model, is_looped
from losssearch.tasks import get_task


def documents(queries: int = 60) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    sizes = draw.integers(2, 7, size=queries)
    table = pd.DataFrame({"q": np.repeat(np.arange(queries), sizes)})
    table["match"], table["length"] = draw.normal(size=(2, len(table)))
    table["grade"] = np.clip(np.round(table["match"] + 0.3 * draw.normal(size=len(table))) + 1, 0, 3)
    table.loc[table.groupby("q").head(1).index, "grade"] = 3
    return table.sample(frac=1, random_state=0)


def ranked() -> tuple[torch.Tensor, torch.Tensor]:
    draw = np.random.default_rng(1)
    target = draw.integers(0, 4, size=(20, 6)).astype(float)
    target[:10, 4:] = -1
    target[:, 0] = 2
    scores = np.round(draw.normal(size=(20, 6)), 1)  # some of them tied
    return torch.from_numpy(scores), torch.from_numpy(target)


def by_query(metric: object) -> float:
    scores, target = ranked()
    found = [metric(g[g >= 0].numpy(), s[g >= 0].numpy()) for s, g in zip(scores, target, strict=True)]  # type: ignore[operator]
    return float(np.mean(found))


@pytest.mark.parametrize("k", [1, 3, 10])
def test_ndcg_is_scikit_learns_query_by_query(k: int) -> None:
    wanted = by_query(lambda grade, score: ndcg_score((2**grade - 1)[None], score[None], k=k))
    assert float(get_metric(f"ndcg(k={k})", "ranking")(*ranked())) == pytest.approx(wanted)


def test_average_precision_is_scikit_learns_query_by_query() -> None:
    wanted = by_query(lambda grade, score: average_precision_score(grade > 0, score))
    assert float(get_metric("map", "ranking")(*ranked())) == pytest.approx(wanted)


def test_reciprocal_rank_is_scikit_learns_with_one_relevant_document() -> None:
    scores, target = ranked()
    target = torch.where(target == target.max(-1, keepdim=True).values, 1.0, torch.where(target < 0, -1.0, 0.0))
    first = (target == 1).cumsum(-1) == 1
    target = torch.where((target == 1) & ~first, 0.0, target)
    each = [
        label_ranking_average_precision_score((g[g >= 0] > 0).numpy()[None].astype(int), s[g >= 0].numpy()[None])
        for s, g in zip(scores, target, strict=True)
    ]
    assert float(get_metric("mrr", "ranking")(scores, target)) == pytest.approx(np.mean(each))


def test_resampled_queries_count_as_often_as_they_are_drawn() -> None:
    scores, target = ranked()
    metric = get_metric("ndcg(k=10)", "ranking")
    often = torch.from_numpy(np.random.default_rng(2).integers(0, 3, size=(20, 1))).double()
    rows = torch.repeat_interleave(torch.arange(20), often[:, 0].long())
    found = metric.function.resampled(scores, target)(often)
    assert float(found[0]) == pytest.approx(float(metric(scores[rows], target[rows])))


def test_a_query_is_a_row_and_its_documents_are_side_by_side() -> None:
    table = documents()
    data = load(table, target="grade", task="ranking", given=Given(query="q"))
    assert data.rows == 60
    assert [column.name for column in data.schema.columns] == ["match", "length"]
    assert data.target.shape == (60, data.listed)
    assert (data.target >= 0).sum() == len(table)


@pytest.mark.parametrize(
    ("change", "given", "message"),
    [
        (lambda t: t, Given(), "task ranking needs .*query"),
        (lambda t: t.assign(grade=-t["grade"]), Given(query="q"), "grades of relevance must be whole numbers from 0"),
        (lambda t: t.assign(q=range(len(t))), Given(query="q"), "documents of two grades or more"),
        (lambda t: t.assign(w=1.0), Given(query="q", weight="w"), "judges whole queries and reads no .*weight"),
        (lambda t: t.assign(part=range(len(t))), Given(query="q", group="part"), "of a query must have one group"),
        (lambda t: t[t["q"] < 40], Given(query="q"), "at least 50 queries with a relevant document"),
    ],
)
def test_what_cannot_be_ranked_is_refused(change: object, given: Given, message: str) -> None:
    with pytest.raises((DataError, InputError), match=message):
        load(change(documents()), target="grade", task="ranking", given=given)  # type: ignore[operator]


@pytest.mark.parametrize("term", [one.term for one in get_task("ranking").menu[1:]])
def test_an_exported_loss_is_the_searched_one(term: str) -> None:
    spec = LossSpec.from_json({"parts": [{"term": term, "scale": 0.4}]})
    facts = LossFacts(spec, "ranking")
    scores, target = ranked()
    namespace: dict[str, object] = {"__name__": "loss"}
    exec(compile(loss_source(facts), "loss.py", "exec"), namespace)
    found = namespace["Loss"]().double()(scores, target)  # type: ignore[operator]
    torch.testing.assert_close(found, facts.module().double()(scores, target))
    numbers = {name: torch.tensor(float(value)).double() for name, value in ls.terms[term].defaults.items()}
    value = ls.terms[term](scores, target.clamp(min=0), (target >= 0).double(), **numbers).mean()
    torch.testing.assert_close(found, value / 0.4)


def test_a_query_in_both_files_is_refused() -> None:
    table = documents()
    with pytest.raises(DataError, match="a query must be in one file"):
        load(table, target="grade", task="ranking", given=Given(query="q", test=table.iloc[:40]))


class Normalised(torch.nn.Sequential):
    def __init__(self, features: int, outputs: int) -> None:
        super().__init__(torch.nn.Linear(features, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, outputs))


def test_a_module_that_cannot_be_stacked_scores_documents_too() -> None:
    assert is_looped(build_model(Normalised, 12, 4, listed=4))
    model = build_model("mlp", 12, 4, listed=4)
    assert not is_looped(model)
    parameters = {name: value[None, None] for name, value in model.initial(0).items()}
    features = torch.randn(1, 5, 12, generator=torch.Generator().manual_seed(0))
    scores = model.forward(parameters, {}, features, training=False, seed=0)
    alone = build_model("mlp", 3, 1).forward(parameters, {}, features.view(1, 20, 3), training=False, seed=0)
    torch.testing.assert_close(scores, alone.view(1, 1, 5, 4))


def test_a_search_ends_in_a_verdict(tmp_path: Path) -> None:
    options = {"target": "grade", "query": "q", "task": "ranking", "trials": 10, "epochs": 2, "draws": 1, "workers": 0}
    found = ls.search(documents(), out=tmp_path / "run", confirm_seeds=2, verbose=False, **options)
    assert ls.load_result(tmp_path / "run").verdict == found.verdict
    loss = ls.load_loss(tmp_path / "run/export/loss.json")
    scores, target = ranked()
    scores = scores.clone().requires_grad_()
    loss.double()(scores, target).backward()
    assert scores.grad is not None
    assert (scores.grad[target < 0] == 0).all()
