"""One upload, from its announcement to the Parquet file: for the API and for the form of a page."""

from __future__ import annotations

import uuid
from pathlib import Path

from sqlalchemy import Connection

from losssearch.errors import DataError
from services.access.principal import Principal
from services.api.service import Service
from services.changing import datasets as changing
from services.uploads import receiving
from services.uploads.sandbox import convert


class Upload:
    """One attempt to fill a dataset: its files have names of their own until it has succeeded."""

    def __init__(self, service: Service, who: Principal, dataset: str, length: int) -> None:
        self.service, self.who, self.dataset, self.length = service, who, dataset, length
        self.part = service.settings.incoming / f"{dataset}-{uuid.uuid4().hex}.part"

    def begin(self) -> None:
        """Reserve room for the content."""
        self.part.parent.mkdir(parents=True, exist_ok=True)
        self.service.write(lambda c: changing.begin_content(c, self.who, self.dataset, self.length))
        receiving.require_disk(self.part.parent, self.length)

    def convert(self, suffix: str, digest: str) -> None:
        """Convert what was received, as the format ``suffix``; it has this SHA-256 ``digest`` in hexadecimal digits."""
        self.service.write(lambda c: changing.begin_conversion(c, self.dataset, digest))
        fresh = self.part.with_suffix(".parquet")
        try:
            converted = convert(self.part, suffix, fresh, self.service.limits)
            size = fresh.stat().st_size
            place = self.service.settings.datasets / f"{self.dataset}.parquet"

            def end(connection: Connection) -> None:
                changing.end_content(connection, self.who, self.dataset, converted, size)
                _move(fresh, place)  # while the row is locked: of two uploads the one that the row tells of stays

            self.service.write(end)
        finally:
            fresh.unlink(missing_ok=True)

    def fail(self, error: Exception) -> None:
        """Note why nothing came of it."""
        why = str(error) if isinstance(error, DataError) else "the content was not received: send it again"
        self.service.write(lambda c: changing.fail_content(c, self.dataset, why))


def _move(fresh: Path, place: Path) -> None:
    if fresh.exists():  # else this is the second try of the transaction
        fresh.replace(place)
