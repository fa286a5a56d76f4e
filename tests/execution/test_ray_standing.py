"""A search on a standing Ray cluster that asks for a token."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SEARCH = ["search", "builtin:wine", "--target", "target", "--trials", "8", "--epochs", "4", "--confirm-seeds", "2"]
SEARCH += ["--no-mlflow", "--quiet", "--workers", "2"]


def search(address: str, folder: Path, *more: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | variables
    return subprocess.run(
        [sys.executable, "-m", "losssearch", *SEARCH, "--ray-address", address, "--out", str(folder / "wine"), *more],
        env=environment | {"HOME": str(folder)},  # where no other token lies
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def standing(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and token file of a cluster that was started by ``ray start``."""
    token = tmp_path / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    with socket.socket() as free, socket.socket() as also_free:
        free.bind(("127.0.0.1", 0))
        also_free.bind(("127.0.0.1", 0))
        port, other = free.getsockname()[1], also_free.getsockname()[1]
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}", "--num-cpus=2"]
    ray += ["--include-dashboard=false", "--disable-usage-stats", f"--ray-client-server-port={other}"]
    variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "HOME": str(tmp_path)}
    process = subprocess.Popen(ray, env=os.environ | variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as knock:
            if knock.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.2)
    yield f"127.0.0.1:{port}", token
    process.terminate()
    process.wait(timeout=60)


@pytest.mark.slow
@pytest.mark.e2e
def test_a_standing_cluster_takes_the_token_and_nothing_else(standing: tuple[str, Path], tmp_path: Path) -> None:
    address, token = standing
    refused = search(address, tmp_path)
    assert refused.returncode == 4, refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "RAY_AUTH_MODE=token" in refused.stderr
    done = search(address, tmp_path, "--resume", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "wine/result.json").is_file()
    assert (tmp_path / "wine/study.db").stat().st_mode & 0o044 == 0o044 & ~_mask()  # as the user's own mask says


def _mask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
