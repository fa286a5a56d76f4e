"""What a message about an unknown name offers."""

from __future__ import annotations

import pytest

from losssearch.errors import UnknownNameError

KNOWN = ("accuracy", "f1", "log_loss", "mape", "roc_auc")


@pytest.mark.parametrize(("name", "meant"), [("logloss", "log_loss"), ("ROC-AUC", "roc_auc"), ("F1", "f1")])
def test_a_near_name_is_the_whole_hint(name: str, meant: str) -> None:
    assert str(UnknownNameError("metric", name, KNOWN)) == f"unknown metric {name!r}; did you mean {meant}?"


@pytest.mark.parametrize(("name", "hint"), [("auc", "did you mean roc_auc? known: "), ("zzz", "known: ")])
def test_where_no_name_is_near_all_are_listed(name: str, hint: str) -> None:
    assert str(UnknownNameError("metric", name, KNOWN)) == f"unknown metric {name!r}; {hint}{', '.join(KNOWN)}"


def test_a_long_list_is_cut() -> None:
    message = str(UnknownNameError("term", "?", [f"term{number:02}" for number in range(25)]))
    assert message.endswith("term18, term19 and 5 more")
