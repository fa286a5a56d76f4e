"""``losssearch serve --dev``: it answers, logs one in with the link that it prints, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from services.dev import _prepare
from services.settings import Settings
from tests.services.test_worker import END, lives, wait_for

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def programs(data: Path) -> list[int]:
    """The processes that serve what is in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if f"LOSSSEARCH_DATA_DIR={data}".encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
    return [pid for pid in found if lives(pid)]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A service of one's own, whose first line was not read yet, and its folder."""
    data = tmp_path / "own"
    command = [sys.executable, "-m", "losssearch", "serve", "--dev", "--no-mlflow", "--data", str(data)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    yield process, data
    process.kill()
    process.communicate()
    for pid in programs(data):
        os.kill(pid, signal.SIGKILL)


def address(process: subprocess.Popen[str]) -> tuple[str, str]:
    """The address of the service, and the code of its login link."""
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.fullmatch(r"losssearch: (http://127\.0\.0\.1:\d+)/login/link\?code=(\S+)\n", line)
    assert found, line
    return found[1], found[2]


def answers(base: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base}/health", timeout=20) as answer:
            return bool(answer.status == 200)
    except urllib.error.URLError:
        return False


def follow(base: str, code: str) -> str | int:
    """The role of the session that a login link gives, or the status of a refusal."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    try:
        browser.open(f"{base}/login/link?code={code}", timeout=60).close()
        with browser.open(f"{base}/v1/session", timeout=60) as answer:
            return str(json.load(answer)["role"])
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_its_programs_know_that_they_serve_one_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSSEARCH_DATABASE_URL", "postgresql://of/another")
    made = _prepare(tmp_path / "own", "http://127.0.0.1:8080", 2, "http://127.0.0.1:5000")
    found = Settings.from_environment(made)
    assert (found.dev, found.slots, found.tracking_uri, found.secure) == (True, 2, "http://127.0.0.1:5000", False)
    assert found.database_url == f"sqlite:///{tmp_path}/own/service.db"
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o700


def test_a_service_of_ones_own(served: tuple[subprocess.Popen[str], Path]) -> None:
    process, data = served
    base, code = address(process)
    assert answers(base)
    wait_for(lambda: (data / "logs" / "worker.log").exists() and "slots" in (data / "logs" / "worker.log").read_text())
    # Each of the two programs, and what ties it to us.
    assert len(programs(data)) >= 4
    assert code not in subprocess.run(["ps", "axeww"], capture_output=True, check=True, text=True).stdout
    assert [follow(base, code), follow(base, code)] == ["admin", 401]
    process.send_signal(signal.SIGINT)
    assert process.wait(END) == 0
    assert programs(data) == []
    assert not answers(base)
    for log in (data / "logs").iterdir():
        assert code not in log.read_text()


@pytest.mark.nightly
def test_what_was_started_ends_with_who_started_it(served: tuple[subprocess.Popen[str], Path]) -> None:
    process, data = served
    base, _ = address(process)
    process.kill()
    wait_for(lambda: programs(data) == [])
    assert not answers(base)
