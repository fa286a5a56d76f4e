"""Models by name and by a user's factory: what is refused, and how a factory is found."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from losssearch.errors import OptionError, UnknownNameError
from losssearch.models import build_model, resolve_model

FEATURES = 6


def fails(message: str) -> Callable[[int, int], nn.Module]:
    def factory(features: int, outputs: int) -> nn.Module:
        raise RuntimeError(message)

    return factory


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda: nn.Linear(FEATURES, 1), "must accept \\(features, outputs\\)"),
        (fails("no weights"), "no weights"),
        (lambda features, outputs: "a model", "must give a torch.nn.Module, got str"),
        (lambda features, outputs: nn.Linear(features + 1, outputs), f"must accept a tensor \\[batch, {FEATURES}\\]"),
        (lambda features, outputs: nn.Linear(features, outputs + 1), r"must put out \['batch=4', 3\].*got \[4, 4\]"),
        (lambda features, outputs: nn.Identity(), "parameter"),
        (lambda features, outputs: nn.GRU(features, outputs, batch_first=True), "tuple"),
    ],
)
def test_a_factory_that_does_not_fit_is_refused(factory: Callable[..., nn.Module], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build_model(factory, FEATURES, 3)


def test_an_unknown_name_gets_the_nearest_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean .*mlp"):
        build_model("mpl", FEATURES, 1)


SOURCE = """
import torch
def factory(features, outputs):
    return torch.nn.Linear(features, outputs)
number = 3
"""


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the working directory, which is not on the import path."""
    (tmp_path / "users_own_model.py").write_text(SOURCE)
    (tmp_path / "users_broken_model.py").write_text("def factory(:")
    (tmp_path / "users_failing_model.py").write_text("1 / 0")
    (tmp_path / "users_leaving_model.py").write_text("raise SystemExit(0)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return "users_own_model"


def test_a_factory_is_imported_from_the_working_directory(user_module: str) -> None:
    path = list(sys.path)
    built = build_model(f"{user_module}:factory", FEATURES, 2)
    assert built.shapes == {"weight": (2, FEATURES), "bias": (2,)}
    assert sys.path == path


@pytest.mark.parametrize(
    "name",
    [
        "users_own_model:nothing",
        "users_own_model:number",
        "users_own_model:",
        "users_absent_model:factory",
        "users_broken_model:factory",
        "users_failing_model:factory",
        "users_leaving_model:factory",
        ":factory",
        ".relative:factory",
    ],
)
def test_a_factory_that_cannot_be_imported_is_refused(user_module: str, name: str) -> None:
    path = list(sys.path)
    with pytest.raises(OptionError, match=r"package.module:factory|callable"):
        resolve_model(name)
    assert sys.path == path
