"""What a spec refuses: with the rule in the message, and never with any other error."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from losssearch.errors import SpecError, UnknownNameError
from losssearch.losses import terms
from losssearch.losses.balance import Balance
from losssearch.losses.reduction import Reduction
from losssearch.losses.schedule import Scheduled
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.weighting import Weighting

CLASSIFICATION = sorted(name for name, term in terms.items() if "target" not in term.reads)
HUGE = 10**400
"""Larger than any float."""
UNPRINTABLE = 10**5000
"""Longer than what Python turns into text."""
FROM = {"schedule": "linear", "start": 2.0, "end": 0.5}
LINEAR = r'follows a schedule, written as .*{"schedule": "linear", "start": …, "end": …}.*'


def one(**part: Any) -> dict[str, Any]:
    return {"parts": [{"term": "focal", **part}]}


def read(data: object) -> LossSpec:
    return LossSpec.from_json(data)


BAD: list[tuple[object, str]] = [
    (None, "an object with a list"),
    ([], "an object with a list"),
    ({"parts": "focal"}, "an object with a list"),
    ({"parts": []}, "1 to 8 parts, got 0"),
    ({"parts": [{"term": name} for name in CLASSIFICATION[:9]]}, "1 to 8 parts, got 9"),
    ({**one(), "decison": "tuned"}, "keys parts, decision and balance, got decison"),
    ({**one(), 1: 2, "a": 3}, "keys parts, decision and balance"),
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
    (one(weight=-1), "weight must"),
    (one(weight=math.nan), "weight must"),
    (one(weight=HUGE), "weight must"),
    (one(weight=UNPRINTABLE), "weight must"),
    (one(weight=True), "weight must"),
    (one(weight=[1]), "weight must"),
    (
        one(weight={"learned": "loss"}),
        rf"a weight is a number, or {LINEAR}, or a weighting \(constant, multiplier, uncertainty",
    ),
    (one(weight={"zigzag": 1}), rf"a weight is a number, or {LINEAR}, or a weighting \(.*; got {{'zigzag': 1}}"),
    (one(gamma={"zigzag": 1}), rf"focal.gamma is a number in \[0, 5\], or {LINEAR}; got {{'zigzag': 1}}"),
    (one(gamma={"start": 0, "end": 1}), rf"focal.gamma is a number in \[0, 5\], or {LINEAR}; got {{'start'"),
    (one(gamma={"schedule": "zigzag"}), rf"focal.gamma is a number, or {LINEAR}; got the schedule 'zigzag'"),
    (one(reduction={"cvar": {"zigzag": 1}}), rf"reduction.cvar is a number in .*, or {LINEAR}; got {{'zigzag': 1}}"),
    (one(scale={"zigzag": 1}), "scale must"),
    (one(weight="wobbly"), r"a weight is a number, .* as in {.weighting.: NAME}; got 'wobbly'"),
    (
        one(weight={"schedule": "sine", "start": 1, "end": 0}),
        rf"weight is a number, or {LINEAR}; got the schedule 'sin",
    ),
    (
        one(weight={"schedule": "linear", "start": 1}),
        "the schedule linear has the numbers start, end, from, to; got start",
    ),
    (one(gamma={"schedule": "step", "start": 1, "end": 0, "at": 2}), "focal.gamma.at must lie in"),
    (one(gamma={"schedule": "cyclic", "start": 1, "end": 0, "cycles": 1.5}), "gamma.cycles must be a whole number"),
    (one(gamma={**FROM, "from": 0.5, "to": 0.2}), "focal.gamma: `from < to` must hold .*, got from=0.5, to=0.2"),
    (one(gamma={**FROM, "from": 1}), "focal.gamma: `from < to` must hold of a schedule, got from=1, to=1"),
    (one(gamma={**FROM, "to": math.nan}), "focal.gamma.to must lie in"),
    (one(reduction={"cvar": {**FROM, "to": 0}}), "reduction.cvar.start must lie in"),
    ({"parts": [{"term": "pairwise_auc", "surrogate": FROM}]}, "pairwise_auc.surrogate must be one of"),
    ({"parts": [{"term": "focal"}], "balance": {"zigzag": 1}}, 'a balance is .*"sum"'),
    (one(weight={"schedule": "linear", "start": 1, "end": -1}), "weight.end must lie in"),
    (one(weight={"schedule": "linear", "start": 0, "end": 0}), "a constant weight must be one number above 0, got 0"),
    (one(reduction="max"), 'a reduction is {"cvar": share} or "mean"'),
    (one(reduction={"cvar": 0.001}), r"reduction.cvar must lie in \[0.01, 1\]"),
    (one(reduction={"cvar": math.nan}), "reduction.cvar must lie in"),
    (one(scale=0), "scale must"),
    (one(scale=math.inf), "scale must"),
    (one(scale=math.nan), "scale must"),
    (one(scale="1"), "scale must"),
    (one(scale=HUGE), "scale must"),
    ({"parts": [{"term": "soft_f1", "reduction": {"cvar": 0.5}}]}, "soft_f1 gives one value per batch"),
]


@pytest.mark.parametrize(("data", "message"), BAD, ids=range(len(BAD)))
def test_refuses_with_the_rule(data: object, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        read(data)


def test_an_unknown_term_gets_the_nearest_names() -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean .*focal"):
        read({"parts": [{"term": "focl"}]})


@pytest.mark.parametrize(
    "make",
    [
        lambda: Weighting(weight=-1.0),
        lambda: Weighting(weight=0.0),
        lambda: Weighting(weight=Scheduled.of("linear", start=0.0, end=0.0)),
        lambda: Weighting(weight=Scheduled.of("linear", start=1.0, end=math.nan)),
        lambda: Weighting("cosine"),
        lambda: Reduction("cvar", share=7.0),
        lambda: Reduction("max"),
        lambda: Balance("product"),
        lambda: Weighting(start=1.0),
        lambda: Part("focal", {"gamma": Scheduled.of("sine", start=1.0)}),
        lambda: Part("focal", {"gamma": Scheduled.of("linear", start=1.0, end=9.0)}),
        lambda: Part("pairwise_auc", {"surrogate": Scheduled.of("linear", start=1.0, end=0.0)}),
        lambda: Part("focal", scale=-1.0),
        lambda: Part("focal", {"gamma": 9.0}),
        lambda: LossSpec(()),
    ],
)
def test_values_made_in_python_obey_the_same_rules(make: Any) -> None:
    with pytest.raises((SpecError, UnknownNameError)):
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
