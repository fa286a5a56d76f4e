"""The numbers of the queue."""

LEASE = 30.0
"""Seconds that a claim lasts after its last beat."""

RETRIES = (5.0, 20.0, 80.0)
"""Seconds of waiting before a failed search is tried again, one for each time."""

FIRST_SYNC, LAST_SYNC = 15.0, 3600.0
"""Seconds until MLflow is told again of what it missed: at first, doubled each time, and at most."""

GIVEN_UP = 7 * 86400.0
"""Seconds after which that is not tried any more."""

MOST_LOST = 5
"""How often in a row a search may lose its worker without any progress between."""
