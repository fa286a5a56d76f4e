"""Every rule that a space file must keep, named with its file and line."""

import json
from pathlib import Path

import pytest

from losssearch.errors import SpaceError, UnknownNameError
from losssearch.space import bundled_spaces, check_space, load_space
from losssearch.space.source import MAX_BYTES

GOOD = """\
# Which one?
task: regression
max_parts: 2
slots:
  base:
    terms:
      squared:
      huber: {delta: [0.1, 3.0]}
  auxiliary:
    terms: {absolute: , quantile: {quantile: 0.5}}
    weight: [0.1, 2.0]
    weighting: [constant, warm_in]
conditions:
  - never_together: [huber, absolute]
portfolio:
  - parts: [{term: huber, delta: 0.5}]
"""


def problems_of(tmp_path: Path, text: str | bytes) -> list[str]:
    path = tmp_path / "own.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [line.removeprefix(str(path)) for line in check_space(path)]


def test_good_file(tmp_path: Path) -> None:
    assert problems_of(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("max_parts: 2", "max_part: 2", ":3: a space file: unknown key 'max_part'; did you mean max_parts?"),
        ("    weight: [", "    wieght: [", ":11: slot auxiliary: unknown key 'wieght'; did you mean weight,"),
        ("task: regression", "task: regresion", ":2: unknown task 'regresion'; did you mean regression?"),
        ("task: regression\n", "", ":2: a space file needs the key task"),
        ("      squared:", "      square:", ":7: unknown term 'square'; did you mean squared"),
        ("      squared:", "      focal:", ":7: focal reads labels, logits, which task regression does not offer"),
        ("{delta: [", "{dela: [", ":8: unknown hyperparameter of huber 'dela'; did you mean delta?"),
        ("[0.1, 3.0]", "[0.1, 300]", ":8: huber.delta must lie in [0.05, 5], got 300"),
        ("[0.1, 3.0]", "[3.0, 0.1]", ":8: huber.delta: `low <= high` must hold, got low=3, high=0.1"),
        ("[0.1, 3.0]", "[0.1]", ":8: huber.delta: a range is [low, high], got [0.1]"),
        ("[0.1, 3.0]", "[a, b]", ":8: huber.delta must be a number, got 'a'"),
        ("[0.1, 3.0]", ".inf", ":8: huber.delta must lie in [0.05, 5], got inf"),
        ("[0.1, 3.0]", "true", ":8: huber.delta must be a number, got True"),
        ("[0.1, 3.0]", "{lo: 1}", ":8: huber.delta: unknown key 'lo'; did you mean low, log?"),
        ("[0.1, 3.0]", "{log: 3}", ":8: huber.delta: log is true or false, got 3"),
        ("quantile: 0.5", "quantile: {low: 0.0, log: true}", ":10: quantile.quantile must lie in [0.01, 0.99]"),
        ("{delta: [0.1, 3.0]}", "0.3", ":8: huber is a map, got 0.3"),
        ("{absolute: , quantile: {quantile: 0.5}}", "{}", ":10: a slot has at least one term, got none in auxiliary"),
        ("  base:\n", "  first:\n", ":4: slots must have one named 'base', which every loss fills; got first"),
        ("  auxiliary:\n", "  Aux-1:\n", ":9: a slot's name is made of a-z, 0-9 and _, got 'Aux-1'"),
        ("  base:\n", "  base:\n    weight: 1.0\n", ":6: slot base: unknown key 'weight'"),
        ("weight: [0.1, 2.0]", "weight: [0.0, 2.0]", ":11: weight must lie in [0.001, 1000], got 0.0"),
        ("warm_in]", "linear]", ":12: unknown weighting 'linear'"),
        ("warm_in]", "constant]", ":12: weighting has each name once, got constant again"),
        ("[constant, warm_in]", "constant", ":12: weighting is a list, got 'constant'"),
        ("[huber, absolute]", "[huber, log_cosh]", ":14: unknown term of a condition (never_together) 'log_cosh'"),
        ("[huber, absolute]", "[huber]", ":14: never_together names two or more terms, got 1"),
        ("- never_together", "- never_togehter", ":14: a condition: unknown key 'never_togehter'"),
        ("max_parts: 2", "max_parts: 0", ":3: max_parts must be a whole number in [1, 8], got 0"),
        ("max_parts: 2", "max_parts: 9", ":3: max_parts must be a whole number in [1, 8], got 9"),
        ("max_parts: 2", "max_parts: two", ":3: max_parts must be a whole number in [1, 8], got 'two'"),
        ("delta: 0.5}", "delta: 4.5}", ":16: portfolio: slots, ranges and conditions must allow each loss, got huber"),
        ("delta: 0.5}", "delta: 50}", ":16: portfolio: huber.delta must lie in [0.05, 5], got 50"),
        ("delta: 0.5}", "delta: $metric.p}", ":16: portfolio: unknown number of a metric 'p'; known: q"),
        ("[0.1, 3.0]", "$metric.q", ":8: huber.delta must be a number, got '$metric.q'"),
        ("{term: huber, delta: 0.5}", "squared", ':16: portfolio: a part is an object with a "term"'),
        ("  - parts: [{term: h", "  - parts: [{term: squared}]\n  - parts: [{term: squared}]\n  - parts: [{term: h",
         ":17: portfolio has each loss once, got squared again"),
        ("      squared:\n", "      squared:\n      squared:\n", ":8: a key may be given once, got 'squared' again"),
        ("task: regression", "task: !!python/name:os.system regression", ":2: a space file has no tags"),
        ("task: regression", "task: &anchor regression", ":2: a space file has no anchors"),
        ("squared:\n", "squared: *anchor\n", ":7: a space file has no anchors"),
        ("task: regression", "task: [regression", ":3: a space file is YAML: "),
        ("task: regression", "[a]: regression", ":2: a key is a name, got a list or map"),
        ("task: regression", "task: " + "[" * 40, ":2: a space file has at most 12 levels"),
        ("  auxiliary:\n", "  auxiliary:\n    reductions: {median: }\n", ":10: reductions: unknown key 'median'"),
        ("  auxiliary:\n", "  auxiliary:\n    reductions: {mean: 3}\n", ":10: mean takes no range, got 3"),
        ("  auxiliary:\n", "  auxiliary:\n    reductions: {cvar: [0, 1]}\n", ":10: cvar must lie in [0.01, 1]"),
        ("  auxiliary:\n", "  auxiliary:\n    reductions: {}\n", ":10: reductions has at least one of mean, cvar"),
    ],
)  # fmt: skip
def test_problem_has_its_line(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert GOOD.count(old) >= 1
    found = problems_of(tmp_path, GOOD.replace(old, new, 1))
    assert any(line.startswith(expected) for line in found), found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ": a space file has the keys task and slots, got an empty file"),
        ("# only a comment\n", ": a space file has the keys task and slots, got an empty file"),
        ("- a\n", ":1: a space file is a map, got a list"),
        ("a: 1\n---\nb: 2\n", ":2: a space file is YAML: "),
        ("a: \x00\n", ": a space file is YAML: "),
        (b"a: 1\nb: \xff\n", ":2: a space file is UTF-8 text"),
        ("a: " + "x" * MAX_BYTES, f": a space file has at most {MAX_BYTES} bytes, got more"),
        ("a: [" + "1, " * 20_000 + "]", ":1: a space file has at most 12 levels and 20000 values, got more"),
    ],
)
def test_unreadable_file(tmp_path: Path, text: str | bytes, expected: str) -> None:
    found = problems_of(tmp_path, text)
    assert found[0].startswith(expected), found


def test_an_alias_is_no_name_of_a_term_in_a_space(tmp_path: Path) -> None:
    text = GOOD.replace("      squared:\n", "      expectile:\n")
    line = ":7: expectile is another name of asymmetric_squared: a space names terms by their own"
    assert problems_of(tmp_path, text) == [line]


def test_terms_with_one_value_a_batch_need_the_mean(tmp_path: Path) -> None:
    text = "task: binary\nslots:\n  base:\n    reductions: {cvar: }\n    terms: {soft_f1: }\n"
    expected = ":4: soft_f1 gives one value per batch, so its reductions must be mean"
    assert problems_of(tmp_path, text) == [expected]


def test_learned_weights_need_terms_that_are_never_negative(tmp_path: Path) -> None:
    more = "  more: {terms: {squared: }, weighting: [uncertainty]}\n"
    text = "task: regression\nslots:\n  base: {terms: {general_robust: }}\n" + more
    expected = ":2: uncertainty weighting needs terms that are never below zero, got general_robust"
    assert problems_of(tmp_path, text) == [expected]


def test_all_problems_are_found_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    text = GOOD.replace("max_parts: 2", "max_parts: 0").replace("squared:", "square:").replace("warm_in", "warmin")
    found = problems_of(tmp_path, text)
    assert [line.split(":")[1] for line in found] == ["3", "7", "12"]
    with pytest.raises(SpaceError, match=r"own.yaml:3: max_parts .* \(and 2 more\)$"):
        load_space(tmp_path / "own.yaml")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"none.yaml: a space is a file that can be read, got: No such file"):
        load_space(tmp_path / "none.yaml")
    with pytest.raises(SpaceError, match="a space is a file that can be read"):
        load_space(tmp_path)


def test_unknown_name_gives_the_nearest() -> None:
    nearest = r"unknown search space 'binry'; did you mean binary, binary_fair, binary_noisy\?"
    with pytest.raises(UnknownNameError, match=nearest):
        load_space("binry")


def test_space_for_another_task(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(GOOD)
    assert load_space(str(path), "regression").task == "regression"
    with pytest.raises(SpaceError, match=r"own.yaml:2: the space must be for the study's task 'binary'"):
        load_space(str(path), "binary")


@pytest.mark.parametrize("name", bundled_spaces())
def test_json_form_is_a_space_file(tmp_path: Path, name: str) -> None:
    space = load_space(name)
    path = tmp_path / f"{name}.yaml"
    path.write_text(json.dumps(space.to_json()))
    again = load_space(path)
    assert again == space
    assert again.hash == space.hash
    assert again.question == ""


def test_numbers_in_every_form(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(GOOD.replace("[0.1, 3.0]", "[1e-1, 3]"))
    domain = load_space(path).slots[0].terms["huber"]["delta"]
    assert (domain.low, domain.high, domain.log, domain.default) == (0.1, 3.0, True, 1.0)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_space_may_be_named_without_its_task(task: str) -> None:
    assert load_space("noisy", task).to_json() == load_space(f"{task}_noisy").to_json()
    for name, kind in (("noisy", None), ("noisy", "regression"), ("noise", task)):
        with pytest.raises(UnknownNameError, match="noisy"):
            load_space(name, kind)
