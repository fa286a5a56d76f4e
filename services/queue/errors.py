"""What the queue refuses."""

from __future__ import annotations

from losssearch.errors import InputError, LossSearchError


class NoSearchError(InputError):
    """There is no search of an identifier."""


class StateError(InputError):
    """A search is in a state in which it cannot be asked for that."""


class KeyReusedError(InputError):
    """An idempotency key came with another request than before."""


class LeaseLostError(LossSearchError):
    """A search is no longer this worker's: its lease ended and another took it, or it was deleted."""
