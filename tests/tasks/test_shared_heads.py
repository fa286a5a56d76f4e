"""Heads that share the columns of a model: who reads what, and that nobody pays for columns that it does not read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from losssearch.assembly.heads import with_heads
from losssearch.data import draws, load, make_replicas, partition
from losssearch.data.replicas import Replicas
from losssearch.errors import DataError, OptionError, SpecError
from losssearch.evaluation import get_metric
from losssearch.evaluation.adjustment import evaluate
from losssearch.judging import MetricJudge
from losssearch.losses.spec import LossSpec
from losssearch.models import build_model
from losssearch.space import load_space
from losssearch.study.proposing.screening import Screen
from losssearch.tasks import Predicting, get_task
from losssearch.training import Candidate, TrainingPlan
from losssearch.training.outcome import ended
from losssearch.training.population_training import PopulationTraining

TASK = get_task("distribution")
HEADS = {
    "squared": "mean",
    "gaussian_nll": "mean_and_scale",
    "laplace_nll": "mean_and_spread",
    "student_nll": "student",
    "pinball_grid": "quantiles",
    "gaussian_mixture_nll": "mixture",
}
PLAN = TrainingPlan(epochs=3, batch_size=32, weight_decay=0.1, rungs=(2,))


def spec(*terms: str) -> LossSpec:
    return LossSpec.from_json({"parts": [{"term": term} for term in terms]})


def rows(count: int = 240) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    table = pd.DataFrame(draw.normal(size=(count, 3)), columns=["a", "b", "c"])
    table["y"] = 3 + 2 * table["a"] + draw.normal(size=count) * np.exp(table["b"] / 2)
    return table


@pytest.fixture(scope="module")
def replicas() -> Replicas:
    data = load(rows(), target="y", task="distribution")
    return make_replicas(data, draws(data, partition(data, 0).search, seed=0, count=2, purpose="heads"))


def trained(terms: list[str], replicas: Replicas, columns: int) -> PopulationTraining:
    model = build_model("mlp", replicas.width, columns, by_column=True)
    candidates = [Candidate(spec(term), (1e-2,), True) for term in terms]
    training = PopulationTraining(
        model,
        candidates,
        replicas,
        PLAN,
        MetricJudge("crps", "distribution", replicas),
        torch.device("cpu"),
        None,
        1.0,
        TASK.offer,
        predicting=Predicting.of(TASK, 0),
    )
    ended(training.run(hold=False))
    return training


@pytest.mark.parametrize(("term", "head"), HEADS.items())
def test_a_loss_reads_the_narrowest_head_that_gives_all_it_reads(term: str, head: str) -> None:
    assert TASK.head(spec(term).reads, 0).name == head


def test_parts_share_a_head_or_are_refused() -> None:
    assert TASK.head(spec("squared", "gaussian_nll").reads, 0).name == "mean_and_scale"
    with pytest.raises(SpecError, match="no head gives mean, quantiles, scale together"):
        TASK.head(spec("gaussian_nll", "pinball_grid").reads, 0)


def test_a_model_is_as_wide_as_the_widest_head_in_use() -> None:
    assert TASK.widths(0) == {"outputs": 19}
    assert TASK.using([spec("squared").reads, spec("gaussian_nll").reads], 0).width(0) == 2
    assert with_heads(TASK, load_space("distribution"), 0).width(0) == 19


def test_output_columns_are_drawn_one_by_one() -> None:
    wide, narrow = (build_model("mlp", 3, width, by_column=True).initial(7) for width in (19, 2))
    plain = build_model("mlp", 3, 1).initial(7)
    for name, value in narrow.items():
        assert torch.equal(wide[name][..., :2] if value.shape[-1] == 2 else wide[name], value)
    one = build_model("mlp", 3, 1, by_column=True).initial(7)
    assert all(torch.equal(value, plain[name]) for name, value in one.items())


def test_columns_that_a_loss_does_not_read_stay_bitwise_at_their_start(replicas: Replicas) -> None:
    training = trained(["squared", "gaussian_nll", "pinball_grid"], replicas, 19)
    members = training.members
    weights, _ = members.split(members.flat)
    starts = [members.model.initial(seed) for seed in replicas.seeds]
    for place, width in enumerate((1, 2, 19)):
        for name in ("weight2", "bias2"):
            for r, start in enumerate(starts):
                own, first = weights[name][r, place], start[name]
                assert torch.equal(own[..., width:], first[..., width:])
                assert not torch.equal(own[..., :width], first[..., :width])


@pytest.mark.parametrize(("term", "width"), [("squared", 1), ("gaussian_nll", 2)])
def test_a_member_of_a_wide_model_is_as_good_as_one_of_its_own_width(term: str, width: int, replicas: Replicas) -> None:
    beside = trained([term, "pinball_grid"], replicas, 19).outcomes[0]
    alone = trained([term], replicas, width).outcomes[0]
    assert alone.utilities == pytest.approx(beside.utilities, rel=1e-5)


def test_screening_tells_which_parts_read_no_common_head(replicas: Replicas) -> None:
    screen = Screen(build_model("mlp", replicas.width, 19, by_column=True), replicas, "crps", TASK)
    good, bad = screen([spec("gaussian_crps"), spec("laplace_nll", "gaussian_crps")])
    assert not good.reason
    assert "no head gives mean, scale, spread together" in bad.reason


def test_one_number_gets_the_quantiles_of_its_residuals_even_where_nothing_else_is_tuned() -> None:
    target = torch.arange(1.0, 201.0).double()
    outputs = torch.full((1, 200, 19), 50.0).double()
    value, adjustment = evaluate(get_metric("crps", "distribution"), outputs, target, tuned=False)
    expected = torch.quantile(target, torch.arange(1, 20).double() / 20)
    torch.testing.assert_close(adjustment.apply(outputs)[0, 0], expected, atol=1.0, rtol=0)
    assert float(value) < float(get_metric("crps", "distribution")(outputs, target))


def test_a_distribution_of_its_own_is_calibrated_only_where_the_decision_is_tuned() -> None:
    noise = torch.randn(2, 400, generator=torch.Generator().manual_seed(0)).double()
    outputs = torch.linspace(-0.1, 0.1, 19).double().expand(2, 400, 19)
    found, adjustment = evaluate(
        get_metric("coverage(level=0.9)", "distribution"), outputs, noise, tuned=torch.tensor([True, False])
    )
    assert float(found[0]) < 0.01 < 0.8 < float(found[1])
    assert adjustment.parameter.shape == (2, 19)
    assert not adjustment.parameter[1].any()


def test_a_field_that_no_task_reads_is_refused() -> None:
    table = rows().assign(years=1.0)
    from losssearch.data.given_splits import Given

    for name in ("exposure", "query"):
        with pytest.raises(OptionError, match=f"task distribution does not read --{name}|does not read {name}"):
            load(table, target="y", task="distribution", given=Given(**{name: "years"}))


def test_a_field_must_be_a_column() -> None:
    from losssearch.data.given_splits import Given

    with pytest.raises(DataError, match="exposure column 'year'"):
        load(rows().assign(years=1.0), target="y", task="distribution", given=Given(exposure="year"))
