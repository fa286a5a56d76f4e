"""What pages say of a metric: its name and which direction is better."""

from __future__ import annotations

import logging
import threading
from typing import Any, get_args

from fastapi import FastAPI

from losssearch.errors import LossSearchError
from services.api.bodies import State
from services.api.service import Service

STATES: tuple[str, ...] = get_args(State)

_log = logging.getLogger("losssearch.service")


def directions(app: FastAPI, service: Service) -> dict[str, str]:
    """The direction of each metric by its name, for lists.

    The catalogue takes seconds to start, for which no list waits: until then, nothing is known.
    """
    state = app.state
    if not hasattr(state, "directions"):
        state.directions = {}
        threading.Thread(target=_learn, args=(app, service), daemon=True).start()
    known: dict[str, str] = state.directions
    return known


def _learn(app: FastAPI, service: Service) -> None:
    try:
        app.state.directions = {row["name"]: row["direction"] for row in service.catalogue.metrics()}
    except LossSearchError as error:
        _log.warning("the catalogue of metrics: %s", error)
        del app.state.directions  # the next list tries again


def metric_of(service: Service, search: dict[str, Any]) -> dict[str, str] | None:
    """``name`` and ``direction`` of a search's metric, once its study has begun; None before."""
    return service.artifacts.metric(search["id"])
