"""A resume by the folder alone: what is recalled, what may change, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import losssearch
from losssearch.assembly.command import Command, command_of, recalled
from losssearch.cli.app import main
from losssearch.errors import OptionError
from losssearch.request import Request

FIRST = Request(
    data="builtin:wine", target="y", metric="accuracy", drop=("a", "b"), trials=64, seed=3, rates=[0.1], epochs=8
)


def kept(options: Request) -> Command:
    """The command as a folder has it."""
    command = command_of(options)
    content = json.loads(json.dumps({"o": command.options, "h": command.hidden, "u": command.unkept}))
    return Command(content["o"], tuple(content["h"]), tuple(content["u"]))


def resumed(first: Request, **given: Any) -> Request:
    return recalled(Request(resume=True, out="x", **given), kept(first), "wine")


def test_all_that_was_given_is_recalled() -> None:
    found = resumed(FIRST)
    for name in ("data", "target", "metric", "trials", "seed"):
        assert getattr(found, name) == getattr(FIRST, name)
    assert list(found.drop) == ["a", "b"]
    assert list(found.rates or ()) == [0.1]
    assert found.resume


@pytest.mark.parametrize("change", [{"trials": 128}, {"workers": 2}, {"time_budget": 60.0}, {"data": "moved.csv"}])
def test_what_a_resume_may_change(change: dict[str, Any]) -> None:
    (name,) = change
    assert getattr(resumed(FIRST, **change), name) == change[name]


@pytest.mark.parametrize(
    ("change", "name", "before", "now"),
    [
        ({"metric": "f1"}, "metric", "accuracy", "f1"),
        ({"seed": 7}, "seed", "3", "7"),
        ({"drop": ["a"]}, "drop", "a,b", "a"),
        ({"positive": "b"}, "positive", "left out", "b"),
        ({"epochs": 9}, "epochs", "8", "9"),
        ({"constraints": ("x <= 1",)}, "constraints", "left out", "x <= 1"),
        ({"references": False}, "references", "True", "False"),
    ],
)
def test_what_differs_is_refused_with_both_values(change: dict[str, Any], name: str, before: str, now: str) -> None:
    with pytest.raises(OptionError) as caught:
        resumed(FIRST, **change)
    message = str(caught.value)
    assert f"started with {name} {before}" in message.replace("'", "")
    assert f"got {now}" in message.replace("'", "")
    assert "\n" not in message


def test_what_the_data_decided_may_be_given_and_is_compared_by_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    few = ["--trials", "2", "--epochs", "1", "--confirm-seeds", "2", "--workers", "0", "--no-mlflow", "--silent"]
    assert main(["search", "builtin:wine", "--target", "target", *few, "--out", "x"]) == 0
    again = ["search", "--resume", "--out", "x", "--silent"]
    found = json.loads(Path("x/result.json").read_text(encoding="utf-8"))
    capsys.readouterr()
    assert main([*again, "--metric", "log_loss"]) == 2
    assert "metric (started with balanced_accuracy, got log_loss)" in capsys.readouterr().err
    assert main([*again, "--metric", found["metric"]["name"], "--task", found["task"]]) == 0


def test_a_folder_that_lost_its_record_and_was_renamed_resumes_with_the_whole_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    few = ["--trials", "2", "--epochs", "1", "--confirm-seeds", "2", "--workers", "0", "--no-mlflow", "--silent"]
    whole = ["search", "builtin:wine", "--target", "target", *few]
    assert main([*whole, "--out", "x"]) == 0
    Path("x").rename("y")
    Path("y/study.json").unlink()
    assert main(["search", "--resume", "--out", "y"]) == 2
    assert "DATA first, as y holds no study.json" in capsys.readouterr().err
    assert main([*whole, "--resume", "--out", "y"]) == 0


@pytest.mark.parametrize("name", ["storage", "tracking_uri"])
def test_an_empty_url_is_not_the_default(name: str, tmp_path: Path) -> None:
    given = {"target": "target", "out": tmp_path / "x", name: ""}
    with pytest.raises(OptionError, match=f"{name} must be a URL"):
        losssearch.search("builtin:wine", **given)
    assert not (tmp_path / "x").exists()


def test_an_option_that_is_given_as_its_default_counts_on_the_command_line() -> None:
    given = Request(resume=True, out="x", explicit=frozenset({"resume", "out", "seed"}))
    with pytest.raises(OptionError, match="seed 3, got 0"):
        recalled(given, kept(FIRST), "wine")


def test_what_cannot_be_kept_must_be_given_again() -> None:
    rows = np.zeros((4, 2))
    first = Request(data=(rows, rows[:, 0]), group=np.arange(4), sensitive=["a", "b", "a", "b"], task="binary")
    assert kept(first).options == {"task": "binary"}
    with pytest.raises(
        OptionError, match=r"needs data, group, sensitive again: .* resume=True, data=…, group=…"
    ) as said:
        resumed(first)
    assert "@ls.metric" not in str(said.value)
    again = resumed(first, data=(rows, rows[:, 0]), group=np.arange(4), sensitive=["a", "b", "a", "b"])
    assert again.task == "binary"


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("postgresql+psycopg://me:hunter22@db/x", "hunter22"),
        ("postgresql://db/x?password=hunter22", "hunter22"),
        ("https://tok3n0@host", "tok3n0"),
        ("https://host/?token=tok3n0", "tok3n0"),
    ],
)
@pytest.mark.parametrize("name", ["storage", "tracking_uri"])
def test_no_secret_is_kept_and_its_url_is_asked_for_again(name: str, url: str, secret: str) -> None:
    first = Request(data="builtin:wine", **{name: url})  # type: ignore[arg-type]
    assert secret not in json.dumps(kept(first).options)
    with pytest.raises(OptionError, match=f"needs {name} again") as caught:
        resumed(first)
    assert secret not in str(caught.value)
    assert getattr(resumed(first, **{name: url}), name) == url


@pytest.mark.parametrize("url", ["//me:hunter22@host", "me:hunter22@host:5000", "host=h password=hunter22"])
def test_a_url_without_its_scheme_is_kept_without_its_password(url: str) -> None:
    assert "hunter22" not in json.dumps(kept(Request(data="builtin:wine", tracking_uri=url)).options)


def test_paths_do_not_depend_on_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").touch()
    command = kept(Request(data="a.csv", storage="sqlite:///s.db", space="binary"))
    assert command.options == {"data": f"{tmp_path}/a.csv", "space": "binary", "storage": f"sqlite:///{tmp_path}/s.db"}


def test_a_bare_resume_needs_a_place_and_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old").mkdir()
    (tmp_path / "old/study.db").touch()
    for arguments, told in (
        ([], "--out, or its name"),
        (["--out", "none"], "none holds none"),
        (["--study", "none"], "holds none"),
        (["--out", "old"], "the whole command again"),
    ):
        assert main(["search", "--resume", *arguments]) == 2
        (line,) = capfd.readouterr().err.splitlines()
        assert told in line
    assert main(["search"]) == 2
    assert "DATA must be given" in capfd.readouterr().err
