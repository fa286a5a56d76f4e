"""JSON with non-finite numbers."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from losssearch.storage import codec


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


def test_what_json_has_no_form_for_is_refused() -> None:
    with pytest.raises(TypeError):
        codec.dumps({"x": object()})
