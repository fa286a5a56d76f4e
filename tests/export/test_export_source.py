"""The exported file as text: torch alone, tidy, deterministic, and no way in for names that users chose."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from losssearch.errors import SpecError
from losssearch.export.definitions import collect
from losssearch.export.facts import LossFacts
from losssearch.export.source import loss_source
from losssearch.losses.spec import LossSpec
from tests.torch_alone import make_torch_alone


def test_imports_torch_and_the_standard_library_alone(any_facts: LossFacts) -> None:
    source = loss_source(any_facts)
    tops = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            tops |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            tops.add((node.module or "").partition(".")[0])
    assert tops - set(sys.stdlib_module_names) == {"torch"}
    assert "loss_term" not in source
    assert source == loss_source(any_facts)


def test_is_as_tidy_as_the_repository(all_facts: dict[str, LossFacts], tmp_path: Path) -> None:
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent)) or shutil.which("ruff")
    if ruff is None:
        pytest.skip("ruff is not installed: it comes with the dev extra")
    long_story = 'the difference is +0.01, "quoted" \\ and 95 % sure; ' * 12
    for place, (_, facts) in enumerate(all_facts.items()):
        told = LossFacts(
            **{**vars(facts), "verdict_text": long_story, "metric": {"name": "f1", "direction": "maximize"}}
        )
        (tmp_path / f"loss_{place}.py").write_text(loss_source(told), encoding="utf-8")
    options = ["--isolated", "--no-cache", "--line-length", "120"]
    for command in (["check", "--select", "E,F,W,I,B,UP,SIM,C4"], ["format", "--check"]):
        run = subprocess.run([ruff, *command, *options, tmp_path], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture(scope="session")
def torch_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a virtual environment that holds torch and what torch requires, by links."""
    return make_torch_alone(tmp_path_factory.mktemp("torch-alone"))


@pytest.mark.parametrize("name", ["two parts", "linear schedule", "the same term twice"])
def test_runs_where_there_is_torch_alone(
    all_facts: dict[str, LossFacts], torch_alone: Path, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "loss.py"
    file.write_text(loss_source(all_facts[name]), encoding="utf-8")
    absent = "import importlib.util as u, sys; sys.exit(bool(u.find_spec('losssearch') or u.find_spec('safetensors')))"
    assert subprocess.run([torch_alone, "-I", "-c", absent], check=False).returncode == 0
    run = subprocess.run([torch_alone, "-I", file], capture_output=True, text=True, check=False, cwd="/")
    assert run.returncode == 0, run.stderr
    assert "the check passed" in run.stdout
    assert run.stdout.isascii()


def test_exit_code_one_where_the_numbers_differ(
    torch_alone: Path, all_facts: dict[str, LossFacts], tmp_path: Path
) -> None:
    file = tmp_path / "loss.py"
    source = loss_source(all_facts["two parts"])
    file.write_text(re.sub(r"EXPECTED_VALUE = \S+", "EXPECTED_VALUE = 1.0", source), encoding="utf-8")
    run = subprocess.run([torch_alone, "-I", file], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "FAILED" in run.stdout


HOSTILE = [
    '"""\nimport os\nos.abort()\n"""',
    "\\",
    'ends with a quote"',
    "right-to-left \u202e override",
    "lone surrogate \ud800",
    "line\u2028separator\x00nul",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_cannot_leave_the_docstring(text: str) -> None:
    spec = LossSpec.from_json({"parts": [{"term": "squared"}]})
    metric = {"name": text, "direction": text, "unit": text}
    plain_form = ast.dump(_without_docstring(loss_source(LossFacts(spec, "regression"))))
    told = LossFacts(
        spec, "regression", metric=metric, study=text, data={"name": text}, verdict_text=text, version=text
    )
    source = loss_source(told)
    source.encode()
    assert ast.dump(_without_docstring(source)) == plain_form


def _without_docstring(source: str) -> ast.Module:
    tree = ast.parse(source)
    assert isinstance(tree.body[0], ast.Expr)
    del tree.body[0]
    return tree


def write_module(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(text, encoding="utf-8")


def test_definitions_of_the_same_name_both_survive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, number in (("family_one", 1), ("family_two", 2)):
        text = f"# why {number}\n_STEP = {number}\n\n\ndef _move(x):\n    return x + _STEP\n\n\n"
        write_module(tmp_path, name, f"{text}def {name}_term(x):\n    return _move(x)  # not _STEP\n")
    write_module(
        tmp_path, "family_three", (tmp_path / "family_one.py").read_text().replace("family_one", "family_three")
    )
    found = collect(
        [("family_one", "family_one_term"), ("family_two", "family_two_term"), ("family_three", "family_three_term")]
    )
    namespace: dict[str, object] = {}
    exec("\n\n".join(found.definitions), namespace)
    values = [namespace[f"family_{n}_term"](10) for n in ("one", "two", "three")]  # type: ignore[operator]
    assert values == [11, 12, 11]
    assert "# why 1" in found.definitions[0]
    assert len(found.definitions) == 7


def test_another_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    write_module(tmp_path, "family_numpy", "import numpy as np\n\n\ndef numpy_term(x):\n    return np.abs(x)\n")
    with pytest.raises(SpecError, match="torch and the standard library only, got: import numpy as np"):
        collect([("family_numpy", "numpy_term")])


def test_raw_targets_far_from_zero_keep_their_differences() -> None:
    spec = LossSpec.from_json({"parts": [{"term": "squared"}]})
    text = loss_source(LossFacts(spec, "regression", target_mean=1.7e9, target_scale=60.0))
    scope: dict[str, object] = {"__name__": "exported"}
    exec(text, scope)
    target = 1.7e9 + 60 * torch.linspace(-1, 1, 9, dtype=torch.float64)
    found = scope["Loss"](target_mean=1.7e9, target_scale=60.0)(torch.full((9,), 1.7e9), target)  # type: ignore[operator]
    torch.testing.assert_close(float(found), float(torch.linspace(-1, 1, 9).square().mean()), rtol=1e-6, atol=0)
