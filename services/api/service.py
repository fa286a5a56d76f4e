"""What the routes share: settings, database, limits, the catalogue, streams; made once per process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from sqlalchemy import Connection

from losssearch.storage.engine import Database
from services.access.tokens import Uses
from services.api.streams import Streams
from services.api.telemetry import Telemetry
from services.artifacts import Artifacts
from services.catalogue.client import Catalogue
from services.reading.progress import Values
from services.settings import Settings
from services.uploads.limits import Limits

T = TypeVar("T")

CONVERSIONS = 2
"""Uploads that this process converts at once; each takes a core and up to 2 GB."""


@dataclass(frozen=True)
class Service:
    """Everything that a route needs.

    Args:
        settings: of this process.
        database: of the service.
        catalogue: terms, spaces and metrics.
        artifacts: trials, results and files of searches.
        telemetry: what is measured.
        limits: of uploads.
        streams: the open event streams.
        uses: when tokens were used.
        values: of trials, for charts.
        converting: holds back uploads that are to be converted, whoever sent them.
    """

    settings: Settings
    database: Database
    catalogue: Catalogue
    artifacts: Artifacts
    telemetry: Telemetry
    limits: Limits = field(default_factory=Limits)
    streams: Streams = field(default_factory=Streams)
    uses: Uses = field(default_factory=Uses)
    values: Values = field(default_factory=Values)
    converting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONVERSIONS))

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction that only reads."""
        return self.database.run(work, reads=True, patient=False)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction; it may run again where the connection was lost."""
        return self.database.run(work, patient=False)


async def service_of(request: Request) -> Service:
    """The service of the app that answers."""
    found: Service = request.app.state.service
    return found


Here = Annotated[Service, Depends(service_of)]
"""A route's parameter: the service."""
