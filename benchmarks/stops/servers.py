"""The servers that studies write to, started here so that they can be frozen, killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from losssearch.tracking.ui import free_port

ROOT = Path(__file__).resolve().parents[2]
_UP_WITHIN = 180.0


class Tracking:
    """An MLflow server on loopback, with its store in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.file = folder / "server.db"
        self._command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        self._command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self.file}"]
        self._command += ["--artifacts-destination", str(folder / "artifacts")]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + _UP_WITHIN
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5):
                    return
            except OSError:
                time.sleep(0.2)
        raise RuntimeError(f"the MLflow server at {self.url} did not answer within {_UP_WITHIN:.0f} s")

    def signal(self, number: int) -> None:
        """Send a signal to all its processes."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def stop(self) -> None:
        """Kill it."""
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()


class Postgres:
    """A PostgreSQL server of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.url = folder, ""

    def start(self) -> None:
        """Start the server."""
        self.url = self._run("start").strip().partition("=")[2]

    def stop(self) -> None:
        """End it at once, in the middle of whatever it does."""
        self._run("stop")

    def _run(self, command: str) -> str:
        environment = {**os.environ, "LOSSSEARCH_POSTGRES_DIR": str(self._folder)}
        script = str(ROOT / ".ci" / "postgres")
        return subprocess.run([script, command], env=environment, capture_output=True, text=True, check=True).stdout
