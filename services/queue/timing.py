"""The numbers of the queue."""

LEASE = 30.0
"""Seconds that a claim lasts after its last beat."""

RETRIES = (5.0, 20.0, 80.0)
"""Seconds of waiting before a failed search is tried again, one for each time."""

MOST_LOST = 5
"""How often in a row a search may lose its worker without any progress between."""
