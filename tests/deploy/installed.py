"""The service as it is installed: in containers, or as plain processes with a PostgreSQL server."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
START = 1200.0
"""Seconds for a start, on a machine that has much else to do."""


def answer(
    url: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes, Mapping[str, str]]:
    """Status, content and headers of what an address answers; it posts ``body`` as JSON if there is one."""
    content = None if body is None else json.dumps(body).encode()
    sent = {"Content-Type": "application/json"} | dict(headers or {})
    try:
        with urllib.request.urlopen(urllib.request.Request(url, content, sent), timeout=60) as found:
            return found.status, found.read(), found.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


def wait_for(url: str) -> None:
    """Wait until an address answers with a page."""
    until = time.monotonic() + START
    while time.monotonic() < until:
        try:
            if answer(url)[0] == 200:
                return
        except OSError:
            pass
        time.sleep(1)
    raise AssertionError(f"{url} did not answer within {START:.0f} s")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Installed(ABC):
    """One installation, with its data in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    @abstractmethod
    def start(self) -> None:
        """Start all parts and wait for the login page."""

    @abstractmethod
    def stop(self) -> None:
        """Stop all parts; the data stay."""

    @abstractmethod
    def remove(self) -> None:
        """Stop all parts and remove the data."""

    @abstractmethod
    def serve(self, *arguments: str, stdin: str = "") -> str:
        """Run ``losssearch serve`` where the API runs."""

    @abstractmethod
    def mlflow(self, path: str, token: str, body: Any = None) -> tuple[int, Any]:
        """What MLflow answers to whom the token belongs."""


class Containers(Installed):
    """`docker-compose.yml`, as a project of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.project = f"losssearch-test-{uuid.uuid4().hex[:8]}"
        shutil.copy(ROOT / ".env.example", folder)
        subprocess.run([ROOT / "deploy" / "make-env", folder], check=True, capture_output=True)
        self._environment = os.environ | {"LOSSSEARCH_PORT": str(self.port), "LOSSSEARCH_PUBLIC_URL": self.url}
        self.compose("build")

    def compose(self, *arguments: str, stdin: str = "") -> str:
        command = ["docker-compose", "-p", self.project, "--env-file", self.folder / ".env", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self._environment, input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{arguments}: {done.stderr[-4000:]}"
        return done.stdout

    def start(self) -> None:
        self.compose("up", "-d")
        wait_for(f"{self.url}/login")

    def stop(self) -> None:
        self.compose("down")

    def remove(self) -> None:
        self.compose("down", "--volumes")

    def serve(self, *arguments: str, stdin: str = "") -> str:
        return self.compose("exec", "-T", "api", "losssearch", "serve", *arguments, stdin=stdin)

    def mlflow(self, path: str, token: str, body: Any = None) -> tuple[int, Any]:
        status, content, _ = answer(f"{self.url}/mlflow/{path}", body, {"Authorization": f"Bearer {token}"})
        return status, json.loads(content) if status == 200 else content

    def reached_from_outside(self) -> dict[str, bool]:
        """Whether a container on the network ``front`` reaches the ports of the others, by name and by address."""
        script = (
            "import socket, sys\n"
            "for place in sys.argv[1:]:\n"
            "    try:\n"
            "        socket.create_connection(place.rsplit(':', 1), 3).close(); print(place, 1)\n"
            "    except OSError:\n"
            "        print(place, 0)\n"
        )
        ports = {"db": 5432, "mlflow": 5000, "api": 8000, "ray-head": 6379, "proxy": 8080}
        places = [f"{name}:{port}" for name, port in ports.items()]
        network = f"{self.project}_back"
        for name in set(ports) - {"proxy"}:
            container = self.compose("ps", "-q", name).strip()
            form = f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
            found = subprocess.run(
                ["docker", "inspect", "-f", form, container], capture_output=True, text=True, check=True
            )
            places.append(f"{found.stdout.strip()}:{ports[name]}")
        command = [
            "docker",
            "run",
            "--rm",
            "--network",
            f"{self.project}_front",
            "losssearch:latest",
            "python",
            "-c",
            script,
        ]
        done = subprocess.run([*command, *places], capture_output=True, text=True, check=True)
        return {place: shown == "1" for place, shown in map(str.split, done.stdout.splitlines())}


class Processes(Installed):
    """The same programs without containers, Ray and proxy: API, worker and MLflow, on a PostgreSQL server."""

    def __init__(self, folder: Path, postgres: str) -> None:
        super().__init__(folder)
        from sqlalchemy import create_engine, make_url, text

        self._engine = create_engine(postgres, isolation_level="AUTOCOMMIT")
        self._databases = {name: f"{name}_{uuid.uuid4().hex[:12]}" for name in ("service", "studies", "mlflow")}
        with self._engine.connect() as connection:
            for name in self._databases.values():
                connection.execute(text(f"CREATE DATABASE {name}"))
        server = make_url(postgres)
        urls = {
            what: server.set(database=name).render_as_string(hide_password=False)
            for what, name in self._databases.items()
        }
        self._mlflow_port, self._proof = free_port(), secrets.token_hex(16)
        self._mlflow = f"http://127.0.0.1:{self._mlflow_port}/mlflow"
        self._environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "LOSSSEARCH_DATABASE_URL": urls["service"],
            "LOSSSEARCH_STORAGE_URL": urls["studies"],
            "LOSSSEARCH_DATA_DIR": str(folder / "data"),
            "LOSSSEARCH_PUBLIC_URL": self.url,
            "LOSSSEARCH_TRACKING_URI": self._mlflow,
            "LOSSSEARCH_TRACKING_USERNAME": "losssearch",
            "LOSSSEARCH_TRACKING_PASSWORD": secrets.token_hex(16),
        }
        self._mlflow_environment = os.environ | {
            "LOSSSEARCH_MLFLOW_DATABASE_URL": urls["mlflow"],
            "LOSSSEARCH_MLFLOW_HOSTS": f"127.0.0.1:{self._mlflow_port}",
            "LOSSSEARCH_MLFLOW_ADMIN_PASSWORD": secrets.token_hex(16),
            "LOSSSEARCH_MLFLOW_PASSWORD": self._environment["LOSSSEARCH_TRACKING_PASSWORD"],
            "LOSSSEARCH_MLFLOW_SECRET_KEY": secrets.token_hex(16),
            "LOSSSEARCH_PROXY_SECRET": self._proof,
        }
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        self.serve("migrate")
        port, artifacts = str(self._mlflow_port), self.folder / "artifacts"
        start = [str(ROOT / "deploy" / "tracking" / "start.py"), "--port", port, "--workers", "1"]
        self._run("mlflow", [*start, "--artifacts-destination", str(artifacts)], self._mlflow_environment)
        losssearch = ["-m", "losssearch", "serve"]
        self._run("api", [*losssearch, "api", "--port", str(self.port)], self._environment)
        wait_for(f"{self.url}/login")
        wait_for(f"{self._mlflow}/health")
        self._run("worker", [*losssearch, "worker"], self._environment)

    def _run(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running.append(
                subprocess.Popen(
                    [sys.executable, *command],
                    cwd=self.folder,
                    env=environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def stop(self) -> None:
        while self._running:
            process = self._running.pop()
            process.terminate()
            try:
                process.wait(90)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def remove(self) -> None:
        from sqlalchemy import text

        self.stop()
        with self._engine.connect() as connection:
            for name in self._databases.values():
                connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        self._engine.dispose()

    def serve(self, *arguments: str, stdin: str = "") -> str:
        command = [sys.executable, "-m", "losssearch", "serve", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment, input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def mlflow(self, path: str, token: str, body: Any = None) -> tuple[int, Any]:
        # What the proxy does: it asks the API, and tells MLflow who that is.
        status, content, told = answer(f"{self.url}/v1/session", None, {"Authorization": f"Bearer {token}"})
        if status != 200:
            return status, content
        headers = {"X-Losssearch-Proxy": self._proof}
        headers |= {name: told[name] for name in ("X-Losssearch-Team", "X-Losssearch-Experiment")}
        status, content, _ = answer(f"{self._mlflow}/{path}", body, headers)
        return status, json.loads(content) if status == 200 else content
