"""Searches as the JSON that clients get say what they say as objects."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.access.principal import MissingError, Principal
from services.database import new_id
from services.queue import Progress, beat, claim, finish
from services.reading.searches import find_search, list_searches
from services.reading.written import search_json, searches_json
from tests.services.conftest import House


def test_a_written_search_is_the_one_that_is_read(house: House) -> None:
    team, user, _ = house.teams["one"]
    who = Principal(user, "one-user", team, "member", "read")
    ended = house.submit(name='é "quoted"\\', request={"trials": 4, "drop": ["ü"]})
    held = claim(house.database, new_id())
    assert held is not None
    beat(house.database, held, Progress(stage="search", done=2, total=4, best=0.1, mlflow_run="a" * 32))
    summary = {"text": "better", "validation": float("nan"), "test": 0.25}
    finish(house.database, held, "done", 0, summary=summary, untracked="it was away")
    house.submit()

    def read(work: Any) -> Any:
        return house.database.run(work, reads=True)

    whole = {"limit": 50, "cursor": None, "state": None, "mine": False}
    first = whole | {"limit": 1, "mine": True}
    for asked in (whole, first, whole | {"state": "done"}):
        written = json.loads(read(lambda c, asked=asked: searches_json(c, who, **asked)))
        expected = read(lambda c, asked=asked: list_searches(c, who, **asked))
        for one in expected["items"]:
            if one["id"] == ended:
                assert one["summary"].pop("validation") != 0
                one["summary"]["validation"] = None  # JSON has no form for what is not a number
        assert written == expected
        assert expected["items"]
    text, revision = read(lambda c: search_json(c, who, ended))
    found = read(lambda c: find_search(c, who, ended))
    assert revision == found["revision"]
    assert json.loads(text) == found | {"summary": summary | {"validation": None}}
    other = Principal(user, "one-user", new_id(), "member", "read")
    with pytest.raises(MissingError):
        read(lambda c: search_json(c, other, ended))
