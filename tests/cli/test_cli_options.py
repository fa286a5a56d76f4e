"""The command line asks for what `losssearch.search` asks for: the same options, defaults and refusals."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import losssearch as ls
from losssearch.assembly.settings import FRONT_RATES, replicas_for
from losssearch.cli.search_options import complete
from losssearch.errors import DataError
from losssearch.request import GROUPS, OPTIONS, Request, flag
from losssearch.training import RATES
from losssearch.training.boosting import BOOSTED_RATES

PYTHON_ONLY = {name for name, one in OPTIONS.items() if one.python_only} | {"observer", "verbose", *GROUPS}
"""A training function and what is said of it, the second name of ``weight``, mappings, groups and objects."""


@pytest.fixture
def asked(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[dict[str, Any], ...]]:
    """What the command line and Python hand on, for the same request; nothing is run."""
    found: list[Request] = []

    def stop(options: Request, observer: object) -> None:
        found.append(options)
        raise DataError("far enough")

    def both(arguments: list[str], keywords: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        found.clear()
        assert run("search", "builtin:wine", *arguments).err == "losssearch: far enough\n"
        with pytest.raises(DataError, match="far enough"):
            ls.search("builtin:wine", **keywords)
        return tuple(_plain(options) for options in found)

    monkeypatch.setattr("losssearch.api.run", stop)
    return both


def _plain(options: Request) -> dict[str, Any]:
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in asdict(options).items()}
    del values["started"], values["explicit"]  # the clock, and what stood on the command line
    assert values.pop("data_name") is None  # for a service alone
    return values


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        ([], {}),
        (["--rates", "0.001,0.01"], {"rates": [0.001, 0.01]}),
        (["--rates", "1e-3", "--rates", "0.01"], {"rates": (0.001, 0.01)}),
        (["--draws", "7"], {"draws": 7}),
        (["--epochs", "3", "--trials", "9", "--seed", "4"], {"epochs": 3, "trials": 9, "seed": 4}),
        (["--time-budget", "1h30m"], {"time_budget": "1h30m"}),
        (["--resume", "auto"], {"resume": "auto"}),
        (["--resume=auto", "--draws", "7"], {"resume": "auto", "draws": 7}),
        (["--no-mlflow", "--no-references", "--resume"], {"mlflow": False, "references": False, "resume": True}),
        (["--drop", "a,b", "--sensitive", "s"], {"drop": ["a", "b"], "sensitive": ["s"]}),
        (["--out", "there"], {"out": Path("there")}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_same_request_is_the_same_study(asked: Any, arguments: list[str], keywords: dict[str, Any]) -> None:
    on_the_command_line, in_python = asked(arguments, keywords)
    assert on_the_command_line == in_python


def test_every_argument_of_search_has_an_option(run: Callable[..., Any]) -> None:
    shown = run("search", "--help").out
    arguments = set(inspect.signature(ls.search).parameters) - PYTHON_ONLY - {"data"}
    assert len(arguments) > 40
    assert [name for name in arguments if not re.search(rf"│ {flag(name)} ", shown)] == []


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        (["--rates", "0"], {"rates": [0.0]}),
        (["--rates", "nan"], {"rates": [float("nan")]}),
        (["--rates", "0.1,0.1"], {"rates": [0.1, 0.1]}),
        (["--draws", "0"], {"draws": 0}),
        (["--draws", "1001"], {"draws": 1001}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_both_refuse_in_the_same_words_but_for_the_name(
    run: Callable[..., Any], tmp_path: Path, arguments: list[str], keywords: dict[str, Any]
) -> None:
    place = tmp_path / "study"
    done = run("search", "builtin:wine", "--target", "target", "--out", str(place), *arguments)
    with pytest.raises(ls.LossSearchError) as refused:
        ls.search("builtin:wine", target="target", out=place, **keywords)
    (name,) = keywords
    assert str(refused.value).startswith(f"{name} must ")
    assert refused.value.options == (name,)
    assert (done.code, done.out, done.err) == (2, "", f"losssearch: {arguments[0]}{str(refused.value)[len(name) :]}\n")
    assert not place.exists()


@pytest.mark.parametrize("given", ["fast", "", "0.1,", "0.1;0.2"])
def test_rates_that_are_no_numbers_are_refused(run: Callable[..., Any], given: str) -> None:
    done = run("search", "builtin:wine", "--target", "target", "--rates", given)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"losssearch: --rates must be numbers separated by commas, such as 0.001,0.01, got {given!r}\n"


def test_the_help_states_the_defaults_that_the_code_has(run: Callable[..., Any]) -> None:
    words = re.sub(r"[│\s]+", " ", run("search", "--help").out)
    rates = re.search(r"Default: ([^;]*); of trees ([^;]*); of a front (.*?)\. --draws", words)
    assert rates
    stated = [tuple(map(float, re.findall(r"[\d.]+", text))) for text in rates.groups()]
    assert stated == [RATES, BOOSTED_RATES, FRONT_RATES]
    pattern = r"1 to (\d+)\. Default: (\d) below 1,000 rows, (\d) below 20,000, (\d) below 100,000, else (\d)"
    draws = re.search(pattern, words)
    assert draws
    assert OPTIONS["draws"].range is not None
    assert int(draws[1]) == OPTIONS["draws"].range.high
    edges = [(999, 2), (1_000, 3), (19_999, 3), (20_000, 4), (99_999, 4), (100_000, 5)]
    assert [replicas_for(rows) for rows, _ in edges] == [int(draws[group]) for _, group in edges]


@pytest.mark.parametrize(
    ("arguments", "completed"),
    [
        (["--resume"], ["--resume=true"]),
        (["--resume", "--out", "auto"], ["--resume=true", "--out", "auto"]),
        (["--resume", "auto", "wine.csv"], ["--resume=auto", "wine.csv"]),
        (["--resume", "wine.csv"], ["--resume=true", "wine.csv"]),
        (["--resume=auto"], ["--resume=auto"]),
        (["--", "--resume", "auto"], ["--", "--resume", "auto"]),
    ],
)
def test_a_flag_stands_alone_or_before_a_word(arguments: list[str], completed: list[str]) -> None:
    assert complete(arguments) == completed


def test_another_word_for_a_flag_is_refused(run: Callable[..., Any]) -> None:
    done = run("search", "builtin:wine", "--resume=sometimes")
    assert (done.code, done.err) == (2, "losssearch: --resume must stand alone or before auto, got 'sometimes'\n")
