"""What becomes of a search, by how the process of its study ended."""

from __future__ import annotations

import pytest

from services.worker.outcome import Then, outcome


@pytest.mark.parametrize(
    ("code", "then", "state"),
    [
        (0, Then.FINISH, "done"),
        (3, Then.FINISH, "unmet"),
        (2, Then.FINISH, "failed"),
        (1, Then.RETRY, ""),
        (130, Then.GIVE_BACK, ""),
        (-2, Then.GIVE_BACK, ""),
        (4, Then.RETRY, ""),
        (5, Then.RETRY, ""),
        (134, Then.RETRY, ""),
        (-6, Then.RETRY, ""),
        (-9, Then.RETRY, ""),
        (137, Then.RETRY, ""),
        (-11, Then.RETRY, ""),
    ],
)
def test_exit_codes(code: int, then: Then, state: str) -> None:
    found = outcome(code, cancelled=False, stopping=False)
    assert (found.then, found.state) == (then, state)
    cancelled = outcome(code, cancelled=True, stopping=False)
    assert (cancelled.then, cancelled.state) == (Then.FINISH, "cancelled")


def test_only_a_problem_that_was_told_is_final() -> None:
    told = outcome(1, cancelled=False, stopping=False, problem="unexpected ValueError: no", tail=("Traceback",))
    assert (told.then, told.state) == (Then.FINISH, "failed")
    ended = outcome(1, cancelled=False, stopping=False, tail=("a word of Ray",))
    assert (ended.then, ended.message) == (Then.RETRY, "the process of the study ended with exit code 1\na word of Ray")


@pytest.mark.parametrize("code", [1, 4, 130, -9])
def test_a_worker_that_stops_gives_back_what_did_not_end_by_itself(code: int) -> None:
    assert outcome(code, cancelled=False, stopping=True).then is Then.GIVE_BACK
    assert outcome(0, cancelled=False, stopping=True).state == "done"
    assert outcome(2, cancelled=False, stopping=True).state == "failed"


def test_messages() -> None:
    lines = tuple(f"line {number}" for number in range(30))
    told = outcome(-9, cancelled=False, stopping=False, tail=lines).message
    assert told.splitlines()[0] == "the process of the study was ended by signal 9: out of memory?"
    assert told.splitlines()[1:] == list(lines[-20:])
    assert (
        outcome(2, cancelled=False, stopping=False, problem="target must be …", tail=lines).message
        == "target must be …"
    )
    silent = outcome(1, cancelled=False, stopping=False).message
    assert silent == "the process of the study ended with exit code 1, without a word: was its cluster lost?"
