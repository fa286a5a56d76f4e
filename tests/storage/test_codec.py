"""JSON with non-finite numbers."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from losssearch.storage import codec
from losssearch.storage.records import TrialRecord


@pytest.mark.parametrize("value", [None, 1, 0.1, -0.0, 1e308, "nan", [1, [math.inf]], {"a": {"b": -math.inf}}, {}])
def test_what_goes_in_comes_out(value: Any) -> None:
    assert codec.loads(codec.dumps(value)) == value


def test_the_text_is_standard_json() -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not standard JSON")

    text = codec.dumps({"a": [math.nan, math.inf, -math.inf], "b": (1, 2), "c": "\ud800é"})
    parsed = json.loads(text, parse_constant=refuse)
    assert parsed == {"a": [{"$float": "nan"}, {"$float": "inf"}, {"$float": "-inf"}], "b": [1, 2], "c": "\ud800é"}
    assert text.isascii()


def test_a_trial_of_an_older_store_has_no_best_epochs() -> None:
    record = TrialRecord(3, "searched", "searched-3", {}, "key", best_epochs=(4, 6), trained=9, most=20)
    written = codec.loads(codec.dumps(codec.trial_to_json(record)))
    assert codec.trial_from_json(written) == record
    older = {name: value for name, value in written.items() if name not in ("best_epochs", "trained", "most")}
    assert codec.trial_from_json(older) == TrialRecord(3, "searched", "searched-3", {}, "key")


def test_what_json_has_no_form_for_is_refused() -> None:
    with pytest.raises(TypeError):
        codec.dumps({"x": object()})
