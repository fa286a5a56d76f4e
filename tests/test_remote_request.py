"""What a service takes from a client: every option decides, and nothing is imported or opened by name."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from losssearch.cli.app import main
from losssearch.errors import InputError, OptionError, SpaceError, UnknownNameError
from losssearch.models import BOOSTED, MODELS
from losssearch.request import OPTIONS, Option, kinds
from losssearch.request.bundled import MODEL_NAMES, TASK_NAMES
from losssearch.request.option import asked
from losssearch.request.remote import DEFAULT_TRIALS, Limits, remote_names, remote_request, remote_schema
from losssearch.space import check_space_text, load_space, load_space_text
from losssearch.study.budget import TRIALS
from losssearch.tasks.kind import KINDS

REMOTE = {
    "target", "metric", "task", "drop", "positive", "drop_missing_target", "max_rows", "weight", "space", "space_text",
    "model", "seed", "group", "time", "time_as_feature", "split", "trials", "time_budget", "epochs", "rates", "draws",
    "average", "confirm_seeds", "prefer_known", "sensitive", "sensitive_as_feature", "constraints", "objectives",
    "confidence", "group_thresholds", "references", "private_epsilon", "private_delta", "exposure", "query",
}  # fmt: skip
LOCAL = {
    "data", "test", "train", "direction", "classes", "class_prior", "sample_weight", "data_memory", "imports",
    "warm_start", "workers", "ray_address", "cpus_per_worker", "gpus_per_worker", "memory_per_worker", "resources",
    "device", "study", "resume",
    "storage", "tracking_uri", "experiment", "mlflow", "out",
}  # fmt: skip

SPACE = (
    "# A small space\ntask: binary\nslots:\n  base:\n    terms:\n      focal: {gamma: [1, 2]}\n      cross_entropy:\n"
)


@pytest.mark.parametrize("name", list(OPTIONS))
def test_every_option_is_either_for_a_client_or_for_who_runs_the_study(name: str) -> None:
    assert (name in REMOTE) != (name in LOCAL)
    assert OPTIONS[name].local_only is (name in LOCAL)
    if name in REMOTE:
        assert name in remote_schema()["properties"]
        return
    assert name not in remote_schema()["properties"]
    with pytest.raises(OptionError, match=f"^{name} is for whoever runs the study to say: leave it out$") as refused:
        remote_request({name: 1})
    assert refused.value.options == (name,)


def test_a_new_option_must_decide() -> None:
    with pytest.raises(TypeError, match="local_only"):
        asked(None, "Something new.", kinds.TEXT)  # type: ignore[call-arg]
    assert dataclasses.fields(Option)[2].default is dataclasses.MISSING


def test_no_option_for_a_client_names_a_file_but_for_spaces_which_are_an_enumeration() -> None:
    assert {name for name in remote_names() if OPTIONS[name].names_file} == {"space"}
    properties = remote_schema()["properties"]
    assert properties["space"]["anyOf"][0]["enum"][:2] == ["binary", "binary_attribute"]
    assert properties["model"]["enum"] == ["linear", "mlp", "residual_mlp", "lightgbm", "xgboost"]
    assert not any("x-names-file" in one or "x-local-only" in one for one in properties.values())


def test_names_told_without_imports_are_those_that_there_are() -> None:
    assert set(MODEL_NAMES) == {*MODELS, *BOOSTED}
    assert set(TASK_NAMES) == set(KINDS)
    assert DEFAULT_TRIALS == TRIALS


def test_the_schema_is_one_and_takes_its_own_defaults() -> None:
    schema = remote_schema(Limits(trials=64))
    jsonschema.Draft202012Validator.check_schema(schema)
    json.dumps(schema, allow_nan=False)
    jsonschema.validate({name: one["default"] for name, one in schema["properties"].items()}, schema)
    assert schema["properties"]["trials"]["anyOf"][0] == {"type": "integer", "minimum": 2, "maximum": 64}
    assert all(one["description"] and one["x-panel"] for one in schema["properties"].values())
    for body in ({"trials": 65}, {"model": "os:system"}, {"space": "/etc/passwd"}, {"out": "x"}, {"rates": [0.0]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(body, schema)


WHOLE: dict[str, Any] = {
    "target": "income", "metric": "cost(fp=1,fn=5)", "task": "binary", "drop": ["a"], "positive": ">50K",
    "drop_missing_target": True, "max_rows": 1000, "weight": "w", "space": "binary_fair", "model": "linear", "seed": 3,
    "group": "patient", "time": "day", "time_as_feature": True, "split": "part", "trials": 8, "time_budget": "10m",
    "epochs": 5, "rates": [0.01, 0.1], "draws": 2, "confirm_seeds": 2, "prefer_known": True,
    "average": True, "sensitive": ["sex", "age>=25"],
    "sensitive_as_feature": True, "constraints": "demographic_parity_difference <= 0.05",
    "objectives": ["f1", "demographic_parity_difference"], "confidence": 0.9, "group_thresholds": True,
    "references": False, "private_epsilon": 2, "private_delta": 1e-6, "exposure": "years", "query": "session",
}  # fmt: skip


def test_a_whole_body_becomes_a_request() -> None:
    assert set(WHOLE) == REMOTE - {"space_text"}
    jsonschema.validate(WHOLE, remote_schema())
    request = remote_request(WHOLE)
    assert request.to_json() == WHOLE | {
        "constraints": ["demographic_parity_difference <= 0.05"], "time_budget": 600.0,
    }  # fmt: skip
    assert remote_request({}).to_json() == {}
    assert remote_request({"space_text": SPACE, "trials": None}).space_text == SPACE


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        ({"trails": 4}, UnknownNameError, "unknown option 'trails'; did you mean trials"),
        ({"model": "os:system"}, OptionError, "^model must be one of linear, mlp, .*, got 'os:system'$"),
        ({"model": "../m.py"}, OptionError, "^model must be one of"),
        ({"space": "/etc/passwd"}, OptionError, "^space must be one of binary, .*, got '/etc/passwd'$"),
        ({"space": "mine.yaml"}, OptionError, "^space must be one of"),
        ({"space": "binary", "space_text": SPACE}, OptionError, "^give space or space_text, not both$"),
        ({"space_text": "#" * 65_537}, OptionError, "^space_text must have 1 to 65536 bytes, got 65537$"),
        ({"space_text": ""}, OptionError, "^space_text must have 1 to 65536 bytes, got 0$"),
        ({"trials": 5001}, OptionError, "^trials must be at most 5000 here, got 5001$"),
        ({"trials": 1}, OptionError, "^trials must be at least 2"),
        ({"trials": True}, OptionError, "^trials must be a whole number, got True"),
        ({"trials": "8"}, OptionError, "^trials must be a whole number, got '8'"),
        ({"trials": [8]}, OptionError, "^trials must be a whole number, got .8., which is a list$"),
        ({"trials": 10**400}, OptionError, "^trials must be a number within 64 bits"),
        ({"epochs": 10**6}, OptionError, "^epochs must be at most 1000 here"),
        ({"confidence": math.nan}, OptionError, "^confidence must be a number within 64 bits, got nan$"),
        ({"seed": None}, OptionError, "^seed must be a whole number, got None$"),
        ({"time_budget": "3d"}, OptionError, "^time_budget must be above 0 and at most 86400 s here, got '3d'$"),
        ({"time_budget": -1}, OptionError, "^time_budget must be above 0"),
        ({"time_budget": "soon"}, OptionError, "^time_budget: a duration is a number"),
        ({"rates": [0.1, 0]}, OptionError, "^rates must be above 0"),
        ({"rates": [0.1] * 9}, OptionError, "^rates must have at most 8 entries, got 9$"),
        ({"drop": ["a"] * 201}, OptionError, "^drop must have at most 200 entries, got 201$"),
        ({"drop": [["a"]]}, OptionError, "^drop must be the name of a column, or a list of them, got"),
        ({"sensitive": {"a": 1}}, OptionError, "^sensitive must be a column, a list of columns"),
        ({"target": "x" * 301}, OptionError, "^target must have 1 to 300 characters, got 301$"),
        ({"target": "a\x00b"}, OptionError, "^target must have no control characters, got '.x00'$"),
        ({"target": "\ue000trials=x\ue001"}, OptionError, "^target must have no control characters, got '.ue000'$"),
        ({"target": "\ud800"}, OptionError, "^target must have no control characters, got '.ud800'$"),
        ({"positive": {}}, OptionError, "^positive must be a text, a number or a truth value, got"),
        ([], OptionError, "^a request must be an object of options by name, got a list$"),
    ],
)  # fmt: skip
def test_what_a_client_may_not_ask_is_one_line_that_names_the_option(
    content: Any, error: type[InputError], said: str
) -> None:
    with pytest.raises(error, match=said) as refused:
        remote_request(content)
    assert "\n" not in str(refused.value)


def test_limits_are_those_of_the_service() -> None:
    few = Limits(trials=64)
    assert remote_request({"trials": 64}, few).trials == 64
    with pytest.raises(OptionError, match=r"^trials must be at most 64 here, got 65$"):
        remote_request({"trials": 65}, few)
    with pytest.raises(OptionError, match=r"^trials must be given, at most 64 here$"):
        remote_request({"target": "y"}, few)
    assert remote_request({"time_budget": 60}, few).time_budget == 60


def test_a_server_checks_a_body_without_torch_or_pandas() -> None:
    script = f"""
import sys
from losssearch.errors import InputError
from losssearch.request.remote import remote_request, remote_schema
remote_schema(); remote_request({WHOLE!r})
try: remote_request({{"sensitive": {{"a": 1}}}})
except InputError: pass
print(*{{"torch", "pandas", "sqlalchemy", "mlflow"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_space_may_be_text() -> None:
    space = load_space_text(SPACE, "binary")
    assert (space.task, set(space.terms), space.question) == ("binary", {"focal", "cross_entropy"}, "A small space")
    bundled = Path(__file__).parents[1] / "search_spaces" / "binary.yaml"
    assert load_space_text(bundled.read_text()).to_json() == load_space("binary").to_json()
    assert check_space_text(SPACE) == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("task: binary\nslots:\n  base:\n    terms:\n      fokal:\n      focal: {gama: 1}\n",
         ["<space>:5: unknown term 'fokal'", "<space>:6: unknown hyperparameter of focal 'gama'"]),
        ("task: &a binary\nslots: *a\n", ["<space>:1: a space file has no anchors"]),
        ("task: !!python/object/apply:os.system [id]\n", ["<space>:1: a space file has no tags"]),
        ("a: " + "[" * 40 + "]" * 40, ["<space>:1: a space file has at most 12 levels"]),
        ("#" * 65_537, ["<space>: the text of a space has at most 65536 bytes, got 65537"]),
        ("/etc/passwd", ["<space>:1: a space file is a map, got '/etc/passwd'"]),
        ("task: binary\n\tslots: 1", ["<space>:2: a space file is YAML"]),
        ("\x00", ["<space>"]),
        ("", ["<space>: a space file has the keys task and slots, got an empty file"]),
    ],
)  # fmt: skip
def test_each_fault_of_a_text_is_a_line_with_its_number(text: str, lines: list[str]) -> None:
    found = check_space_text(text, "binary")
    for line, expected in zip(found, lines, strict=False):
        assert line.startswith(expected)
    assert len(found) >= len(lines)
    assert all("\n" not in line for line in found)
    with pytest.raises(SpaceError, match=r"^<space>"):
        load_space_text(text)


def test_a_study_searches_the_text_and_keeps_it_for_a_resume(tmp_path: Path) -> None:
    import losssearch as ls

    small = {"task": "multiclass", "trials": 4, "epochs": 1, "confirm_seeds": 2, "rates": [0.01], "draws": 1}
    text = SPACE.replace("binary", "multiclass")
    content = remote_request({"target": "target", "space_text": text, **small}).to_json()
    result = ls.search("builtin:wine", out=tmp_path / "s", workers=0, mlflow=False, verbose=0, **content)
    assert {part["term"] for part in result.to_json()["best"]["spec"]["parts"]} <= {"focal", "cross_entropy"}
    kept = json.loads((tmp_path / "s" / "study.json").read_text())["command"]["options"]
    assert kept["space_text"] == content["space_text"]
    assert main(["search", "--resume", "--out", str(tmp_path / "s"), "--trials", "5", "--silent"]) == 0
    with pytest.raises(OptionError, match="one search space: give space or space_text, not both"):
        ls.search("builtin:wine", out=tmp_path / "t", space="multiclass", verbose=0, **content)
