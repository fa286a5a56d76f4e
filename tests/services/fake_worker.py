"""A worker whose studies are pretended ones: ``python fake_worker.py DATABASE_URL DATA SLOTS LEASE``."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from services.database import open_database
from services.settings import Settings
from services.worker import Supervisor, Timing

url, data, slots, lease = sys.argv[1:]
logging.basicConfig(level=logging.WARNING)
timing = Timing(
    lease=float(lease),
    margin=float(lease) / 10,
    beat=float(lease) / 6,
    write=0.2,
    poll=0.05,
    kill=2,
    stop=2,
    retries=(0.1, 0.1, 0.1),
)
settings = Settings(database_url=url, data=Path(data), slots=int(slots))
worker = Supervisor(
    settings,
    open_database(url),
    command=(sys.executable, "-S", str(Path(__file__).with_name("fake_child.py"))),
    timing=timing,
)
worker.listen()
worker.run()
