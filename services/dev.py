"""The whole service for one person: API, one worker and MLflow, on SQLite in one folder, on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from sqlalchemy import Connection, select

from losssearch.errors import ConnectionLostError, DataError
from losssearch.redaction import learn, redact
from losssearch.tracking.ui import free_port, ui_environment
from services import schema
from services.database import open_database
from services.enrol import LINK
from services.migrations import upgrade
from services.settings import Settings

HOST = "127.0.0.1"
PORT = 8080
MLFLOW_PORT = 5000
NAME = "local"
"""What the one team and its one user are called."""

_START = 180.0
_END = 90.0


def dev(data: Path, *, port: int | None, slots: int, mlflow: bool, echo: Callable[[str], object]) -> None:
    """Serve until Ctrl-C or SIGTERM; ``echo`` gets a line with the address once it answers.

    Args:
        data: the folder of everything; made where it is missing.
        port: of the API; 8080 or a free one if left out.
        slots: how many searches run at once.
        mlflow: whether to start an MLflow server too.
        echo: takes a line.

    Raises:
        OptionError: the port is taken.
        DataError: the folder cannot be used.
        ConnectionLostError: one of the programs ended by itself.
    """
    found = _port(port, PORT)
    tracking = f"http://{HOST}:{_port(None, MLFLOW_PORT)}" if mlflow else None
    environment = _prepare(data, f"http://{HOST}:{found}", slots, tracking)
    code = _login_code(Settings.from_environment(environment))
    house = _House(data / "logs", environment)
    own = [sys.executable, "-m", "losssearch", "serve"]
    try:
        house.start("api", [*own, "api", "--host", HOST, "--port", str(found)])
        if tracking is not None:
            house.start("mlflow", _mlflow(data, tracking), ui_environment())
        house.wait_for("api", f"http://{HOST}:{found}/health")
        echo(f"losssearch: http://{HOST}:{found}{LINK}{code}")
        echo("The link logs you in once, within ten minutes; start again for another. Ctrl-C ends everything.")
        echo(f"For scripts: make a token under Tokens, then `losssearch remote login http://{HOST}:{found}`.")
        if tracking is not None:
            house.wait_for("mlflow", f"{tracking}/health")
            echo(f"MLflow: {tracking}")
        house.start("worker", [*own, "worker"])
        house.watch()
    except KeyboardInterrupt:
        echo("Ending: searches that run are continued at the next start.")
    finally:
        house.end()


def _port(asked: int | None, preferred: int) -> int:
    from losssearch.errors import OptionError

    found = free_port(HOST, preferred if asked is None else asked)
    if asked not in (None, 0, found):
        raise OptionError(f"--port must be free, {asked} on {HOST} is not: leave it out to take one that is")
    return found


def _prepare(data: Path, public: str, slots: int, tracking: str | None) -> dict[str, str]:
    """Make the folder and the tables; the environment of the programs."""
    try:
        for folder in (data, data / "logs"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"--data must be a folder that can be written to, {data} is not: {error}") from None
    # What the environment says of another service must not reach this one.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOSSSEARCH_")}
    made = {
        "LOSSSEARCH_DATA_DIR": str(data.resolve()),
        "LOSSSEARCH_DEV": "1",
        "LOSSSEARCH_PUBLIC_URL": public,
        "LOSSSEARCH_SLOTS": str(slots),
        "LOSSSEARCH_CHILD_CPUS": str(max(1, (os.cpu_count() or 1) // slots)),
    }
    if tracking is not None:
        made["LOSSSEARCH_TRACKING_URI"] = tracking
    database = open_database(Settings.from_environment(made).database_url, create=True)
    try:
        upgrade(database)
    finally:
        database.close()
    return kept | made


def _login_code(settings: Settings) -> str:
    """The code of a login link for the one user, who is made where there is none."""
    from services.access.people import create_team, create_user
    from services.access.sessions import login_link

    def work(connection: Connection) -> str:
        user = connection.execute(select(schema.user.c.id).where(schema.user.c.name == NAME)).scalar()
        if user is None:
            user = create_user(connection, NAME, create_team(connection, NAME), role="admin", password=None)
        return login_link(connection, user)

    database = open_database(settings.database_url)
    try:
        code = database.run(work)
    finally:
        database.close()
    learn(code)
    return code


def _mlflow(data: Path, tracking: str) -> list[str]:
    folder = data.resolve()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", (folder / "mlartifacts").as_uri(), "--workers", "1"]
    return [*command, "--host", HOST, "--port", tracking.rpartition(":")[2]]


class _House:
    """The programs, each with a file of what it says. They end with this process, whatever ends it."""

    def __init__(self, logs: Path, environment: dict[str, str]) -> None:
        self._logs, self._environment = logs, environment
        self._programs: dict[str, tuple[subprocess.Popen[bytes], IO[bytes]]] = {}

    def start(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> None:
        """Start a program under a name."""
        log = open(self._logs / f"{name}.log", "ab")  # noqa: SIM115  (as long as the program)
        process = subprocess.Popen(  # noqa: S603  (our own command, no shell)
            [sys.executable, "-m", "services.tethered", *command],
            env=self._environment if environment is None else environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for us alone
        )
        self._programs[name] = process, log

    def wait_for(self, name: str, address: str) -> None:
        """Wait until a program answers."""
        until = time.monotonic() + _START
        while True:
            self._check()
            try:
                with urllib.request.urlopen(address, timeout=5):  # noqa: S310  (our own http address)
                    return
            except (urllib.error.URLError, OSError):
                if time.monotonic() > until:
                    raise ConnectionLostError(f"{name} must answer within {_START:.0f} s: {self._said(name)}") from None
                time.sleep(0.2)

    def watch(self) -> None:
        """Wait for ever, unless one of the programs ends."""
        while True:
            self._check()
            time.sleep(0.5)

    def end(self) -> None:
        """End all programs, the last one that was started first."""
        for process, _ in self._programs.values():
            if process.stdin is not None:
                process.stdin.close()
        until = time.monotonic() + _END
        for process, log in reversed(self._programs.values()):
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, until - time.monotonic()))
            log.close()

    def _check(self) -> None:
        for name, (process, _) in self._programs.items():
            if (code := process.poll()) is not None:
                raise ConnectionLostError(f"{name} must keep running, it ended with {code}: {self._said(name)}")

    def _said(self, name: str) -> str:
        lines = (self._logs / f"{name}.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return redact(lines[-1]) if lines else "it said nothing"
