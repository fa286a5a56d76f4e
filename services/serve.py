"""The programs of the service: the API, and a worker."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress

from services import migrations
from services.concealed import conceal
from services.database import open_database
from services.settings import Settings

_CLOSE = 10
"""Seconds that open connections have where the API ends."""


def api(settings: Settings, host: str, port: int) -> None:
    """Serve the API and the pages until a signal ends it.

    Raises:
        DataError: the tables are not of this version.
        ConnectionLostError: the database does not answer.
    """
    import uvicorn

    from services.api.app import create_app

    conceal()
    app = create_app(settings)
    threading.Thread(target=app.state.service.catalogue.begin, name="catalogue", daemon=True).start()
    with suppress(KeyboardInterrupt):
        uvicorn.run(
            app,
            host=host,
            port=port,
            access_log=False,  # it would hold login links
            server_header=False,
            # Else whoever connects from this machine could say to be anywhere, and so guess without a limit.
            proxy_headers=bool(settings.proxies),
            forwarded_allow_ips=",".join(settings.proxies),
            timeout_graceful_shutdown=_CLOSE,
            log_level="warning",
        )


def worker(settings: Settings) -> None:
    """Run searches until a signal ends it; what runs then is given back.

    Raises:
        DataError: the tables are not of this version.
        ConnectionLostError: the database does not answer.
    """
    from services.worker import Supervisor

    conceal()
    log_to_stderr()
    # One for each search, and one for the supervisor.
    connections = settings.slots + 2
    database = open_database(settings.database_url, note=logging.getLogger(__name__).warning, connections=connections)
    try:
        migrations.check(database)
        settings.searches.mkdir(parents=True, exist_ok=True)
        supervisor = Supervisor(settings, database)
        supervisor.listen()
        supervisor.run()
    finally:
        database.close()


def log_to_stderr() -> None:
    """Log to stderr, a line each, with times in UTC."""
    form = logging.Formatter("%(asctime)sZ %(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
    form.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(form)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for noisy in ("alembic", "sqlalchemy"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
