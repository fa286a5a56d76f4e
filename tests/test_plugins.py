"""Modules outside the package: by name, by path, installed, and in a process that does not have their file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import losssearch as ls
from losssearch import plugins
from losssearch.assembly.command import command_of
from losssearch.cli.app import main
from losssearch.data.target_kind import _entries
from losssearch.errors import OptionError
from losssearch.losses import term
from losssearch.plugins import Plugin, load_imports, load_installed
from losssearch.request import request_of
from losssearch.tasks.kind import _kinds

TERM = '''
from torch import Tensor
import losssearch as ls

@ls.loss_term(reference="made up for a test", stretch=ls.Float(0.5, 2.0, default=1.0))
def plugged(prediction: Tensor, target: Tensor, *, stretch: Tensor) -> Tensor:
    """Absolute error; one value per sample."""
    return stretch * (prediction - target).abs()
'''
SPACE = "task: regression\nmax_parts: 1\nslots:\n  base:\n    terms:\n      plugged:\n"


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Modules, paths and terms as they were; the test runs in an empty folder."""
    modules, paths = set(sys.modules), list(sys.path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.path[:] = paths
    for name in set(sys.modules) - modules:
        if "plug" in name and not name.startswith("losssearch"):
            del sys.modules[name]
    term._registry.pop("plugged", None)
    plugins._problem.cache_clear()


def test_a_file_by_its_path_and_a_module_of_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "plug_a.py").write_text("import plug_b\n")
    (tmp_path / "plug_b.py").write_text("")
    found = load_imports([str(tmp_path / "plug_a.py"), "plug_b"])
    assert [one.name for one in found] == ["plug_a", "plug_b"]
    assert found[0].text == "import plug_b\n"
    assert load_imports(["./plug_a.py", "plug_a"]) == (found[0], found[0])


def test_a_file_may_be_given_as_a_path_to_a_search(tmp_path: Path) -> None:
    (tmp_path / "plug_e.py").write_text(TERM)
    for given in (tmp_path / "plug_e.py", [Path("plug_e.py")]):
        request = request_of({"data": "builtin:wine", "imports": given, "resume": True})
        assert [Path(name).name for name in request.imports] == ["plug_e.py"]
        assert command_of(request).options["imports"] == [str(tmp_path / "plug_e.py")]
        with pytest.raises(OptionError, match="needs a study to resume"):
            ls.search(imports=given, resume=True, out=tmp_path / "nothing", verbose=0)
    with pytest.raises(OptionError, match=r"plug_f.py is missing"):
        ls.search("builtin:wine", imports=Path("plug_f.py"), out=tmp_path / "none", verbose=0)


READS = TERM.replace("prediction", "guess")
KIND = """
ls.task_kind("plug_kind", heads={"guess": 1}, menu=["plugged"], metric="rmse")
"""


def test_a_tensor_that_no_kind_of_task_offers_is_told_when_the_file_is_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plug_g.py").write_text(READS)
    for command in (["terms"], ["spaces"], ["search", "builtin:wine", "--target", "target", "--out", "none"]):
        assert main([*command, "--import", "plug_g.py"]) == 2
        said = capsys.readouterr().err
        assert "the term plugged reads guess, which no kind of task offers; there are: class_prior, " in said
    assert not (tmp_path / "none").exists()


def test_a_tensor_may_be_that_of_a_kind_that_the_same_file_declares(tmp_path: Path) -> None:
    (tmp_path / "plug_h.py").write_text(READS + KIND)
    try:
        assert main(["terms", "plugged", "--import", "plug_h.py"]) == 0
    finally:
        del _kinds["plug_kind"], _entries["plug_kind"]


def test_a_process_without_the_file_runs_its_text(tmp_path: Path) -> None:
    Plugin("plug_c", str(tmp_path / "gone" / "plug_c.py"), "found = __name__").load()
    assert sys.modules["plug_c"].found == "plug_c"
    with pytest.raises(OptionError, match=r"plug_d.py raised ZeroDivisionError: division by zero"):
        Plugin("plug_d", str(tmp_path / "plug_d.py"), "1 / 0").load()
    assert "plug_d" not in sys.modules


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("plug_e.py", "1 / 0", "raised ZeroDivisionError: division by zero"),
        ("plug_f.py", "import sys; sys.exit(0)", "raised SystemExit: 0"),
        ("plug_g.py", "def", "raised SyntaxError"),
        ("plug-h.py", "", "whose name is a Python name"),
        ("json.py", "", "whose module name is free, but json is"),
        ("plug_missing", None, "raised ModuleNotFoundError: No module named 'plug_missing'"),
        ("plug_missing.py", None, "plug_missing.py is missing"),
        (" ", None, "must name a module or a .py file"),
        (".", None, "must name a module or a .py file, got '.'"),
    ],
)
def test_what_cannot_be_imported_is_one_line(
    name: str, text: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
        name = str(tmp_path / name)
    assert main(["spaces", "--import", name]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("losssearch: --import must name a ")
    assert said in line


def test_another_file_is_no_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plug_space.yaml").touch()
    with pytest.raises(OptionError, match=r"must name a module or a \.py file, got 'plug_space\.yaml'"):
        load_imports(["plug_space.yaml"])


def test_spaces_and_terms_know_a_term_of_a_users_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plug_term.py").write_text(TERM)
    (tmp_path / "mine.yaml").write_text(f"# Which?\n{SPACE}")
    assert main(["spaces", "mine.yaml", "--check"]) == 2
    assert "unknown term 'plugged'" in capsys.readouterr().out
    assert main(["spaces", "mine.yaml", "--check", "--import", "plug_term"]) == 0
    capsys.readouterr()
    assert main(["terms", "plugged", "--import", "plug_term.py"]) == 0
    assert "made up for a test" in capsys.readouterr().out


def test_installed_plugins_are_loaded_and_one_that_fails_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plug_term.py").write_text(TERM)
    (tmp_path / "plug_bad.py").write_text("raise RuntimeError('no\\nluck')")
    monkeypatch.syspath_prepend(tmp_path)
    points = tuple(EntryPoint(name, name, plugins.GROUP) for name in ("plug_bad", "plug_term"))
    monkeypatch.setattr(plugins, "_installed", lambda: points)
    notes: list[str] = []
    load_installed(notes.append)
    expected = "the installed plugin must be importable, but plug_bad (plug_bad) raised RuntimeError: no luck"
    assert notes == [f"{expected}; it is left out"]
    assert "plugged" in term.registry
    assert main(["terms", "plugged"]) == 0
    assert notes[0] in capsys.readouterr().err
