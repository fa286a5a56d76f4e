"""What was made of trials, kept with a digest of their rows: a row that is as it was need not be read again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from losssearch.storage import codec, schema
from losssearch.storage.records import TrialRecord

V = TypeVar("V")

MOST = 50_000

_NAMES = tuple(column.name for column in schema.trial.columns)
_STUDY, _NUMBER, _BODY = (_NAMES.index(name) for name in ("study", "number", "body"))

Row = Sequence[Any]
"""The columns of a trial in the table's order, its body as text."""


@dataclass(frozen=True)
class Unread:
    """A trial whose view is still to be made, and under which key and digest that will be kept."""

    key: tuple[str, int]
    digest: int
    trial: TrialRecord


class Viewed(Generic[V]):
    """Views of trials for `SqlStore.page`: a row was read as `SqlStore.trials` does before it has one.

    Safe to use from several threads.

    Args:
        make: the views of trials, in their order. Nobody may change what it gives, since it is given out many times.
        most: how many views are kept.
    """

    def __init__(self, make: Callable[[list[TrialRecord]], list[V]], most: int = MOST) -> None:
        self.make, self._most = make, most
        self._kept: dict[tuple[str, int], tuple[int, V]] = {}

    def read(self, rows: Sequence[Row], must: Callable[[], bool]) -> list[V | Unread]:
        """Of each row the view, or what it is to be made of; raises as `schema.trial_record`.

        ``must`` tells whether rows must have seals, and is asked only where one is read.
        """
        found: list[V | Unread] = []
        sealed: bool | None = None
        for row in rows:
            key, digest = (row[_STUDY], row[_NUMBER]), hash(tuple(row))
            kept = self._kept.get(key)
            if kept is not None and kept[0] == digest:
                found.append(kept[1])
                continue
            sealed = must() if sealed is None else sealed
            named = dict(zip(_NAMES, row, strict=True))
            named["body"] = codec.loads(row[_BODY])
            found.append(Unread(key, digest, schema.trial_record(named, must=sealed)))
        return found

    def complete(self, found: Sequence[V | Unread]) -> list[V]:
        """The views of all that `read` has found."""
        unread = [one for one in found if isinstance(one, Unread)]
        if not unread:
            return [one for one in found if not isinstance(one, Unread)]
        views = dict(zip((one.key for one in unread), self.make([one.trial for one in unread]), strict=True))
        if len(self._kept) + len(views) > self._most:
            self._kept = {}
        self._kept.update({one.key: (one.digest, views[one.key]) for one in unread})
        return [views[one.key] if isinstance(one, Unread) else one for one in found]
