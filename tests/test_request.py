"""One description of a study: what the command line, Python, a study's folder and a schema make of it."""

from __future__ import annotations

import ast
import inspect
import json
import tokenize
from pathlib import Path
from typing import Any

import pytest

import losssearch as ls
from losssearch.errors import ArgumentError, InputError, LossSearchError, OptionError, UnknownNameError
from losssearch.option_names import ANY, in_python, option, options_in, spelled, spelled_by
from losssearch.request import DEFAULTS, GROUPS, OPTIONS, Request, check_argument, flag, json_schema, request_of

ROOT = Path(ls.__file__).parent


def test_every_option_is_an_argument_of_search_with_its_default_and_its_help() -> None:
    parameters = inspect.signature(ls.search).parameters
    assert list(parameters)[: len(OPTIONS)] == list(OPTIONS)
    assert {name: parameters[name].default for name in OPTIONS} == dict(DEFAULTS)
    assert parameters["data"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert {one.kind for name, one in parameters.items() if name != "data"} == {inspect.Parameter.KEYWORD_ONLY}
    documented = ls.search.__doc__ or ""
    assert [name for name in parameters if f"\n        {name}: " not in documented] == []
    assert "{arguments}" not in documented


def test_each_option_is_in_one_group_at_most() -> None:
    grouped = [name for group in GROUPS.values() for name in inspect.signature(group).parameters]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) < set(OPTIONS)
    assert set(GROUPS).isdisjoint(OPTIONS)
    for group in GROUPS.values():
        assert [
            name for name in inspect.signature(group).parameters if f"\n    {name}: " not in str(group.__doc__)
        ] == []


@pytest.mark.parametrize("name", list(OPTIONS))
def test_a_message_names_the_option_as_its_caller_knows_it(name: str) -> None:
    error = OptionError(f"{option(name)} must be otherwise")
    assert str(error) == f"{name} must be otherwise"
    assert error.options == (name,)
    with spelled_by(flag):
        written = str(error)
    assert str(error) == f"{name} must be otherwise"
    if name == "data":
        assert written == "DATA must be otherwise"
    elif OPTIONS[name].python_only and not OPTIONS[name].flag:
        assert written == f"{name} must be otherwise"
    else:
        assert written.startswith("--")
        assert "_" not in written


@pytest.mark.parametrize(
    ("mark", "python", "command_line"),
    [
        (option("workers", 0), "workers=0", "--workers 0"),
        (option("resume", True), "resume=True", "--resume"),
        (option("mlflow", False), "mlflow=False", "--no-mlflow"),
        (option("drop", "with space"), "drop='with space'", "--drop 'with space'"),
        (option("constraints"), "constraints", "--constraint"),
        (option("sensitive", "age>=40"), "sensitive='age>=40'", "--sensitive 'age>=40'"),
        (option("class_prior"), "class_prior", "class_prior"),
    ],
)
def test_a_value_is_spelled_with_its_option(mark: str, python: str, command_line: str) -> None:
    assert spelled(f"give {mark} or not") == f"give {python} or not"
    assert spelled(f"give {mark} or not", flag) == f"give {command_line} or not"


def test_spellings_may_be_nested_and_an_error_may_cross_processes() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(OptionError(f"{option('trials')} must be more")))
    with spelled_by(flag), spelled_by(in_python):
        assert str(error) == "trials must be more"
    with spelled_by(flag):
        assert str(error) == "--trials must be more"
    assert options_in("no mark") == ()
    assert in_python("trials", ANY) == "trials"


def test_outside_the_command_line_no_message_speaks_in_flags() -> None:
    """Texts that a program shows are written with `option`; those of commands of their own name their own flags."""
    own = ("cli/", "request/", "option_names.py", "tracking/ui.py", "__main__.py")
    flags = {flag(name) for name, one in OPTIONS.items() if not one.python_only} - {"DATA"}
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        place = path.relative_to(ROOT).as_posix()
        if place.startswith(own):
            continue
        with tokenize.open(path) as stream:
            tree = ast.parse(stream.read())
        documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        found += [
            f"{place}:{node.lineno}: {text}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented
            for text in flags
            if text in node.value.split() or f"{text} " in node.value
        ]
    assert found == []


@pytest.mark.parametrize("name", [name for name, one in OPTIONS.items() if one.range is not None])
def test_a_number_out_of_its_range_is_refused_by_both(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from losssearch.cli.app import main

    allowed = OPTIONS[name].range
    assert allowed is not None
    wrong: float = allowed.low - 1
    with pytest.raises(OptionError) as refused:
        ls.search("builtin:wine", target="target", out=tmp_path / "x", **{name: wrong})
    assert str(refused.value).startswith(f"{name} must {allowed}, got ")
    assert main(["search", "builtin:wine", f"{flag(name)}={wrong}", "--out", str(tmp_path / "x")]) == 2
    assert capsys.readouterr().err.startswith(f"losssearch: {flag(name)} must {allowed}, got ")
    assert not (tmp_path / "x").exists()


def test_a_group_says_the_same_as_its_options_by_name() -> None:
    grouped = request_of(
        {
            "data": "a.csv",
            "budget": ls.Budget(trials=8, time_budget="1m"),
            "fairness": ls.Fairness(sensitive="sex", constraints="demographic_parity_difference <= 0.1"),
            "compute": ls.Compute(workers=0),
            "output": ls.Output(mlflow=False),
        }
    )
    flat = {"trials": 8, "time_budget": "1m", "sensitive": "sex", "workers": 0, "mlflow": False}
    flat["constraints"] = ["demographic_parity_difference <= 0.1"]
    by_name = request_of({"data": "a.csv", **flat, "constraints": tuple(flat["constraints"])})  # type: ignore[arg-type]
    assert grouped == by_name
    assert grouped.time_budget == 60.0


def test_an_option_given_twice_is_one_clear_error() -> None:
    with pytest.raises(OptionError, match=r"^trials must be given once, got it both as trials= and in budget=$"):
        ls.search("builtin:wine", trials=8, budget=ls.Budget(trials=9))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"budget": {"trials": 4}}, r"^budget must be an ls.Budget\(…\), got {'trials': 4}, which is a dict$"),
        ({"budget": ls.Budget(trials=1)}, "^trials must be at least 2, one for the plain loss"),
        ({"fairness": ls.Fairness(confidence=0.2)}, r"^confidence must lie in \[0.5, 1\), got 0.2$"),
    ],
)
def test_a_group_is_checked_like_its_options(given: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        ls.search("builtin:wine", **given)


def test_an_argument_that_is_none_comes_with_the_nearest() -> None:
    with pytest.raises(ArgumentError, match=r"^search\(\) got an unexpected argument trails=8; did you mean trials\?$"):
        ls.search("builtin:wine", trails=8)  # type: ignore[call-arg]


def test_a_request_is_json_and_back() -> None:
    request = Request(
        data="a.csv", target="y", drop=("a", "b"), rates=(0.1, 0.2), mlflow=False, out=Path("x"), imports=("mine.py",)
    )
    content = request.to_json()
    assert content == {
        "data": "a.csv", "target": "y", "drop": ["a", "b"], "rates": [0.1, 0.2], "mlflow": False, "out": "x",
        "imports": ["mine.py"],
    }  # fmt: skip
    again = Request.from_json(json.loads(json.dumps(content)))
    assert again.to_json() == content
    assert Request().to_json() == {}
    with pytest.raises(OptionError, match="train must be text or numbers to be written as JSON, got a builtin"):
        Request(train=print).to_json()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        ({"trails": 4}, UnknownNameError, "unknown option 'trails'; did you mean trials"),
        ({"trials": "many"}, OptionError, "trials must be a whole number"),
        ({"imports": ["mine"]}, OptionError, "imports is for whoever runs the study to say"),
        ({"out": "/etc"}, OptionError, "out is for whoever runs the study to say"),
        ({"model": "os:system"}, OptionError, "model must be the name of a model that comes with losssearch"),
    ],
)
def test_what_others_ask_for_is_checked(content: dict[str, Any], error: type[InputError], said: str) -> None:
    with pytest.raises(error, match=said):
        Request.from_json(content, local=False)


def test_the_schema_describes_each_option_that_others_may_give() -> None:
    schema = json_schema()
    whole = json_schema(local=True)
    assert set(whole["properties"]) == {name for name, one in OPTIONS.items() if one.kind.schema is not None}
    local = {name for name in whole["properties"] if whole["properties"][name].get("x-local-only")}
    assert set(schema["properties"]) == set(whole["properties"]) - local
    assert {"imports", "out", "storage", "workers", "ray_address", "resume"} <= local
    assert {"trials", "metric", "constraints", "seed", "space"}.isdisjoint(local)
    assert schema["additionalProperties"] is False
    json.dumps(whole, allow_nan=False)
    trials = schema["properties"]["trials"]
    assert trials["anyOf"] == [{"type": "integer", "minimum": 2}, {"type": "null"}]
    assert schema["properties"]["confidence"]["exclusiveMaximum"] == 1
    assert all("\ue000" not in one["description"] for one in whole["properties"].values())


@pytest.mark.parametrize("name", list(OPTIONS))
def test_defaults_fit_the_schema_and_the_check(name: str) -> None:
    check_argument(name, DEFAULTS[name])
    schema = json_schema(local=True)["properties"].get(name)
    if schema is not None:
        default = DEFAULTS[name]
        assert schema["default"] == (list(default) if isinstance(default, tuple) else default)


def test_errors_are_of_one_family() -> None:
    assert issubclass(OptionError, LossSearchError)
    assert LossSearchError(f"{option('seed')} and {option('seed')}").options == ("seed",)
