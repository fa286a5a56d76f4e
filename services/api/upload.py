"""One upload, from its announcement to the Parquet file: for the API and for the form of a page."""

from __future__ import annotations

import uuid
from pathlib import Path

from sqlalchemy import Connection

from losssearch.errors import DataError
from services.access.principal import ConflictError, Principal
from services.api.service import Service
from services.changing import datasets as changing
from services.uploads import receiving
from services.uploads.exclusive import Exclusive
from services.uploads.sandbox import convert


class Upload:
    """One attempt to fill a dataset: its files have names of their own until it has succeeded.

    Attempts come one after the other, so that a team's bytes are those that really come. After `begin` has succeeded,
    `end` must be called.
    """

    def __init__(self, service: Service, who: Principal, dataset: str, length: int) -> None:
        self.service, self.who, self.dataset, self.length = service, who, dataset, length
        self.part = service.settings.incoming / f"{dataset}-{uuid.uuid4().hex}.part"
        self._alone = Exclusive(service.settings.incoming / f"{dataset}.lock")
        self._converting = self._ended = False

    def begin(self) -> None:
        """Reserve room for the content.

        Raises:
            ConflictError: the dataset has its content, or another upload of it is under way.
            ForbiddenError: the team's bytes are used up.
            FullError: the disk has no room.
        """
        self.part.parent.mkdir(parents=True, exist_ok=True)
        if not self._alone.take():
            raise ConflictError("a dataset receives one upload at a time, one is under way: wait for its end")
        try:
            self.service.write(lambda c: changing.begin_content(c, self.who, self.dataset, self.length))
            try:
                receiving.require_disk(self.part.parent, self.length)
            except receiving.FullError as error:
                self.fail(error)
                raise
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Remove what was received, and let another upload begin; once a conversion that still runs has ended."""
        self.part.unlink(missing_ok=True)
        self._ended = True
        if not self._converting:
            self._alone.leave()

    def convert(self, suffix: str, digest: str) -> None:
        """Convert what was received, as the format ``suffix``; it has this SHA-256 ``digest`` in hexadecimal digits."""
        self._converting = True
        fresh = self.part.with_suffix(".parquet")
        try:
            self.service.write(lambda c: changing.begin_conversion(c, self.dataset, digest))
            with receiving.told_full():
                converted = convert(self.part, suffix, fresh, self.service.limits)
            size = fresh.stat().st_size
            place = self.service.settings.datasets / f"{self.dataset}.parquet"

            def end(connection: Connection) -> None:
                changing.end_content(connection, self.who, self.dataset, converted, size)
                _move(fresh, place)  # while the row is locked: of two uploads the one that the row tells of stays

            self.service.write(end)
        finally:
            fresh.unlink(missing_ok=True)
            self._converting = False
            if self._ended:
                self._alone.leave()

    def fail(self, error: Exception) -> None:
        """Note why nothing came of it."""
        told = isinstance(error, DataError | receiving.FullError)
        why = str(error) if told else "the content was not received: send it again"
        self.service.write(lambda c: changing.fail_content(c, self.dataset, why))


def _move(fresh: Path, place: Path) -> None:
    if fresh.exists():  # else this is the second try of the transaction
        fresh.replace(place)
