"""Counts and times of requests by FastAPI's own hooks, and states of searches, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

from losssearch import __version__
from services.reading.searches import counts_by_state
from services.schema import ACTIVE, QUEUED, TERMINAL

if TYPE_CHECKING:
    from services.api.service import Service


class Telemetry:
    """What one process measures. Its registry is its own, so that several apps may live in one process."""

    def __init__(self) -> None:
        reader = PrometheusMetricReader()
        collector: Any = reader._collector  # noqa: SLF001  (it has no other name)
        REGISTRY.unregister(collector)
        self._registry = CollectorRegistry()
        self._registry.register(collector)
        resource = Resource.create({"service.name": "losssearch", "service.version": __version__})
        self.provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)

    def config(self) -> Any:
        """FastAPI's ``telemetry``: metrics alone, to this provider."""
        return {"meter_provider": self.provider, "tracing": False, "logs": False, "auto_configure": False}

    def text(self, service: Service) -> bytes:
        """All that was measured, in Prometheus' text format."""
        counts = service.read(counts_by_state)
        searches = GaugeMetricFamily("losssearch_searches", "Searches by state.", labels=["state"])
        for state in sorted({QUEUED, *ACTIVE, *TERMINAL}):
            searches.add_metric([state], counts.get(state, 0))
        streams = GaugeMetricFamily("losssearch_event_streams", "Open event streams.", value=service.streams.open)
        moment = CollectorRegistry()
        moment.register(_Fixed([searches, streams]))
        return generate_latest(self._registry) + generate_latest(moment)


class _Fixed:
    def __init__(self, families: list[GaugeMetricFamily]) -> None:
        self._families = families

    def collect(self) -> list[GaugeMetricFamily]:
        return self._families
