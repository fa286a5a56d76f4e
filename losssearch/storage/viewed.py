"""What was made of trials, kept by the content of their rows: a row that is as it was need not be read again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import RowMapping

from losssearch.storage import codec, schema
from losssearch.storage.records import TrialRecord

V = TypeVar("V")

MOST = 50_000


@dataclass(frozen=True)
class Unread:
    """A trial whose view is still to be made, and the key under which that will be kept."""

    key: bytes
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
        self._kept: dict[bytes, V] = {}

    def read(self, rows: Sequence[RowMapping], *, must: bool) -> list[V | Unread]:
        """Of each row, whose body is text, the view, or what it is to be made of; raises as `schema.trial_record`."""
        return [self._read(row, must) for row in rows]

    def complete(self, found: Sequence[V | Unread]) -> list[V]:
        """The views of all that `read` has found."""
        unread = [one for one in found if isinstance(one, Unread)]
        if not unread:
            return [one for one in found if not isinstance(one, Unread)]
        views = dict(zip((one.key for one in unread), self.make([one.trial for one in unread]), strict=True))
        if len(self._kept) + len(views) > self._most:
            self._kept = {}
        self._kept.update(views)
        return [views[one.key] if isinstance(one, Unread) else one for one in found]

    def _read(self, row: RowMapping, must: bool) -> V | Unread:
        key = hashlib.blake2b(repr((must, *row.values())).encode(), digest_size=16).digest()
        view = self._kept.get(key)
        if view is not None:
            return view
        return Unread(key, schema.trial_record({**row, "body": codec.loads(row["body"])}, must=must))
