"""Terms in which a first model says how much each row counts for a second; the oracles are plain loops over rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax

import losssearch as ls
from losssearch.data.batch import Sizes
from losssearch.errors import SpecError
from losssearch.export.facts import LossFacts
from losssearch.export.source import loss_source
from losssearch.losses.compose import compose
from losssearch.losses.population import PopulationLoss
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.term import _registry
from losssearch.training.boosting.pieces import pieces_of

ROWS, BATCH, CLASSES, EPOCHS, AT = 30, 10, 4, 4, 0.5
Array = np.ndarray
Looped = Callable[[Array, Array, Sequence[Array]], list[float]]


def identified(logits: Array, labels: Array, batches: Sequence[Array], factor: float) -> list[float]:
    """Liu et al. 2021, algorithm 1: rows that the first model got wrong count ``factor`` times for the second."""
    wrong: dict[int, bool] = {}
    found = []
    for step, batch in enumerate(batches):
        losses = [-np.log(softmax(logits[step, place])[labels[row]]) for place, row in enumerate(batch)]
        if step / len(batches) < AT:
            wrong |= {row: logits[step, place].argmax() != labels[row] for place, row in enumerate(batch)}
            found.append(float(np.mean(losses)))
        else:
            found.append(
                float(np.mean([loss * (factor if wrong[row] else 1) for row, loss in zip(batch, losses, strict=True)]))
            )
    return found


def relative_difficulty(logits: Array, labels: Array, batches: Sequence[Array], q: float) -> list[float]:
    """Nam et al. 2020, eq. 1 for the first model and eq. 3 for the second."""
    biased: dict[int, float] = {}
    found = []
    for step, batch in enumerate(batches):
        shares = [softmax(logits[step, place])[labels[row]] for place, row in enumerate(batch)]
        if step / len(batches) < AT:
            biased |= {row: -np.log(share) for row, share in zip(batch, shares, strict=True)}
            found.append(float(np.mean([(1 - share**q) / q for share in shares])))
        else:
            own = [
                biased[row] / (biased[row] - np.log(share)) * -np.log(share)
                for row, share in zip(batch, shares, strict=True)
            ]
            found.append(float(np.mean(own)))
    return found


CASES: list[tuple[str, dict[str, float], Looped]] = [
    ("identify", {"at": AT, "factor": 20.0}, lambda z, y, b: identified(z, y, b, 20.0)),
    ("biased_twin", {"at": AT, "q": 0.7}, lambda z, y, b: relative_difficulty(z, y, b, 0.7)),
]


def epochs(seed: int = 0) -> tuple[Array, Array, list[Array]]:
    """Logits of every batch, labels of all rows, and the rows of every batch."""
    random = np.random.default_rng(seed)
    batches = [batch for _ in range(EPOCHS) for batch in np.split(random.permutation(ROWS), ROWS // BATCH)]
    return random.normal(size=(len(batches), BATCH, CLASSES)) * 3, random.integers(CLASSES, size=ROWS), batches


def exported(spec: LossSpec) -> Any:
    text: dict[str, Any] = {"__name__": "loss"}
    facts = LossFacts(spec, "multiclass", classes=CLASSES, class_prior=(1 / CLASSES,) * CLASSES)
    exec(compile(loss_source(facts), "loss.py", "exec"), text)
    return text["Loss"](rows=ROWS)


@pytest.mark.parametrize(("name", "hyper", "looped"), CASES, ids=[case[0] for case in CASES])
def test_the_loss_is_the_formula_in_plain_loops(name: str, hyper: dict[str, float], looped: Looped) -> None:
    """Composed and exported."""
    logits, labels, batches = epochs()
    spec = LossSpec.from_json({"parts": [{"term": name, **hyper}]})
    losses = [compose(spec, classes=CLASSES, rows=ROWS).double(), exported(spec).double()]
    assert [loss.restart_at for loss in losses] == [(AT,)] * 2
    found: list[list[float]] = [[], []]
    for step, batch in enumerate(batches):
        given = torch.from_numpy(logits[step]), torch.from_numpy(labels[batch])
        for own, loss in zip(found, losses, strict=True):
            more = {"index": torch.from_numpy(batch), "progress": step / len(batches)}
            own.append(float(loss(*given, **more)))
    for own in found:
        np.testing.assert_allclose(own, looped(logits, labels, batches), rtol=1e-6)


@pytest.mark.parametrize(("name", "hyper", "looped"), CASES, ids=[case[0] for case in CASES])
def test_and_so_is_a_population(name: str, hyper: dict[str, float], looped: Looped) -> None:
    """Two replicas with rows of their own, with a member that keeps nothing."""
    drawn = [epochs(seed) for seed in range(2)]
    specs = [LossSpec.from_json({"parts": [own]}) for own in ({"term": "focal"}, {"term": name, **hyper})]
    population, found = PopulationLoss(specs, sizes=Sizes(CLASSES, rows=ROWS)), []
    states, learned, steps = population.start([0, 1]), population.start_learned([0, 1]), len(drawn[0][2])
    for step in range(steps):
        outputs = torch.stack([torch.from_numpy(own[0][step]).float().expand(2, -1, -1) for own in drawn])
        batch = {
            "target": torch.stack([torch.from_numpy(own[1][own[2][step]]) for own in drawn]),
            "index": torch.stack([torch.from_numpy(own[2][step]) for own in drawn]),
        }
        found.append(population(outputs, batch, {}, learned, step / steps, states=states)[:, 1])
        _, _, after = population.slopes(outputs, batch, {}, learned, step / steps, states=states)
        states = population.carried(states, after, batch)
    expected = np.array([looped(*own) for own in drawn])
    np.testing.assert_allclose(torch.stack(found, 1).numpy(), expected, rtol=2e-4, atol=1e-5)


def test_a_row_that_the_first_model_did_not_see_counts_as_usual() -> None:
    logits, labels, index = torch.tensor([[2.0, 0.0]]), torch.tensor([1]), torch.tensor([0])
    plain = torch.nn.functional.cross_entropy(logits, labels)
    for name, share in (("identify", 1.0), ("biased_twin", 0.5)):
        loss = compose({"parts": [{"term": name}]}, rows=1)
        torch.testing.assert_close(loss(logits, labels, index=index, progress=0.9), share * plain)


def test_an_exported_loss_says_when_to_start_anew() -> None:
    text = loss_source(LossFacts(LossSpec.from_json({"parts": [{"term": "identify", "at": 0.25}]}), "binary"))
    assert "reaches 0.25 (``restart_at``), start the model" in " ".join(text.split())
    assert "if (epoch - 1) / epochs < 0.25 <= epoch / epochs:  # once: the model starts anew" in text
    assert "restart_at" not in loss_source(LossFacts(LossSpec((Part("focal"),)), "binary"))


def test_restarts_of_several_parts_are_told_in_order() -> None:
    parts = [{"term": "identify", "at": 0.5}, {"term": "biased_twin", "at": 0.2}, {"term": "focal"}]
    assert LossSpec.from_json({"parts": parts}).restart_at == (0.2, 0.5)
    assert LossSpec((Part("focal"),)).restart_at == ()


def test_a_restart_follows_no_schedule() -> None:
    moving = {"schedule": "linear", "start": 0.2, "end": 0.5}
    with pytest.raises(SpecError, match=r"^identify.at says when the model starts anew: it must be one number"):
        LossSpec.from_json({"parts": [{"term": "identify", "at": moving}]})
    LossSpec.from_json({"parts": [{"term": "identify", "factor": {"schedule": "linear", "start": 2.0, "end": 9.0}}]})


@pytest.mark.parametrize("domain", [ls.Float(0.0, 0.5, default=0.2), ls.Int(1, 2, default=1)])
def test_a_restart_is_declared_within_the_training(domain: Any) -> None:
    with pytest.raises(SpecError, match=r"^restart_at of own_start must name a Float of its own within \(0, 1\)"):

        @ls.loss_term(reference="a test", at=domain, restart_at="at")
        def own_start(logits: torch.Tensor, *, at: torch.Tensor) -> torch.Tensor:
            """A loss that must not be declared."""
            return logits.sum(-1) * at

    assert "own_start" not in _registry


def test_trees_refuse_it_in_one_line() -> None:
    spec = LossSpec.from_json({"parts": [{"term": "identify"}]})
    with pytest.raises(SpecError, match=r"^identify lets the model start anew in mid-training, which trees") as caught:
        pieces_of(spec, {}, Sizes(2, rows=9))
    assert "\n" not in str(caught.value)
