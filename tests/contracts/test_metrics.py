"""What every metric of the registry promises, whichever it is."""

from __future__ import annotations

import math
import pickle
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from losssearch.errors import OptionError
from losssearch.evaluation import Adjustment, Metric, evaluate, fit_adjustment, get_metric, members, metrics_for
from losssearch.evaluation.declaring import is_own, records
from losssearch.evaluation.worst_cell import EXAMPLES
from losssearch.tasks import TASKS

CASES = [(kind, name) for kind in ("binary", "multiclass", "regression") for name in metrics_for(kind)]
CASES += [(kind, name) for kind in ("binary", "multiclass") for name in EXAMPLES]
REPLICAS, MEMBERS, ROWS, CLASSES = 2, 3, 41, 4


@dataclass
class Population:
    metric: Metric
    outputs: Tensor
    target: Tensor
    class_prior: Tensor

    def evaluate(self, tuned: Tensor | bool) -> tuple[Tensor, Adjustment]:
        return evaluate(self.metric, self.outputs, self.target, tuned=tuned, facts={"class_prior": self.class_prior})


@pytest.fixture(params=CASES, ids="-".join)
def population(request: pytest.FixtureRequest) -> Population:
    task, name = request.param
    generator = torch.Generator().manual_seed(7)
    lead = (REPLICAS, MEMBERS, ROWS)
    prior = torch.tensor([[[0.6, 0.2, 0.15, 0.05]], [[0.5, 0.3, 0.1, 0.1]]])
    if task == "multiclass":
        target = torch.randint(CLASSES, (REPLICAS, 1, ROWS), generator=generator)
        signal = torch.nn.functional.one_hot(target, CLASSES) + 2 * prior.log().unsqueeze(-2)
        outputs = torch.randn(*lead, CLASSES, generator=generator) + signal
    elif task == "binary":
        target = (torch.rand(REPLICAS, 1, ROWS, generator=generator) < 0.3).long()
        # rounded, so that there are ties
        outputs = ((torch.randn(lead, generator=generator) + target - 1) * 3).round() / 2
    else:
        target = torch.randn(REPLICAS, 1, ROWS, generator=generator) * 3 + 5
        target = target.clamp(min=get_metric(name, task).lowest)
        outputs = target + torch.randn(lead, generator=generator) + 0.8
    return Population(get_metric(name, task), outputs, target, prior)


def _same_parameters(found: Tensor, expected: Tensor) -> None:
    # A temperature is found with float32 logits, whose sums round differently in other shapes.
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_population_equals_its_members_one_by_one(population: Population) -> None:
    values, adjustment = population.evaluate(True)
    plain = population.metric(population.outputs, population.target)
    assert values.shape == plain.shape == (REPLICAS, MEMBERS)
    assert values.dtype == plain.dtype == torch.float64
    for r in range(REPLICAS):
        for k in range(MEMBERS):
            alone = population.outputs[r, k], population.target[r, 0]
            value, its = evaluate(
                population.metric, *alone, tuned=True, facts={"class_prior": population.class_prior[r, 0]}
            )
            assert value.shape == ()
            torch.testing.assert_close(value, values[r, k])
            _same_parameters(its.parameter, adjustment.parameter[r, k])
            torch.testing.assert_close(population.metric(*alone), plain[r, k])


def test_small_chunks_change_nothing(population: Population, monkeypatch: pytest.MonkeyPatch) -> None:
    values, adjustment = population.evaluate(True)
    monkeypatch.setattr(members, "CHUNK", 2 * population.outputs[0, 0].numel())
    again, its = population.evaluate(True)
    torch.testing.assert_close(again, values)
    _same_parameters(its.parameter, adjustment.parameter)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_member_that_diverged_is_nan_and_leaves_the_others_alone(population: Population, bad: float) -> None:
    before, adjustment = population.evaluate(True)
    population.outputs[1, 2].view(-1)[5] = bad
    after, its = population.evaluate(True)
    others = torch.ones(REPLICAS, MEMBERS, dtype=torch.bool)
    others[1, 2] = False
    assert math.isnan(after[1, 2])
    torch.testing.assert_close(after[others], before[others])
    _same_parameters(its.parameter[others], adjustment.parameter[others])
    assert its.parameter[1, 2] == (1.0 if population.metric.adjustment == "temperature" else 0.0)


def test_only_members_to_be_tuned_are_tuned(population: Population) -> None:
    tuned = torch.tensor([[True, False, True], [False, False, True]])
    values, adjustment = population.evaluate(tuned)
    whole, every = population.evaluate(True)
    plain = population.metric(population.outputs, population.target)
    torch.testing.assert_close(values[tuned], whole[tuned])
    torch.testing.assert_close(values[~tuned], plain[~tuned])
    applied = adjustment.apply(population.outputs)
    assert applied.dtype == population.outputs.dtype
    assert applied.shape == population.outputs.shape
    torch.testing.assert_close(applied[~tuned], population.outputs[~tuned], rtol=0, atol=0)
    torch.testing.assert_close(adjustment.select((0, 2)).apply(population.outputs[0, 2]), applied[0, 2])
    _same_parameters(every.where(tuned, population.evaluate(False)[1]).parameter, adjustment.parameter)


def test_tuning_never_hurts_on_the_rows_that_it_saw(population: Population) -> None:
    if population.metric.name == "ece":
        pytest.skip("a temperature for ece is fitted to the log loss, which ece need not follow")
    tuned, plain = (population.metric.utility(population.evaluate(flag)[0]) for flag in (True, False))
    assert (tuned >= plain - 1e-6).all()
    if population.metric.adjustment == "none":
        torch.testing.assert_close(tuned, plain)
    else:
        assert (tuned > plain + 1e-6).any()


def test_a_resample_equals_the_metric_on_repeated_rows(population: Population) -> None:
    outputs, target = population.outputs[0, 1], population.target[0, 0]
    generator = torch.Generator().manual_seed(3)
    picks = torch.randint(ROWS, (6, ROWS), generator=generator)
    weights = torch.stack([torch.bincount(pick, minlength=ROWS) for pick in picks], 1).double()
    found = population.metric.function.resampled(outputs, target)(weights)
    expected = torch.stack([population.metric(outputs[pick], target[pick]) for pick in picks])
    torch.testing.assert_close(found, expected)


def test_direction_says_what_is_better(population: Population) -> None:
    metric = population.metric
    noise = torch.randn(population.outputs.shape, generator=torch.Generator().manual_seed(1))
    if metric.view.labels and metric.view.columns:
        perfect = torch.nn.functional.one_hot(population.target, CLASSES) * 20.0
    elif metric.view.labels:
        perfect = population.target * 40.0 - 20.0
    else:
        perfect = population.target
    good, poor = metric(perfect, population.target)[0, 0].item(), metric(noise, population.target)[0, 0].item()
    assert metric.better(good, poor)
    assert not metric.better(poor, good)
    assert not metric.better(good, good)
    assert metric.utility(good) > metric.utility(poor)
    assert metric.better(poor, math.nan)
    assert not metric.better(math.nan, poor)
    assert not metric.better(math.nan, math.nan)


def test_a_metric_survives_pickling(population: Population) -> None:
    copy = pickle.loads(pickle.dumps(population.metric))
    torch.testing.assert_close(
        copy(population.outputs, population.target), population.metric(population.outputs, population.target)
    )


def test_outputs_of_a_model_in_training_need_no_detaching(population: Population) -> None:
    values, _ = population.evaluate(True)
    population.outputs.requires_grad_()
    again, its = population.evaluate(True)
    torch.testing.assert_close(again, values)
    assert not its.parameter.requires_grad


def test_shapes_that_do_not_fit_are_refused(population: Population) -> None:
    metric, outputs, target = population.metric, population.outputs, population.target
    with pytest.raises(OptionError, match="same rows"):
        metric(outputs, target[..., 1:])
    with pytest.raises(OptionError, match="same rows"):
        metric(outputs[:, :, :0], target[..., :0])
    with pytest.raises(OptionError, match=r"must broadcast to \[2, 3\]"):
        metric(outputs, target.expand(REPLICAS, 2, ROWS))
    if metric.adjustment == "prior_shift":
        with pytest.raises(OptionError, match="class_prior is needed"):
            fit_adjustment(metric, outputs, target)


def test_a_name_is_unique_in_its_task() -> None:
    own = [record for record in records() if is_own(record.function)]
    named = [(kind, one.name) for one in own for kind, task in TASKS.items() if one.fits(kind, task.view)]
    assert len(named) == len(set(named))
    shared = {name for kind, task in TASKS.items() if task.shared or task.by_size for name in metrics_for(kind)}
    assert {name for _, name in CASES} | shared == {record.example for record in own} | set(EXAMPLES)
    assert all(get_metric(name, kind).name == name for kind, name in CASES)
