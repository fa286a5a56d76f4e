"""The spec of a loss: what it accepts, what it refuses, and what makes two of them the same."""

from __future__ import annotations

import json
import math
import pickle
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from losssearch.errors import SpecError, UnknownNameError
from losssearch.losses import terms
from losssearch.losses.domains import Choice, Domain, Int
from losssearch.losses.spec import LossSpec, Part, Reduction, Weighting

CLASSIFICATION = sorted(name for name, term in terms.items() if "target" not in term.reads)
REGRESSION = sorted(name for name, term in terms.items() if "target" in term.reads)
HUGE = 10**400
"""Larger than any float."""
UNPRINTABLE = 10**5000
"""Longer than what Python turns into text."""
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
    assert sum(part.weighting.start for part in read(data).parts) == pytest.approx(1)


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


BAD: list[tuple[object, str]] = [
    (None, "an object with a list"),
    ([], "an object with a list"),
    ({"parts": "focal"}, "an object with a list"),
    ({"parts": []}, "1 to 8 parts, got 0"),
    ({"parts": [{"term": name} for name in CLASSIFICATION[:9]]}, "1 to 8 parts, got 9"),
    ({**one(), "decison": "tuned"}, "keys parts and decision, got decison"),
    ({**one(), 1: 2, "a": 3}, "keys parts and decision"),
    ({**one(), "decision": "maybe"}, '"tuned" or "fixed", got \'maybe\''),
    ({**one(), "decision": ["tuned"]}, '"tuned" or "fixed"'),
    ({"parts": ["focal"]}, 'an object with a "term"'),
    ({"parts": [{"gamma": 1}]}, 'an object with a "term"'),
    ({"parts": [{"term": ["focal"]}]}, 'an object with a "term"'),
    ({"parts": [{"term": "focal"}, {"term": "focal", "weight": 2, "scale": 3}]}, "must differ"),
    ({"parts": [{"term": "squared"}, {"term": "focal"}]}, "one kind of task|one task"),
    (one(gama=1), "focal has no hyperparameter 'gama'; it has: gamma"),
    (one(gamma=6), r"focal.gamma must lie in \[0, 5\]"),
    (one(gamma=math.nan), "focal.gamma must lie in"),
    (one(gamma=HUGE), "focal.gamma must lie in"),
    (one(gamma=UNPRINTABLE), "focal.gamma must lie in"),
    (one(gamma=True), "focal.gamma must be a number"),
    (one(gamma="2"), "focal.gamma must be a number"),
    (one(weight=0), "above 0"),
    (one(weight=-1), "weight must be a number in"),
    (one(weight=math.nan), "weight must be a number in"),
    (one(weight=HUGE), "weight must be a number in"),
    (one(weight=UNPRINTABLE), "weight must be a number in"),
    (one(weight=True), "weight must be a number in"),
    (one(weight=[1]), "weight must be a number in"),
    (one(weight={"learned": "loss"}), "a weight is a number, a linear schedule or learned"),
    (one(weight={"schedule": "cosine", "start": 1, "end": 0}), "a weight is a number, a linear schedule"),
    (one(weight={"schedule": "linear", "start": 1}), "a weight is a number, a linear schedule"),
    (one(weight={"schedule": "linear", "start": 1, "end": -1}), "weight.end must be a number in"),
    (one(weight={"schedule": "linear", "start": 0, "end": 0}), "must not start and end at 0"),
    (one(reduction="max"), 'a reduction is "mean" or'),
    (one(reduction={"cvar": 0.001}), r"reduction.cvar must be a number in \[0.01, 1\]"),
    (one(reduction={"cvar": math.nan}), "reduction.cvar must be a number"),
    (one(scale=0), "scale must be"),
    (one(scale=math.inf), "scale must be"),
    (one(scale=math.nan), "scale must be"),
    (one(scale="1"), "scale must be"),
    (one(scale=HUGE), "scale must be"),
    ({"parts": [{"term": "soft_f1", "reduction": {"cvar": 0.5}}]}, "soft_f1 gives one value a batch"),
]


@pytest.mark.parametrize(("data", "message"), BAD, ids=range(len(BAD)))
def test_refuses_with_the_rule(data: object, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        read(data)


def test_an_unknown_term_gets_the_nearest_names() -> None:
    with pytest.raises(UnknownNameError, match="did you mean .*focal"):
        read({"parts": [{"term": "focl"}]})


@pytest.mark.parametrize(
    "make",
    [
        lambda: Weighting("constant", -1.0, -1.0),
        lambda: Weighting("constant", 0.0, 0.0),
        lambda: Weighting("linear", 0.0, 0.0),
        lambda: Weighting("linear", 1.0, math.nan),
        lambda: Weighting("cosine", 1.0, 1.0),  # type: ignore[arg-type]
        lambda: Reduction("cvar", 7.0),
        lambda: Reduction("max"),  # type: ignore[arg-type]
        lambda: Part("focal", scale=-1.0),
        lambda: Part("focal", {"gamma": 9.0}),
        lambda: LossSpec(()),
    ],
)
def test_values_made_in_python_obey_the_same_rules(make: Any) -> None:
    with pytest.raises(SpecError):
        make()


numbers = st.sampled_from([0, -1, 1, HUGE, -HUGE, math.nan, math.inf, 1e-320, 1e308, True]) | st.floats()
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=4) | st.sampled_from(["mean", "linear", "tuned", "focal"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["cvar", "schedule", "start", "end", "learned", "term", 1, None]), inner)
    ),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(["parts", "decision", 0]), anything)
    | st.lists(
        st.dictionaries(st.sampled_from(["gamma", "weight", "reduction", "scale", 3]), anything), min_size=1, max_size=2
    ).map(lambda found: {"parts": [{"term": name, **p} for name, p in zip(["focal", "poly1"], found, strict=False)]})
)
def test_whatever_comes_in_is_read_or_refused(data: dict[str, Any]) -> None:
    try:
        spec = read(data)
    except (SpecError, UnknownNameError):
        return
    assert read(spec.to_json()) == spec
