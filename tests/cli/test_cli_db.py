"""``losssearch db``: a store of an older version is upgraded and brought back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from losssearch.storage.sql import SqlStore
from tests.storage.old_stores import make_version_1

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_version_1(f"sqlite:///{tmp_path}/study.db")
    return tmp_path


def trials(folder: Path) -> object:
    with closing(SqlStore(f"sqlite:///{folder}/study.db", create=False)) as store:
        return store.trials("wine")


def test_a_store_is_upgraded_and_brought_back(run: Call, folder: Path) -> None:
    expected = trials(folder)
    url = f"sqlite:///{folder}/study.db"
    place = f"Store    {folder}/study.db "
    assert run("db", "upgrade", str(folder)) == (0, f"{place}was version 1, is version 2\n", "")
    assert run("db", "upgrade", "--storage", url) == (0, f"{place}is version 2\n", "")
    assert trials(folder) == expected
    assert run("db", "downgrade", str(folder)) == (0, f"{place}was version 2, is version 1\n", "")
    assert run("db", "downgrade", "--storage", url, "--to", "1") == (0, f"{place}is version 1\n", "")
    assert trials(folder) == expected


def test_a_store_that_is_driven_is_left_alone(run: Call, folder: Path) -> None:
    with closing(SqlStore(f"sqlite:///{folder}/study.db")) as store:
        store.acquire("wine")
        code, out, error = run("db", "downgrade", str(folder))
    assert (code, out) == (5, "")
    assert error.startswith("losssearch: a study has one driver at a time, 'wine' is driven by process")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["upgrade"], "a store must be named: give a study's folder, or --storage"),
        (["upgrade", "nowhere"], "holds no study.db"),
        (["upgrade", "--storage", "sqlite:///nowhere.db"], "there is no nowhere.db"),
        (["upgrade", "--storage", "mysql://h/d"], "--storage must be"),
        (["downgrade", "{folder}", "--to", "3"], "must lie in [1, 2], got 3"),
        (["downgrade", "{folder}", "--to", "0"], "must lie in [1, 2], got 0"),
    ],
)
def test_what_is_no_store_or_version_is_refused(run: Call, folder: Path, arguments: list[str], said: str) -> None:
    code, out, error = run("db", *[one.replace("{folder}", str(folder)) for one in arguments])
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert said in error
