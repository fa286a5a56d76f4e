"""A real MLflow server, and a proxy before it that fails as it is told."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from losssearch.tracking.ui import ui_environment


class Server:
    """A real ``mlflow server`` on an SQLite file, as a group of processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        """Start it, also again after it was killed."""
        store = ["--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db", "--artifacts-destination"]
        place = [str(self._folder / "artifacts"), "--host", "127.0.0.1", "--port", str(self._port), "--workers", "2"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *store, *place],
            env=ui_environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while True:
            try:
                with urllib.request.urlopen(f"{self.address}/health", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                assert self._process.poll() is None, "the server did not start"
                time.sleep(0.2)

    def signal(self, number: signal.Signals) -> None:
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        if self._process.poll() is None:
            self.signal(signal.SIGKILL)
            self._process.wait()


class Proxy:
    """Passes requests on to ``target``, but for uploads of artifacts, or all, which it answers with a code of its own.

    ``artifacts`` and ``everything`` are these codes; 0 passes on. ``left``: how many requests are still passed on
    before ``everything`` is 503; None for all.
    """

    def __init__(self, target: str) -> None:
        self.artifacts = self.everything = 0
        self.left: int | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if outer.left is not None:
                    outer.left -= 1
                    if outer.left < 0:
                        outer.everything = 503
                upload = self.command in ("PUT", "POST") and "mlflow-artifacts" in self.path
                if code := outer.everything or (outer.artifacts if upload else 0):
                    self._answer(code, b"out of order")
                    return
                kept = {name: value for name, value in self.headers.items() if name not in ("Host", "Connection")}
                request = urllib.request.Request(target + self.path, body or None, kept, method=self.command)
                try:
                    with urllib.request.urlopen(request, timeout=120) as answer:
                        self._answer(answer.status, answer.read(), answer.headers.get("Content-Type", ""))
                except urllib.error.HTTPError as error:
                    self._answer(error.code, error.read(), error.headers.get("Content-Type", ""))

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve  # noqa: N815

            def _answer(self, code: int, body: bytes, kind: str = "text/plain") -> None:
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.address = f"http://{self.host}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def mend(self) -> None:
        self.artifacts = self.everything = 0
        self.left = None

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
