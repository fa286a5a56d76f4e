"""What terms state of themselves is what is measured: their shape, where their descent ends, what they are made for."""

from __future__ import annotations

import dataclasses
from functools import cache

import pytest
import torch

from benchmarks.oracles.listed import stored_names, without
from losssearch.errors import SpecError
from losssearch.losses import LossTerm, terms
from losssearch.losses.traits import ENDS, PROBLEMS, UNKNOWN, Traits
from tests.contracts import measured_traits as measured

KNOWN = {"logits", "logit", "labels", "class_prior", "prediction", "target", "zero", "progress", "scores"}


def is_static(term: LossTerm) -> bool:
    """Whether it reads outputs and targets of the old tasks, and keeps nothing but what descends with the model."""
    return set(term.reads) <= KNOWN and all(state.moved_by == "loss" for state in term.states.values())


STATIC = [term for term in terms.values() if is_static(term)]
every_static = pytest.mark.parametrize("term", STATIC, ids=lambda term: term.name)
_ends_at = cache(lambda name: measured.ends_at(terms[name]))


@every_static
def test_the_stated_shape_is_the_measured_one(term: LossTerm) -> None:
    found = {
        "convex": measured.is_convex(term),
        "smooth": measured.is_smooth(term),
        "bounded gradient": measured.is_bounded(term),
        "probabilistic": measured.is_probabilistic(term, _ends_at(term.name)),
    }
    assert found == term.traits.shape


@every_static
def test_descent_ends_where_it_is_stated(term: LossTerm) -> None:
    assert _ends_at(term.name) == term.traits.argmin


def test_every_end_is_that_of_a_term() -> None:
    assert {term.traits.argmin for term in STATIC} == set(ENDS)


def made_for(problem: str) -> list[LossTerm]:
    return [term for term in terms.values() if problem in term.traits.problems]


@pytest.mark.parametrize("term", made_for("outliers"), ids=lambda term: term.name)
def test_terms_of_outliers_have_a_bounded_gradient(term: LossTerm) -> None:
    """By the output; where a spread is put out too, by the mean at a given spread."""
    assert term.traits.bounded or ("mean" in term.reads and slope_by_mean(term, 1e5) <= 3 * slope_by_mean(term, 10.0))


def slope_by_mean(term: LossTerm, size: float) -> float:
    """The largest gradient by means of about this size."""
    named = dict(zip(term.reads, measured.inputs(term, measured.generator(), 40), strict=True))
    named["mean"] = (size * torch.randn(40, generator=measured.generator()).double()).requires_grad_()
    measured.evaluate(term, list(named.values()), measured.values(term)).sum().backward()
    return float(named["mean"].grad.abs().max())


def test_terms_of_miscalibration_end_at_probabilities_or_at_agreement() -> None:
    ends = {"probabilities", "smoothed probabilities", "agreement"}
    assert {term.traits.argmin for term in made_for("miscalibration")} == ends


@pytest.mark.parametrize("term", made_for("label-noise"), ids=lambda term: term.name)
def test_terms_of_wrong_labels_follow_the_majority_or_let_go(term: LossTerm) -> None:
    """A confident mistake pulls less, relative to a doubt, than under cross-entropy; or the majority counts more."""
    remembers = any(state.carried for state in term.states.values()) or "plain_loss" in term.reads
    sharper = term.traits.argmin in ("sharpened probabilities", "denoised probabilities", "most frequent class")
    assert remembers or sharper or relative_pull(term, 7.0, 1) < 0.5 * relative_pull(terms["cross_entropy"], 7.0, 1)


@pytest.mark.parametrize("term", made_for("imbalance"), ids=lambda term: term.name)
def test_terms_of_imbalance_know_how_frequent_classes_are_or_leave_easy_rows(term: LossTerm) -> None:
    knows = "class_prior" in term.reads or not term.per_sample or any(term.states)
    assert knows or relative_pull(term, 3.0, 0) < 0.5 * relative_pull(terms["cross_entropy"], 3.0, 0)


def relative_pull(term: LossTerm, margin: float, label: int) -> float:
    """The gradient of a sample whose class 0 leads by ``margin``, relative to that of one in doubt."""
    z = torch.tensor([0.0, -margin]).double()
    output = torch.stack((-z / 2, z / 2), -1) if "logits" in term.reads else z
    slopes = measured.slope(term, of_labels(term, torch.tensor([label, label]), output), output)
    return float(slopes[1].abs().max() / slopes[0].abs().max())


def of_labels(term: LossTerm, labels: torch.Tensor, output: torch.Tensor) -> list[torch.Tensor]:
    return measured.of_classes(term, labels, torch.ones(2).double() / 2, output)


@pytest.mark.parametrize("term", made_for("costs"), ids=lambda term: term.name)
def test_terms_of_costs_tell_the_two_kinds_of_error_apart(term: LossTerm) -> None:
    """At numbers that are no special case, an error of one sign costs something else than one of the other."""
    sides = torch.tensor([1.0, -1.0]).double()
    if "prediction" in term.reads:
        one, other = measured.losses(term, [0 * sides, sides], 0 * sides)
    else:
        labels = torch.tensor([0, 0, 1, 1])
        output = torch.tensor([2.0, -2.0, 2.0, 2.0]).double()  # a false alarm; the other one has a miss
        mirrored = torch.tensor([-2.0, -2.0, 2.0, -2.0]).double()
        one, other = (_mean(term, labels, z) for z in (output, mirrored))
    assert float(one) != pytest.approx(float(other), rel=1e-3)


def _mean(term: LossTerm, labels: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    output = torch.stack((-z / 2, z / 2), -1) if "logits" in term.reads else z
    return measured.losses(term, of_labels(term, labels, output), output).mean()


def test_terms_that_read_whether_an_event_was_seen_are_made_for_censoring() -> None:
    assert {term.name for term in made_for("censoring")} == {t.name for t in terms.values() if "event" in t.reads}


def test_every_problem_is_known() -> None:
    with pytest.raises(SpecError, match=r"problems must be among .*; got 'fog'"):
        Traits(problems=("fog",))
    with pytest.raises(SpecError, match=r"argmin must be one of .*; got 'nowhere'"):
        Traits(argmin="nowhere")
    assert {problem for term in terms.values() for problem in term.traits.problems} <= set(PROBLEMS)


def test_every_term_names_its_oracle() -> None:
    """In its record, or by its name in the stored numbers of another library; see `benchmarks.oracles.listed`."""
    assert without(terms.values()) == []


def test_a_term_without_an_oracle_is_told() -> None:
    assert without([dataclasses.replace(terms["huber"], name="nameless", traits=UNKNOWN)]) == ["nameless"]
    assert "cauchy" in stored_names()
