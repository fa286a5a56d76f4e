"""The worker: a supervisor that claims searches and runs each in a process of its own.

Nothing here imports torch: a fault in a study cannot touch its supervisor, which only reads lines and waits.
"""

from services.worker.supervisor import Supervisor
from services.worker.timing import TIMING, Timing

__all__ = ["TIMING", "Supervisor", "Timing"]
