"""What a space does with the answers of a trial."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from losssearch.errors import SpecError
from losssearch.losses.domains import Choice, Float
from losssearch.losses.reduction import Reduction
from losssearch.losses.spec import LossSpec
from losssearch.space import RandomTrial, SearchSpace, load_space

FULL = """\
# Every feature?
task: binary
max_parts: 2
slots:
  late:
    terms:
      binary_cross_entropy:
      pairwise_auc: {surrogate: [logistic, squared_hinge]}
    weight: [0.1, 10]
    weighting: [constant, warm_in, fade_out, uncertainty]
    reductions: {mean: , cvar: [0.2, 0.8]}
  base:
    terms: {binary_cross_entropy: {smoothing: 0.1}, focal: , tversky: {alpha: {high: 0.5}, beta: {low: 0.2, log: true}}}
    reductions: {mean: , cvar: }
  last:
    terms: {squared_hinge: }
conditions:
  - never_together: [focal, pairwise_auc]
"""


@pytest.fixture
def space(tmp_path: Path) -> SearchSpace:
    path = tmp_path / "full.yaml"
    path.write_text(FULL)
    return load_space(path)


def parts(spec: LossSpec) -> list[str]:
    return [part.name for part in spec.parts]


ALONE = {"base.term": "binary_cross_entropy", "base.reduction": "mean", "late": "absent", "last": "absent"}


def test_base_comes_first_wherever_it_is_written(space: SearchSpace) -> None:
    assert [slot.name for slot in space.slots] == ["base", "late", "last"]


def test_ranges_are_the_terms_own_but_where_narrowed(space: SearchSpace) -> None:
    base, late, last = space.slots
    assert base.terms["tversky"] == {
        "alpha": Float(0.05, 0.5, default=0.3),
        "beta": Float(0.2, 1.0, default=0.7, log=True),
    }
    assert base.terms["binary_cross_entropy"] == {"smoothing": Float(0.1, 0.1, default=0.1)}
    assert late.terms["pairwise_auc"] == {"surrogate": Choice("logistic", "squared_hinge", default="logistic")}
    assert late.weight == Float(0.1, 10, default=0.3, log=True)
    assert (last.weightings, last.reductions) == (("constant",), {"mean": {}})


def test_fixed_hyperparameter_is_not_asked(space: SearchSpace) -> None:
    spec = space.spec(ALONE)
    assert spec == LossSpec.from_json({"parts": [{"term": "binary_cross_entropy", "smoothing": 0.1}]})
    assert space.encode(spec) == ALONE


@pytest.mark.parametrize(
    ("weighting", "expected"),
    [
        ("constant", [0.25, 0.75]),
        ("warm_in", [1.0, {"schedule": "linear", "start": 0.0, "end": 3.0}]),
        ("fade_out", [1.0, {"schedule": "linear", "start": 3.0, "end": 0.0}]),
        ("uncertainty", [{"learned": "uncertainty"}, {"learned": "uncertainty"}]),
    ],
)
def test_weightings(space: SearchSpace, weighting: str, expected: list[object]) -> None:
    late = {"late": "present", "late.term": "pairwise_auc", "late.pairwise_auc.surrogate": "logistic"}
    params = {**ALONE, **late, "late.weighting": weighting, "late.weight": 3.0}
    spec = space.spec(params)
    assert [part.weighting.to_json() for part in spec.parts] == expected
    encoded = space.encode(spec)
    assert encoded is not None
    assert encoded.get("late.weight") == (None if weighting == "uncertainty" else 3.0)
    assert space.spec(encoded) == spec


def test_cvar_only_for_terms_with_a_value_a_sample(space: SearchSpace) -> None:
    spec = space.spec({**ALONE, "base.reduction": "cvar", "base.share": 0.3})
    assert spec.parts[0].reduction == Reduction("cvar", share=0.3)
    whole = {"base.term": "tversky", "base.tversky.alpha": 0.5, "base.tversky.beta": 0.5}
    assert space.spec({**ALONE, **whole, "base.reduction": "cvar"}).parts[0].reduction == Reduction()


def test_slot_that_breaks_a_condition_stays_empty(space: SearchSpace) -> None:
    focal = {**ALONE, "base.term": "focal", "base.focal.gamma": 1.0}
    spec = space.spec({**focal, "late": "present", "late.term": "pairwise_auc"})
    assert parts(spec) == ["focal"]
    assert space.encode(spec) == focal


def test_slot_that_repeats_a_term_stays_empty(space: SearchSpace) -> None:
    assert parts(space.spec({**ALONE, "late": "present", "late.term": "binary_cross_entropy"})) == [
        "binary_cross_entropy"
    ]


def test_slots_beyond_the_most_parts_are_not_asked(space: SearchSpace) -> None:
    late = {"late": "present", "late.term": "pairwise_auc", "late.pairwise_auc.surrogate": "logistic"}
    params = {**ALONE, **late, "late.weighting": "constant", "late.weight": 1.0}
    del params["last"]
    assert parts(space.spec(params)) == ["binary_cross_entropy", "pairwise_auc"]
    assert len(space.spec({**ALONE, "last": "present", "last.weight": 1.0}).parts) == 2
    focal = {"base.term": "focal", "base.focal.gamma": 1, "base.reduction": "mean"}
    assert parts(replace(space, max_parts=1).spec(focal)) == ["focal"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base.term": "focal"}, "the parameters are incomplete: 'base.focal.gamma' is missing"),
        ({"base.term": "hinge"}, "base.term must be one of"),
        ({"base.term": "focal", "base.focal.gamma": 9}, "base.focal.gamma must lie in"),
        ({"base.term": "focal", "base.focal.gamma": "x"}, "base.focal.gamma must be a number"),
    ],
)
def test_unfit_parameters_are_refused(space: SearchSpace, change: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        space.spec({**ALONE, **change})


@pytest.mark.parametrize(
    "data",
    [
        {"parts": [{"term": "hinge"}]},
        {"parts": [{"term": "focal"}], "decision": "fixed"},
        {"parts": [{"term": "binary_cross_entropy", "smoothing": 0.2}]},
        {"parts": [{"term": "squared_hinge"}]},
        {"parts": [{"term": "focal"}, {"term": "pairwise_auc"}]},
        {"parts": [{"term": "focal"}, {"term": "binary_cross_entropy", "weight": 11}]},
        {"parts": [{"term": "focal"}, {"term": "binary_cross_entropy"}, {"term": "squared_hinge"}]},
        {"parts": [{"term": "focal", "weight": {"learned": "uncertainty"}}]},
        {"parts": [{"term": "focal", "weight": {"schedule": "linear", "start": 1, "end": 0.5}}]},
    ],
)
def test_encode_gives_none_for_what_the_space_cannot_express(space: SearchSpace, data: dict[str, object]) -> None:
    assert space.encode(LossSpec.from_json(data)) is None


def test_encode_inverts_sampling_with_every_feature(space: SearchSpace) -> None:
    random = np.random.default_rng(0)
    specs = [space.sample(RandomTrial(random)) for _ in range(300)]
    assert {part.weighting.kind for spec in specs for part in spec.parts} == {"constant", "uncertainty"}
    assert any("progress" in spec.reads for spec in specs)
    for spec in specs:
        encoded = space.encode(spec)
        assert encoded is not None
        assert space.spec(encoded) == spec


def test_weight_at_the_end_of_its_range_encodes(tmp_path: Path) -> None:
    path = tmp_path / "ends.yaml"
    ends = (1 / 3, 2 / 3)
    slots = {"base": {"terms": {"squared": None}}, "b": {"terms": {"absolute": None}, "weight": ends}}
    path.write_text(json.dumps({"task": "regression", "slots": slots}))
    narrow = load_space(path)
    for end in ends:
        params = {"b": "present", "b.weight": end}
        assert narrow.encode(narrow.spec(params)) == params


def test_an_optuna_trial_fits(space: SearchSpace) -> None:
    params = {**ALONE, "base.term": "focal", "base.focal.gamma": 1.5}
    trial = optuna.trial.FixedTrial(params)
    spec = space.sample(trial)
    assert spec == space.spec(params)
    assert trial.params == params


def test_hash_is_of_the_meaning(tmp_path: Path, space: SearchSpace) -> None:
    def hash_of(text: str) -> str:
        path = tmp_path / "other.yaml"
        path.write_text(text)
        return load_space(path).hash

    assert len(space.hash) == 16
    same = FULL.replace("# Every feature?", "# Another question?").replace("smoothing: 0.1", "smoothing: [0.1, 0.10]")
    same = (
        same.replace("[focal, pairwise_auc]", "[pairwise_auc, focal]")
        .replace("focal: , ", "")
        .replace("beta: {low: 0.2, log: true}}}", "beta: {low: 0.2, log: true}}, focal: }")
    )
    assert hash_of(same) == space.hash
    last = "  last:\n    terms: {squared_hinge: }\n"
    swapped = FULL.replace(last, "").replace("  late:\n", last + "  late:\n")
    changes = [
        swapped,
        FULL.replace("max_parts: 2", "max_parts: 3"),
        FULL.replace("smoothing: 0.1", "smoothing: 0.2"),
        FULL.replace("warm_in, ", ""),
        FULL.replace("[0.2, 0.8]", "[0.2, 0.9]"),
        FULL.replace("weight: [0.1, 10]", "weight: {low: 0.1, high: 10, log: false}"),
        FULL + "  - never_together: [focal, squared_hinge]\n",
        FULL + "portfolio:\n  - parts: [{term: focal}]\n",
    ]
    assert len({space.hash, *map(hash_of, changes)}) == len(changes) + 1


def test_question_and_terms(space: SearchSpace) -> None:
    assert space.question == "Every feature?"
    assert space.terms == {"binary_cross_entropy", "focal", "tversky", "pairwise_auc", "squared_hinge"}
