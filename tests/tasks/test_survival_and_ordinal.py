"""The kinds for censored times and for grades: what they refuse, how outputs are read, an exported loss in use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from losssearch.data.batch import Sizes
from losssearch.data.dataset import load
from losssearch.data.replicas import make_replicas
from losssearch.data.splits import Draw
from losssearch.errors import DataError
from losssearch.export.bundle import write_bundle
from losssearch.export.reading import load_loss
from losssearch.losses import terms
from losssearch.losses.population import PopulationLoss
from losssearch.losses.spec import LossSpec
from losssearch.tasks import TASKS, Predicting

ROWS = 120


def table(**changed: Any) -> pd.DataFrame:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"x": random.normal(size=ROWS), "time": 1 + random.exponential(5, ROWS).round(1)})
    frame["event"], frame["grade"] = np.arange(ROWS) % 3 % 2, np.arange(ROWS) % 4
    return frame.assign(**changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"time": np.arange(ROWS) * 1.0}, r"a time must be above 0; column 'time' .* has 0 in row 1$"),
        ({"event": np.arange(ROWS) % 3}, r"an event must be 1, or 0 where it was not seen; .* has 2 in row 3: "),
        ({"event": np.zeros(ROWS)}, r"there must be events; column 'event' .* is always 0"),
    ],
)
def test_times_and_events_that_are_none_are_told(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(table(**changed), target=["time", "event"], task="survival")


def test_grades_without_an_order_or_of_one_value_are_told() -> None:
    names = pd.Series(["low", "mid", "high"])[np.arange(ROWS) % 3].to_numpy()
    with pytest.raises(DataError, match=r"grades must be in an order; target 'grade' .* holds text such as 'high'"):
        load(table(grade=names), target="grade", task="ordinal")
    with pytest.raises(DataError, match="two or more distinct values"):
        load(table(grade=1), target="grade", task="ordinal")


def test_grades_are_in_the_order_of_numbers_or_of_a_category() -> None:
    assert load(table(grade=np.arange(ROWS) % 3 * 6 - 2), target="grade", task="ordinal").classes == ("-2", "4", "10")
    names = pd.Categorical.from_codes(np.arange(ROWS) % 3, ["low", "mid", "high"], ordered=True)
    assert load(table(grade=names), target="grade", task="ordinal").classes == ("low", "mid", "high")


def test_batches_of_survival_hold_log_times_events_and_bins_and_every_head_is_read_as_risk_and_curve() -> None:
    data = load(table(), target=["time", "event"], task="survival")
    replicas = make_replicas(data, [Draw(np.arange(80), np.arange(80, ROWS), 0)])
    target, time = replicas.train["target"][0], torch.tensor(data.target[:80, 0])
    torch.testing.assert_close(target[:, 0].double(), (time.log() - time.log().mean()) / time.log().std(correction=0))
    torch.testing.assert_close(replicas.validation["target"][0], torch.tensor(data.target[80:]))
    assert bool((time <= replicas.facts["time_edges"][0, target[:, 2].long().clamp_max(13)])[target[:, 2] < 14].all())
    task = TASKS["survival"]
    read = Predicting.of(task, 0)
    assert read is not None
    raw = torch.randn(1, 3, 80, 15, generator=torch.Generator().manual_seed(0))
    specs = [LossSpec.from_json({"parts": [{"term": one}]}) for one in ("cox_breslow", "squared", "discrete_hazard")]
    shown = read(raw, [read.head(spec) for spec in specs], replicas.facts)
    assert shown.shape == (1, 3, 80, 29)
    torch.testing.assert_close(shown[:, 0, :, 0], raw[:, 0, :, 0])
    torch.testing.assert_close(shown[:, 1, :, 0], -raw[:, 1, :, 0])
    survived = torch.cumprod(1 - raw[:, 2].sigmoid(), -1)[..., :14]
    torch.testing.assert_close(shown[:, 2, :, 1:15], survived)
    assert bool((shown[:, :2, :, 1:15] == 1).all())


def test_a_score_is_read_as_probabilities_of_grades_between_cuts_that_are_evenly_apart() -> None:
    read = Predicting.of(TASKS["ordinal"], 4)
    assert read is not None
    spec = LossSpec.from_json({"parts": [{"term": "cumulative_logit"}]})
    shown = read(torch.tensor([[[[-9.0], [0.0], [9.0]]]]), [read.head(spec)], {})[0, 0].softmax(-1)
    torch.testing.assert_close(shown[1], shown[1].flip(0))
    assert shown.argmax(-1).tolist()[::2] == [0, 3]


@pytest.mark.parametrize(
    ("kind", "term", "width"),
    [
        ("survival", "cox_breslow", 1),
        ("survival", "discrete_hazard", 15),
        ("ordinal", "coral", 1),
        ("ordinal", "corn", 3),
    ],
)
def test_an_exported_loss_trains_a_model_in_a_loop_of_ones_own(kind: str, term: str, width: int, tmp_path: Any) -> None:
    spec = LossSpec.from_json({"parts": [{"term": term}]})
    prior = [0.25] * 4 if kind == "ordinal" else None
    write_bundle(tmp_path / "loss", spec, task=kind, classes=4 if prior else 2, class_prior=prior)
    source = torch.Generator().manual_seed(0)
    x = torch.randn(256, 2, generator=source)
    grade = (x[:, 0] > torch.tensor([-0.7, 0.0, 0.7])[:, None]).sum(0)
    times = torch.stack((-x[:, 0], torch.arange(256) % 2.0, (7 - 3 * x[:, 0]).clamp(0, 14).floor()), -1)
    target, loss, model = grade if prior else times, load_loss(tmp_path / "loss"), torch.nn.Linear(2, width)
    optimiser = torch.optim.Adam([*model.parameters(), *loss.parameters()], lr=0.05)
    found = []
    for _ in range(60):
        optimiser.zero_grad()
        value = loss(model(x), target)
        value.backward()
        optimiser.step()
        found.append(float(value.detach()))
    assert found[-1] < 0.9 * found[0]


@pytest.mark.parametrize("beside", ["corn", "cross_entropy", "focal", "weighted_cross_entropy"])
def test_corn_reads_the_cuts_alone_whatever_is_trained_beside_it(beside: str) -> None:
    """Where another loss reads a logit per grade, a model has as many columns: the last is not read."""
    specs = [LossSpec.from_json({"parts": [{"term": term}]}) for term in ("corn", beside)]
    loss = PopulationLoss(specs, sizes=Sizes(4), offer=TASKS["ordinal"].offer)
    source = torch.Generator().manual_seed(0)
    outputs = torch.randn(1, 2, 20, 4, generator=source, requires_grad=True)
    target, prior = torch.arange(20)[None] % 4, torch.full((1, 4), 0.25)
    given = ({"target": target}, {"class_prior": prior}, loss.initial.expand(1, -1, -1), 0.5)
    value = loss(outputs, *given)[0, 0]
    torch.testing.assert_close(value, terms["corn"](outputs[0, 0, :, :3], target[0]).mean())
    slope, *_ = loss.slopes(outputs.detach(), *given, states=loss.start([0]))
    assert (slope[0, 0, :, 3] == 0).all()
    assert (slope[0, 0, :, :3] != 0).any()
