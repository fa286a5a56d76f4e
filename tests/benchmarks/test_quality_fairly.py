"""The quality benchmark under limits between groups: the score's rule, and that everybody is held to the limit."""

import numpy as np
import pandas as pd
import pytest
import torch
from fairlearn.metrics import demographic_parity_difference
from sklearn.metrics import accuracy_score

import losssearch
from benchmarks.quality import fairly, families, fitting, product, trees, tuning
from benchmarks.quality import problem as problems
from benchmarks.quality.families import FAIR, FAMILIES, MENU, OURS, PLAIN, PLAIN_TUNED
from benchmarks.quality.report import limit_rows, markdown, write_report
from benchmarks.quality.results import read_results
from benchmarks.quality.scenarios import Scenario, SkippedScenarioError, read_scenarios
from benchmarks.quality.stages import run_unit
from benchmarks.quality.tables import Table
from benchmarks.quality.unit import Settings, Unit
from losssearch.errors import ConstraintUnmetError, OptionError
from losssearch.evaluation import get_metric
from losssearch.evaluation.fairness import parse_constraint
from losssearch.study_result import SearchResult

PARITY = "demographic_parity_difference <= 0.1"
UNFAIR = Scenario("unfair", "fairness", "none", "accuracy", constraint=PARITY, sensitive="who")


@pytest.fixture
def problem(monkeypatch):
    """Six hundred rows of two groups, one of which is positive far oftener, as its feature tells."""
    chance = np.random.default_rng(4)
    who = chance.integers(0, 2, 600)
    features = pd.DataFrame({"x": chance.normal(1.5 * who, 1.0), "z": chance.normal(size=600), "who": who.astype(str)})
    target = pd.Series(np.where(features["x"] + features["z"] + 0.3 * chance.normal(size=600) > 0.7, "yes", "no"))
    table = Table(features, target.rename("target"), "binary", "yes")
    monkeypatch.setattr(problems, "read_table", lambda scenario, seed: table)
    plan = fitting.plan_for

    def few(replicas):
        return fitting.TrainingPlan(**{**plan(replicas).__dict__, "epochs": 12, "rungs": (2, 4)})

    for module in (fitting, tuning):
        monkeypatch.setattr(module, "plan_for", few)
    return problems.make_problem(UNFAIR, 0)


@pytest.fixture
def held():
    generator = torch.Generator().manual_seed(2)
    group = torch.randint(3, (200,), generator=generator)
    outputs = torch.randn(4, 200, generator=generator) + 0.4 * group
    target = (torch.rand(200, generator=generator) < 0.4).long()
    metric = fairly.held_to(get_metric("accuracy", "binary"), parse_constraint(PARITY, "binary"), group, 3)
    return metric, outputs, target, group


def test_a_score_is_the_metric_less_what_the_gap_is_beyond_its_limit(held):
    metric, outputs, target, group = held
    for own, value in zip(outputs, metric(outputs, target.expand(4, -1)), strict=True):
        decided = (own > 0).long()
        gap = demographic_parity_difference(target, decided, sensitive_features=group)  # fairlearn 0.13
        assert gap > 0.1
        assert value.item() == pytest.approx(accuracy_score(target, decided) - (gap - 0.1))


def test_a_kept_limit_costs_nothing_and_a_broken_one_makes_an_error_larger():
    constraint = parse_constraint(PARITY, "binary")
    values, gaps = torch.tensor([0.6, 0.6]), torch.tensor([0.05, 0.3])
    score = fairly.scored(get_metric("f1", "binary"), constraint, values, gaps)
    assert score.tolist() == pytest.approx([0.6, 0.4])
    cost = fairly.scored(get_metric("cost(fp=1,fn=5)", "binary"), constraint, values, gaps)
    assert cost.tolist() == pytest.approx([0.6, 0.8])


def test_a_resampled_score_is_that_of_repeated_rows(held):
    metric, outputs, target, group = held
    picks = torch.randint(200, (5, 200), generator=torch.Generator().manual_seed(1))
    weights = torch.stack([torch.bincount(pick, minlength=200) for pick in picks], 1).double()
    found = metric.function.resampled(outputs[0], target)(weights)
    for pick, value in zip(picks, found, strict=True):
        again = fairly.held_to(metric.function.metric, metric.function.constraint, group[pick], 3)
        torch.testing.assert_close(value, again(outputs[0][pick], target[pick]))


def test_everybody_but_the_plain_loss_is_held_to_the_limit(problem):
    assert problem.dataset.groups == ("0", "1")
    assert [column.name for column in problem.dataset.schema.columns] == ["x", "z"]
    assert {*FAMILIES["binary"], *FAIR} == set(problem.families)
    chosen = {name: problem.families[name] for name in FAIR} | {PLAIN_TUNED: families.DEFAULT["binary"]}
    found = tuning.tune(problem, chosen, 0.01, 0)
    assert all(np.isfinite(own.utility) for own in found.values())
    losses = {PLAIN: families.plain("binary")} | {name: own.spec for name, own in found.items()}
    fitted = fitting.fit_all(problem, losses, 2) | {"trees": trees.fit(problem, 2)}
    gaps = {name: own.groups(problem)["gaps"] for name, own in fitted.items()}
    assert min(gaps[PLAIN]) > 0.3
    assert max(max(own) for name, own in gaps.items() if name != PLAIN) < min(gaps[PLAIN])
    assert not any(fitted[PLAIN].groups(problem)["kept"])
    for name, own in fitted.items():
        seen = own.groups(problem)
        expected = [metric - max(gap - 0.1, 0) for metric, gap in zip(seen["unlimited"], seen["gaps"], strict=True)]
        assert own.values(problem) == pytest.approx(expected), name
        assert len(own.validation) == 2
        assert min(own.validation) > 0.3


@pytest.mark.parametrize("unmet", [False, True])
def test_the_study_gets_the_limit_and_the_sensitive_column(problem, tmp_path, monkeypatch, unmet):
    given = {}

    def search(data, **options):
        given.update(options, data=data)
        result = SearchResult({"best": {}}, tmp_path)
        if unmet:
            raise ConstraintUnmetError("none keeps it", result)
        return result

    monkeypatch.setattr(losssearch, "search", search)
    assert product.run(problem, {"trials": 4}, 0, tmp_path) == {"best": {}}
    assert (given["sensitive"], given["constraints"], given["metric"]) == ("who", PARITY, "accuracy")
    assert "who" in given["data"][0].columns


def test_a_unit_under_a_limit_is_kept_and_reported(problem, tmp_path, monkeypatch):
    spec = families.DEFAULT["binary"].spec()
    verdict = {"recommended": "baseline", "difference": 0.0, "interval": [-0.1, 0.1]}
    content = {"verdict": verdict, "trials": {"total": 2}}
    monkeypatch.setattr(product, "search", lambda *_: product.Found(spec, spec, spec, content))
    (tmp_path / "units").mkdir()
    unit = Unit(UNFAIR, 0, Settings(0.01, 2), tmp_path, frozenset({PLAIN, PLAIN_TUNED, *FAIR, MENU, OURS, "against"}))
    assert run_unit(unit)[0] == "done"
    assert unit.done()
    results = read_results(tmp_path, [])
    assert {method for _, method in results.limits} == unit.methods
    figures = write_report(results, tmp_path)
    assert figures["verdicts"]["verdicts"] == 0
    (plain,) = (row for row in limit_rows(results) if row[1] == PLAIN)
    assert plain[-1] == "0"
    assert "## Limits between groups" in markdown(results, figures, None)


def test_what_cannot_be_scored_is_skipped_and_what_is_half_given_refused(problem):
    for metric in ("average_precision", "brier"):
        with pytest.raises(SkippedScenarioError, match="of decisions"):
            fairly.constraint_of(UNFAIR, "binary", get_metric(metric, "binary"))
    with pytest.raises(OptionError, match="given together"):
        Scenario("x", "fairness", "adult", "f1", constraint=PARITY)


def test_the_scenarios_with_a_limit_can_be_scored():
    limited = [scenario for scenario in read_scenarios() if scenario.constraint]
    assert limited
    for scenario in limited:
        assert fairly.constraint_of(scenario, "binary", get_metric(scenario.metric, "binary"))
