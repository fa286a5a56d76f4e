"""Domains refuse what they cannot hold, and never with a traceback of another kind."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from losssearch.errors import SpecError
from losssearch.losses.domains import Choice, Domain, Float, Int


@pytest.mark.parametrize(
    ("domain", "value", "expected"),
    [
        (Float(0, 5, default=2), 3, 3.0),
        (Float(0, 5, default=2), 5.0, 5.0),
        (Int(1, 4, default=2), 4.0, 4),
        (Choice("a", "b", default="a"), "b", "b"),
    ],
)
def test_a_value_in_the_domain_comes_back_in_its_type(domain: Domain, value: object, expected: object) -> None:
    checked = domain.check("x", value)
    assert checked == expected
    assert type(checked) is type(expected)


@pytest.mark.parametrize(
    ("domain", "value", "message"),
    [
        (Float(0, 5, default=2), 5.1, r"x must lie in \[0, 5\], got 5.1"),
        (Float(0, 5, default=2), math.nan, r"x must lie in \[0, 5\], got nan"),
        (Float(0, 5, default=2), math.inf, r"x must lie in \[0, 5\], got inf"),
        (Float(0, 5, default=2), 10**400, r"x must lie in \[0, 5\], got 1000"),
        (Float(0, 5, default=2), "2", "x must be a number, got '2'"),
        (Float(0, 5, default=2), True, "x must be a number, got True"),
        (Float(0, 5, default=2), None, "x must be a number, got None"),
        (Int(1, 4, default=2), 2.5, "x must be a whole number, got 2.5"),
        (Int(1, 4, default=2), math.inf, r"x must lie in \[1, 4\], got inf"),
        (Int(1, 4, default=2), math.nan, r"x must lie in \[1, 4\], got nan"),
        (Int(1, 4, default=2), False, "x must be a whole number, got False"),
        (Choice("a", "b", default="a"), "c", "x must be one of a, b, got 'c'"),
        (Choice("a", "b", default="a"), ["a"], "x must be one of a, b, got"),
    ],
)
def test_a_value_outside_is_refused(domain: Domain, value: object, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        domain.check("x", value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Float(3, 1, default=2), "`low <= default <= high`, all finite, must hold, got 3"),
        (lambda: Float(0, math.inf, default=2), "all finite, must hold"),
        (lambda: Float(0, 1, default=2), "must hold"),
        (lambda: Float(0, 1, default=0.5, log=True), "`low > 0` must hold where log=True, got low=0"),
        (lambda: Int(1, 4, default=5), "`low <= default <= high` must hold, got 1, 5, 4"),
        (lambda: Choice("a", default="b"), "`default` must be one of distinct options"),
        (lambda: Choice("a", "a", default="a"), "`default` must be one of distinct options"),
    ],
)
def test_a_domain_that_contradicts_itself_is_refused(make: Callable[[], Domain], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()
