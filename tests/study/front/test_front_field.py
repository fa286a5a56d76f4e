"""What a front trains again: both sides alike, and a penalty at every strength."""

from __future__ import annotations

from losssearch.losses.spec import LossSpec
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.study.context import FRONT_LIMITS
from losssearch.study.front.field import MOST, STRENGTHS, entrants, field, swept

PLAIN = {"term": "binary_cross_entropy"}


def _trial(number: int, origin: str, name: str, value: float, **penalty: object) -> TrialRecord:
    parts = [PLAIN, {"term": "group_disparity", **penalty}] if penalty else [PLAIN]
    if name == "other":
        parts = [{"term": "focal"}]
    spec = LossSpec.from_json({"parts": parts, "decision": "fixed" if name == "plain" else "tuned"})
    profile = tuple(value + 0.001 * number * (limit > 0.1) for limit in FRONT_LIMITS)
    return TrialRecord(
        number, origin, name, spec.to_json(), spec.key, state=TrialState.COMPLETED, value=value, details=(profile,)
    )


TRIALS = [
    _trial(0, "baseline", "plain", 0.7),
    _trial(1, "baseline", "other", 0.71),
    _trial(2, "baseline", "fixed_penalty", 0.75, weight=0.5),
    _trial(3, "baseline", "fixed_penalty", 0.74, weight=2.0),
    _trial(4, "searched", "searched-4", 0.76, weight=0.5, violation="gap"),
    _trial(5, "searched", "searched-5", 0.75, weight=4.0, violation="norm2"),
    _trial(6, "searched", "searched-6", 0.77, weight=1.0, violation="gap"),
]


def _strengths(trials: list[TrialRecord]) -> list[float]:
    """Weights of penalties beside their base's, which a spec keeps as shares of one."""
    pairs = [LossSpec.from_json(one.trial.spec).parts for one in swept(trials)]
    return sorted(float(f"{penalty.weighting.largest / base.weighting.largest:.3g}") for base, penalty in pairs)


def test_the_plain_loss_comes_first_and_then_what_adds_most() -> None:
    assert [one.trial.number for one in entrants(TRIALS, "plain")][:2] == [0, 6]


def test_one_form_is_swept_at_every_strength() -> None:
    assert _strengths([t for t in TRIALS if t.name == "fixed_penalty"]) == list(STRENGTHS)


def test_several_forms_share_the_strengths() -> None:
    searched = [trial for trial in TRIALS if trial.origin == "searched"]
    assert _strengths(searched) == list(STRENGTHS)
    assert {one.spec.parts[1].hyperparameters["violation"] for one in swept(searched)} == {"gap", "norm2"}


def test_both_sides_are_trained_as_often() -> None:
    sides = {side: [c for c in field(TRIALS, "plain") if c.trial.origin == side] for side in ("baseline", "searched")}
    for side in sides.values():
        assert len(STRENGTHS) <= len(side) <= len(STRENGTHS) + MOST
    assert sides["baseline"][0].trial.name == "plain"
    assert len({one.spec.key for side in sides.values() for one in side}) == sum(map(len, sides.values()))
