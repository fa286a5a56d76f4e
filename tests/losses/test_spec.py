"""The spec of a loss: its JSON, its formula, and what makes two of them the same."""

from __future__ import annotations

import json
import pickle
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from losssearch.losses import terms
from losssearch.losses.domains import Choice, Domain, Int, Tree
from losssearch.losses.spec import LossSpec, Part

CLASSIFICATION = sorted(name for name, term in terms.items() if "target" not in term.reads)
REGRESSION = sorted(name for name, term in terms.items() if "target" in term.reads)
FROZEN = {
    "parts": [
        {"term": "tversky", "alpha": 0.123456789, "weight": 2},
        {"term": "ldam", "weight": 0.3, "reduction": {"cvar": 0.3}, "scale": 0.41},
        {"term": "pairwise_auc", "surrogate": "squared_hinge", "weight": 1.0},
    ],
    "decision": "fixed",
}


def one(**part: Any) -> dict[str, Any]:
    return {"parts": [{"term": "focal", **part}]}


def read(data: object) -> LossSpec:
    return LossSpec.from_json(data)


def value_of(domain: Domain) -> st.SearchStrategy[float | int | str]:
    if isinstance(domain, Choice):
        return st.sampled_from(domain.options)
    if isinstance(domain, Int):
        return st.integers(domain.low, domain.high)
    if isinstance(domain, Tree):
        return st.sampled_from([domain.default, "abs(output)", "log(add(1, square(sub(output, target))))"])
    return st.floats(domain.low, domain.high)


weights = st.floats(1e-3, 1e3)
linear = st.fixed_dictionaries({"schedule": st.just("linear"), "start": st.floats(0, 1e3), "end": st.floats(1e-3, 1e3)})
learned = st.just({"learned": "uncertainty"})


@st.composite
def parts(draw: st.DrawFn, name: str, weight: st.SearchStrategy[Any]) -> dict[str, Any]:
    term = terms[name]
    reductions = st.just("mean") | st.fixed_dictionaries({"cvar": st.floats(0.01, 1)})
    return {
        "term": name,
        **{key: draw(value_of(domain)) for key, domain in term.domains.items()},
        "weight": draw(weight),
        "reduction": draw(reductions) if term.per_sample else "mean",
        "scale": draw(st.floats(1e-6, 1e6)),
    }


@st.composite
def specs(draw: st.DrawFn, weight: st.SearchStrategy[Any] = weights | linear | learned) -> dict[str, Any]:
    """The JSON of a valid spec of one to four terms."""
    names = draw(st.lists(st.sampled_from(draw(st.sampled_from([CLASSIFICATION, REGRESSION]))), min_size=1, max_size=4))
    drawn = [draw(parts(name, weight)) for name in dict.fromkeys(names)]
    return {"parts": drawn, "decision": draw(st.sampled_from(["tuned", "fixed"]))}


@given(specs())
def test_round_trips_through_json(data: dict[str, Any]) -> None:
    spec = read(data)
    again = read(json.loads(json.dumps(spec.to_json())))
    assert again.to_json() == spec.to_json()
    assert again == spec
    assert {part.identity() for part in spec.parts} == {Part.from_json(part).identity() for part in data["parts"]}


@given(specs(), st.randoms(use_true_random=False))
def test_order_of_the_parts_does_not_matter(data: dict[str, Any], random: Random) -> None:
    shuffled = {**data, "parts": random.sample(data["parts"], len(data["parts"]))}
    assert read(shuffled).to_json() == read(data).to_json()


@given(specs(), st.floats(1e-6, 1e6))
def test_scale_takes_no_part_in_identity(data: dict[str, Any], scale: float) -> None:
    other = {**data, "parts": [{**part, "scale": scale} for part in data["parts"]]}
    assert read(other) == read(data)
    assert [part.scale for part in read(other).parts] == [scale] * len(data["parts"])


@given(specs(weight=weights), st.sampled_from([2.0**-6, 0.5, 4.0, 2.0**6]))
def test_constant_weights_count_by_their_ratio(data: dict[str, Any], factor: float) -> None:
    """Powers of two, so that the product is exact."""
    other = {**data, "parts": [{**part, "weight": part["weight"] * factor} for part in data["parts"]]}
    assert read(other) == read(data)
    assert sum(part.weighting.largest for part in read(data).parts) == pytest.approx(1)


def test_reading_again_and_again_changes_no_bit() -> None:
    """Weights that sum to one are kept; dividing 1336 of 5000 such draws once more changed a last digit."""
    for seed in range(200):
        random = Random(seed)
        drawn = [{"term": name, "weight": random.uniform(0.01, 5)} for name in ("focal", "hinge", "ldam", "poly1")]
        spec = read({"parts": drawn})
        assert read(spec.to_json()).to_json() == spec.to_json()


def test_weights_are_compared_to_six_digits() -> None:
    def pair(first: float, second: float) -> LossSpec:
        return read({"parts": [{"term": "focal", "weight": first}, {"term": "hinge", "weight": second}]})

    assert pair(3, 7) == pair(0.9, 2.1) == pair(0.3000000001, 0.7)
    assert pair(3, 7) != pair(3.0001, 7)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (one(gamma=0.1 + 0.2), one(gamma=0.3)),
        (one(gamma=1), one(gamma=1.0)),
        (one(), one(gamma=2.0)),
        (one(gamma=0.0), one(gamma=-0.0)),
        (one(reduction={"cvar": 0.1 + 0.2}), one(reduction={"cvar": 0.3})),
        (one(), {**one(), "decision": "tuned"}),
        (one(weight=5), one(weight=0.1)),
    ],
)
def test_the_same_loss_written_in_two_ways(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert read(first) == read(second)
    assert hash(read(first)) == hash(read(second))


def test_every_choice_takes_part_in_identity() -> None:
    differing = [
        one(),
        one(gamma=1.0),
        one(gamma=1.00001),
        one(weight={"learned": "uncertainty"}),
        one(weight={"schedule": "linear", "start": 1, "end": 0}),
        one(weight={"schedule": "linear", "start": 0, "end": 1}),
        one(reduction={"cvar": 0.5}),
        one(reduction={"cvar": 0.50001}),
        {**one(), "decision": "fixed"},
        {"parts": [{"term": "hinge"}]},
        {"parts": [{"term": "focal"}, {"term": "hinge"}]},
        {"parts": [{"term": "pairwise_auc"}]},
        {"parts": [{"term": "pairwise_auc", "surrogate": "squared_hinge"}]},
    ]
    assert len({read(data).key for data in differing}) == len({read(data) for data in differing}) == len(differing)


def test_key_is_the_one_that_stores_hold() -> None:
    """Frozen: a study's trials are found again by it, after an upgrade and on any platform."""
    assert read(FROZEN).key == "0b52403f135f8917"


def test_is_not_equal_to_what_is_no_spec() -> None:
    assert read(one()) != read(one()).key
    assert read(one()) != "focal"


@given(specs())
def test_pickles(data: dict[str, Any]) -> None:
    spec = read(data)
    again = pickle.loads(pickle.dumps(spec))
    assert again == spec
    assert again.to_json() == spec.to_json()


def test_values_cannot_be_changed() -> None:
    spec = read(one())
    with pytest.raises(AttributeError):
        spec.decision = "fixed"  # type: ignore[misc]
    with pytest.raises(TypeError):
        spec.parts[0].hyperparameters["gamma"] = 1.0  # type: ignore[index]


@given(specs())
def test_formula_names_every_part(data: dict[str, Any]) -> None:
    spec = read(data)
    plain, latex = spec.formula(), spec.formula(latex=True)
    for part in spec.parts:
        if part.name != "symbolic":  # a formula is shown as itself
            assert part.name in plain
            assert part.name.replace("_", r"\_") in latex
    assert plain.count("CVaR") == latex.count("CVaR") == sum(p.reduction.kind == "cvar" for p in spec.parts)
    assert latex.count("{") == latex.count("}")


def test_formula_reads_as_written() -> None:
    spec = read(FROZEN)
    assert spec.formula() == (
        "0.0909·CVaR[0.3](ldam(max_margin=1, sharpness=1)) + 0.303·pairwise_auc(surrogate=squared_hinge)"
        " + 0.606·tversky(alpha=0.123, beta=0.7)"
    )
    assert read(one(weight={"learned": "uncertainty"})).formula() == "exp(-s)·focal(gamma=2)"
    assert read(one(weight={"schedule": "linear", "start": 1, "end": 0.25})).formula() == "(1→0.25)·focal(gamma=2)"
    assert read(one()).formula(latex=True) == r"\mathrm{focal}_{gamma=2}"
    assert spec.formula(latex=True).endswith(r"0.606\,\mathrm{tversky}_{alpha=0.123, beta=0.7}")
    assert r"_{max\_margin=1, sharpness=1}\right]" in spec.formula(latex=True)


def test_reads_what_its_terms_read() -> None:
    assert read(FROZEN).reads == {"logits", "logit", "labels", "class_prior"}
    scheduled = one(weight={"schedule": "linear", "start": 1, "end": 0})
    assert read(scheduled).reads == read(one()).reads | {"progress"}
