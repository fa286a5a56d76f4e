"""How the command line starts, fails and ends, whatever the command."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from losssearch import __version__, stopping
from losssearch.cli import app
from losssearch.errors import ConnectionLostError, ConstraintUnmetError, DataError, InterruptedStudyError

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (
    *("search", "leaderboard", "report", "export", "sync", "terms", "metrics", "spaces", "ui", "db", "doctor"),
    *("serve", "remote", "token"),
)


def test_help_names_every_command(run: Callable[..., Any]) -> None:
    done = run("--help")
    assert done.code == 0
    assert all(re.search(rf"│ {command} ", done.out) for command in COMMANDS)


def test_no_arguments_show_the_help(run: Callable[..., Any]) -> None:
    done = run()
    assert (done.code, done.err) == (0, "")
    assert "Usage" in done.out


def test_version(run: Callable[..., Any]) -> None:
    assert run("--version") == (0, f"losssearch {__version__}\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_loads_nothing_heavy(command: str) -> None:
    script = (
        "import sys; from losssearch.cli.app import main; code = main(sys.argv[1:]);"
        "print(code, {'torch', 'ray', 'mlflow', 'optuna', 'pandas', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script, command, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 set()"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_no_type_beside_a_flag_and_no_doubled_brackets(run: Callable[..., Any], command: str) -> None:
    shown = run(command, "--help").out
    assert "--help" in shown
    assert "bool" not in shown
    assert "[[" not in shown


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["serach"], "search"),
        (["terms", "--famly", "margin"], "--famly"),
        (["ui", "--port", "many"], "--port"),
        (["ui", "--port", "0"], "--port"),
        (["leaderboard"], "STUDY"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(run: Callable[..., Any], arguments: list[str], named: str) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert re.fullmatch(rf"losssearch: .*{named}.*\n", done.err)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("line one\n  line two"), 2),
        (ConstraintUnmetError("no candidate meets it"), 3),
        (ConnectionLostError("gone"), 4),
        (InterruptedStudyError("stopped, go on with --resume"), 130),
    ],
)
def test_an_error_is_one_line_with_its_exit_code(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    _raise(monkeypatch, error)
    assert run("terms") == (code, "", f"losssearch: {' '.join(str(error).split())}\n")


def test_ctrl_c_is_exit_130(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    _raise(monkeypatch, KeyboardInterrupt())
    assert run("terms") == (130, "", "losssearch: interrupted\n")


def test_an_unexpected_error_is_one_line_that_tells_how_to_see_more(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _raise(monkeypatch, RuntimeError("odd"))
    monkeypatch.delenv("LOSSSEARCH_DEBUG", raising=False)
    hint = "(set LOSSSEARCH_DEBUG=1 for the traceback)"
    assert run("terms") == (1, "", f"losssearch: unexpected RuntimeError: odd {hint}\n")


def test_an_error_that_a_stop_brought_about_is_an_interruption(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: object, **options: object) -> None:
        stopping.current().request()
        raise RuntimeError("cannot join thread before it is started")

    monkeypatch.setattr(app, "app", stopped)
    monkeypatch.delenv("LOSSSEARCH_DEBUG", raising=False)
    assert run("terms") == (130, "", "losssearch: interrupted\n")


def test_debug_shows_the_traceback(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    _raise(monkeypatch, RuntimeError("odd"))
    monkeypatch.setenv("LOSSSEARCH_DEBUG", "1")
    done = run("terms")
    assert done.code == 1
    assert "Traceback (most recent call last)" in done.err
    assert done.err.endswith("losssearch: unexpected RuntimeError: odd\n")


def test_the_process_ends_with_the_exit_code(tmp_path: Path) -> None:
    script = "import sys; from losssearch.cli.app import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", script, "ui"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"losssearch: no tracked study under losssearch-runs/: .*\n", done.stderr)


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", "docs/how-to-choose.md", "docs/search-spaces.md", "docs/fairness.md"]
)
def test_documented_commands_and_options_exist(run: Callable[..., Any], page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    used = re.findall(r"losssearch ([a-z]+)((?: [^`\n|]*)?)", text)
    used = [(command, rest) for command, rest in used if command in COMMANDS or "--" in rest]
    assert used
    for command, rest in used:
        shown = run(command, *_below(command, rest.split()), "--help").out
        assert not [option for option in re.findall(r"--[a-z-]+", rest) if option not in shown]


def _below(command: str, words: list[str]) -> list[str]:
    """The subcommand that the words after a command open with, if it has any."""
    group = get_command(app.app)
    assert isinstance(group, TyperGroup)
    below = getattr(group.commands[command], "commands", {})
    return [word for word in words[:1] if word in below]


def _raise(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let the command line's own program raise ``error``."""

    def broken(*arguments: object, **options: object) -> None:
        raise error

    if isinstance(error, KeyboardInterrupt):
        monkeypatch.setattr("losssearch.cli.terms._list", broken)
    else:
        monkeypatch.setattr(app, "app", broken)
