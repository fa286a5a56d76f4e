"""Boosted trees are known by name, and what they need is said in one line."""

from __future__ import annotations

import pytest

from losssearch.errors import OptionError, UnknownNameError
from losssearch.models import BOOSTED, boosted, build_model, is_boosted, resolve_model


def test_names_stand_for_themselves() -> None:
    for name in BOOSTED:
        assert is_boosted(name)
        assert resolve_model(name) == name
    assert not is_boosted("mlp")
    assert not is_boosted(build_model)


def test_screening_has_a_model_to_measure_on() -> None:
    assert build_model("lightgbm", 4, 3).shapes == build_model("linear", 4, 3).shapes


def test_a_missing_package_is_told_with_the_way_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boosted, "find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"lightgbm must be installed.*pip install 'losssearch\[lightgbm\]'"):
        resolve_model("lightgbm")


def test_a_misspelt_name_is_told_the_right_one() -> None:
    with pytest.raises(UnknownNameError, match="did you mean lightgbm"):
        resolve_model("lightgmb")
