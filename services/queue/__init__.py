"""The queue: searches that wait, and leases on those that a worker runs.

A worker claims a search and renews its lease with `beat`; a lease that ends is claimed by another worker. Each claim
raises ``attempt`` and has a holder of its own, and every write of a worker names both: a worker whose search was taken
over writes nothing any more.
"""

from services.queue.asking import cancel, requeue, submit
from services.queue.claiming import Claim, claim
from services.queue.discarding import Discarded, discard, gone, has_discarded, take_discarded
from services.queue.errors import KeyReusedError, LeaseLostError, NoSearchError, StateError
from services.queue.holding import Beat, Progress, beat, finish, give_back, retry_later, watch
from services.queue.syncing import SyncClaim, beat_sync, claim_sync, sync_later, synced
from services.queue.timing import LEASE, MOST_LOST, RETRIES
from services.queue.workers import enter, leave, seen

__all__ = [
    "LEASE",
    "MOST_LOST",
    "RETRIES",
    "Beat",
    "Claim",
    "Discarded",
    "KeyReusedError",
    "LeaseLostError",
    "NoSearchError",
    "Progress",
    "StateError",
    "SyncClaim",
    "beat",
    "beat_sync",
    "cancel",
    "claim",
    "claim_sync",
    "discard",
    "enter",
    "finish",
    "give_back",
    "gone",
    "has_discarded",
    "leave",
    "requeue",
    "retry_later",
    "seen",
    "submit",
    "sync_later",
    "synced",
    "take_discarded",
    "watch",
]
