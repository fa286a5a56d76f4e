"""The values of a search's trials, as its chart shows them: read once each."""

from __future__ import annotations

from services import events
from services.reading.progress import Values
from tests.services.conftest import House


def _tell(house: House, search: str, *numbers: int) -> None:
    told = [events.Event("trial", {"value": number / 8, "best": 1.0}, number) for number in numbers]
    house.database.run(lambda connection: events.write(connection, search, told))


def _of(house: House, values: Values, search: str) -> tuple[object, ...]:
    return house.database.run(lambda connection: values.of(connection, search), reads=True)


def test_new_values_follow_those_that_are_known(house: House) -> None:
    search, other, values = house.submit(), house.submit(), Values()
    assert _of(house, values, search) == ()
    _tell(house, search, 0, 2)
    _tell(house, other, 7)
    _tell(house, search, 1)
    first = _of(house, values, search)
    assert first == ((0, 0.0, 1.0), (2, 0.25, 1.0), (1, 0.125, 1.0))
    assert _of(house, values, search) is first
    _tell(house, search, 3)
    assert _of(house, values, search) == (*first, (3, 0.375, 1.0))
    assert _of(house, values, other) == ((7, 0.875, 1.0),)


def test_values_that_were_forgotten_are_read_again(house: House) -> None:
    values, searches = Values(most=1), [house.submit(), house.submit()]
    for number, search in enumerate(searches):
        _tell(house, search, number)
    for _ in range(2):
        for number, search in enumerate(searches):
            assert _of(house, values, search) == ((number, number / 8, 1.0),)
            _tell(house, search, number)  # again: kept once
