"""Lists of names on the command line."""

from __future__ import annotations

import pytest

from losssearch.cli.search_options import read


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (None, ()),
        (["a, b", "c"], ["a", "b", "c"]),
        (["a,,b,"], ["a", "b"]),
        (["cost(fp=1,fn=5),demographic_parity_difference"], ["cost(fp=1,fn=5)", "demographic_parity_difference"]),
        (['"with,comma",sex'], ["with,comma", "sex"]),
        (["size (cm, mm),half (open,x"], ["size (cm, mm)", "half (open", "x"]),
        (["age >= 25,sex"], ["age >= 25", "sex"]),
    ],
)
def test_names_are_split_by_commas(given: list[str] | None, names: list[str]) -> None:
    assert read({"drop": given}) == {"drop": tuple(names)}
