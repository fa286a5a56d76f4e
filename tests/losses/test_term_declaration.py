"""A declaration that contradicts its function is refused at import."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from losssearch.errors import SpecError, UnknownNameError
from losssearch.losses import term as term_module
from losssearch.losses import terms
from losssearch.losses.catalogue import Catalogue
from losssearch.losses.domains import Choice, Float
from losssearch.losses.inputs import PROVIDERS
from losssearch.losses.readable import STANDARD
from losssearch.losses.state import Dimensions, Learned, State
from losssearch.losses.term import loss_term


@pytest.fixture(autouse=True)
def scratch_registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    scratch = {"squared": terms["squared"]}
    monkeypatch.setattr(term_module, "_registry", scratch)
    monkeypatch.setattr(term_module, "registry", Catalogue(scratch, term_module._former))
    return scratch


def good(prediction: Tensor, target: Tensor, *, power: Tensor, style: str, offset: Tensor) -> Tensor:
    """Power of the residual."""
    return (target - prediction + offset).abs() ** power


DECLARED = {"power": Float(1, 3, default=2), "style": Choice("a", "b", default="a"), "offset": Learned(0.5)}


def test_the_record_states_what_the_signature_says(scratch_registry: dict[str, Any]) -> None:
    term = loss_term(reference="made up", nonnegative=False, **DECLARED)(good)
    assert scratch_registry["good"] is term
    assert (term.name, term.reads, term.summary) == ("good", ("prediction", "target"), "Power of the residual.")
    assert term.defaults == {"power": 2.0, "style": "a"}
    assert dict(term.learned) == {"offset": Learned(0.5)}
    assert (term.per_sample, term.nonnegative, term.shift_invariant) == (True, False, False)
    assert term.family == __name__.rsplit(".", maxsplit=1)[-1]
    assert term.check({"power": 3}) == {"power": 3.0, "style": "a"}
    assert term.fits(frozenset({"prediction", "target", "progress"}))
    assert not term.fits(frozenset({"logits", "target"}))


def undeclared(prediction: Tensor, target: Tensor, *, power: Tensor) -> Tensor:
    """Has a keyword that is not declared."""
    return prediction


def reads_weight(prediction: Tensor, *, weight: Tensor) -> Tensor:
    """Names a hyperparameter like a key of a part."""
    return prediction


def has_default(prediction: Tensor, target: Tensor | None = None) -> Tensor:
    """Has a default."""
    return prediction


def open_ended(prediction: Tensor, **others: Tensor) -> Tensor:
    """Takes anything."""
    return prediction


def undocumented(prediction: Tensor) -> Tensor:
    return prediction


def squared(prediction: Tensor) -> Tensor:
    """Has a name that is taken."""
    return prediction


POWER = {"power": Float(0, 1, default=1)}


@pytest.mark.parametrize(
    ("function", "declared", "message"),
    [
        (undeclared, {}, r"keyword-only parameters \['power'\] must equal the declared \[\]"),
        (undocumented, POWER, r"keyword-only parameters \[\] must equal the declared \['power'\]"),
        (undeclared, {"power": 2.0}, "must declare each of power as Float, Int, Choice or State"),
        (reads_weight, {"weight": Float(0, 1, default=1)}, "may not name a hyperparameter weight"),
        (has_default, {}, "must be named one by one, without defaults; got target"),
        (open_ended, {}, "must be named one by one, without defaults; got others"),
        (undocumented, {}, "undocumented needs a docstring and a reference"),
        (squared, {}, "term names must be unique, got a second 'squared'"),
    ],
)
def test_a_wrong_declaration_is_refused(
    function: Callable[..., Tensor], declared: dict[str, Any], message: str, scratch_registry: dict[str, Any]
) -> None:
    with pytest.raises(SpecError, match=message):
        loss_term(reference="made up", **declared)(function)
    assert list(scratch_registry) == ["squared"]


def logts(logts: Tensor, labels: Tensor) -> Tensor:
    """Reads a misspelt tensor."""
    return logts


def lables(logits: Tensor, lables: Tensor) -> Tensor:
    """Reads a misspelt tensor."""
    return logits


def predictions(predictions: Tensor, target: Tensor) -> Tensor:
    """Reads a misspelt tensor."""
    return predictions


def classprior(logits: Tensor, classprior: Tensor) -> Tensor:
    """Reads a misspelt tensor."""
    return logits


@pytest.mark.parametrize(
    ("function", "meant"),
    [(logts, "logits"), (lables, "labels"), (predictions, "prediction"), (classprior, "class_prior")],
)
def test_a_misspelt_tensor_is_found_at_the_declaration(
    function: Callable[..., Tensor], meant: str, scratch_registry: dict[str, Any]
) -> None:
    name = function.__name__
    with pytest.raises(SpecError, match=rf"^the term {name} reads {name}, which no .*; did you mean {meant}\?"):
        loss_term(reference="made up")(function)
    assert list(scratch_registry) == ["squared"]


def test_names_that_are_like_no_other_are_those_of_a_kind_declared_later(scratch_registry: dict[str, Any]) -> None:
    def heads(mean: Tensor, log_variance: Tensor, logit_2: Tensor, target: Tensor) -> Tensor:
        """Reads heads of a kind of task that is not there yet."""
        return mean

    assert loss_term(reference="made up")(heads).reads == ("mean", "log_variance", "logit_2", "target")


def test_the_standard_names_are_those_that_are_made() -> None:
    assert PROVIDERS.keys() == STANDARD


def test_a_reference_is_needed() -> None:
    with pytest.raises(SpecError, match="good needs a docstring and a reference"):
        loss_term(reference="", **DECLARED)(good)


def test_a_term_travels_by_its_name(scratch_registry: dict[str, Any]) -> None:
    packed = pickle.dumps(scratch_registry["squared"])
    assert pickle.loads(packed) is scratch_registry["squared"]
    scratch_registry.clear()
    with pytest.raises(UnknownNameError, match="unknown term 'squared'"):
        pickle.loads(packed)


def test_the_catalogue_cannot_be_written() -> None:
    with pytest.raises(TypeError):
        terms["squared"] = None  # type: ignore[index]


def carries(prediction: Tensor, *, rate: Tensor, memory: Tensor) -> Tensor:
    """Carries something from batch to batch."""
    return prediction + memory.sum() * rate


def next_carries(prediction: Tensor, *, rate: Tensor, memory: Tensor) -> Tensor:
    return memory + rate


def next_other(prediction: Tensor, *, memory: Tensor) -> Tensor:
    return memory


RATE = Float(0, 1, default=0.5)


def by_class(sizes: Dimensions) -> tuple[int, int]:
    return 2 * sizes.classes, sizes.groups


def test_a_state_says_how_it_goes_on() -> None:
    memory = State(by_class, moved_by="update", update=next_carries)
    term = loss_term(reference="made up", memory=memory, rate=RATE)(carries)
    assert term.states["memory"].size(Dimensions(classes=3, groups=2)) == (6, 2)
    assert not term.learned
    assert not terms["squared"].states


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: State(moved_by="magic"), "moved by one of loss, ascent, validation, update"),  # type: ignore[arg-type]
        (lambda: State(moved_by="validation", within=(1.0, 1.0)), r"lies within \(low, high\), where low < high"),
        (lambda: State(moved_by="validation", rate=0.0), "the rate of a state must be finite and above 0"),
        (lambda: State(moved_by="update"), "needs an update function just where"),
        (lambda: State(update=next_carries), "needs an update function just where"),
        (lambda: State(moved_by="frozen"), "a frozen state is an array"),
        (lambda: State((2, -1)), "shape of a state is a tuple of whole numbers"),
        (lambda: State(init=float("nan")), "starts from a finite number"),
        (lambda: State((3,), torch.zeros(2)).start(Dimensions(), "x"), r"must have the shape \[3\], got \[2\]"),
        (
            lambda: State((3,), moved_by="row update", update=next_carries).start(Dimensions(), "x"),
            "x is kept for each training row: give their number",
        ),
        (
            lambda: loss_term(reference="made up", rate=RATE, memory=State(moved_by="update", update=next_other))(
                carries
            ),
            "the update of carries's state memory must take what carries takes",
        ),
    ],
)
def test_a_wrong_state_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()
