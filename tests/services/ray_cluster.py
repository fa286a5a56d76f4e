"""A Ray cluster as the containers of the service have it: in token mode, and started again where it ends."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.services.test_worker import END, lives, wait_for


class RayCluster:
    """One node, head and worker at once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        token = folder / "token"
        token.write_text(secrets.token_hex(32))
        token.chmod(0o600)
        self.variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "HOME": str(folder)}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.address = f"127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start the node, as ``deploy/ray/node`` does."""
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={self._port}"]
        ray += ["--node-ip-address=127.0.0.1", "--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats"]
        self._process = subprocess.Popen(
            [*ray, "--object-store-memory=200000000"],
            env={**os.environ, **self.variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(self._listens)
        wait_for(lambda: self.named("raylet"))

    def restart(self) -> None:
        """Wait for the end of a node that lost one of its processes, and start it again."""
        assert self._process is not None
        self._process.wait(END)
        self._end_all()
        self.start()

    def named(self, name: str) -> list[int]:
        """Processes of the cluster whose title begins with ``name``."""
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                command = (entry / "cmdline").read_bytes().split(b"\0")[0].decode()
                ours = f"HOME={self.variables['HOME']}".encode() in (entry / "environ").read_bytes()
                if ours and command.rpartition("/")[2].startswith(name) and lives(int(entry.name)):
                    found.append(int(entry.name))
        return found

    def close(self) -> None:
        """End the node."""
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(30)
        self._end_all()

    def _end_all(self) -> None:
        until = time.monotonic() + 30
        while left := self.named(""):
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            assert time.monotonic() < until
            time.sleep(0.2)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "the node did not start"
        with socket.socket() as knock:
            return knock.connect_ex(("127.0.0.1", self._port)) == 0
