"""PostgreSQL that restarts, freezes, loses an answer or is gone, and what the store makes of it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from losssearch.errors import ConnectionLostError, OptionError, StudyHeldError
from losssearch.storage import engine, lease
from losssearch.storage.records import StudyRecord, TrialRecord
from losssearch.storage.sql import SqlStore

ROOT = Path(__file__).parents[2]
STUDY = StudyRecord("adult", {"rates": [0.1]}, "0", "now")


def _trials(count: int) -> list[TrialRecord]:
    return [TrialRecord(n, "searched", f"searched-{n}", {"pad": "x" * 40}, "key") for n in range(count)]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """The folder of a PostgreSQL server of our own."""
    if "LOSSSEARCH_TEST_POSTGRES" not in os.environ:
        pytest.skip("LOSSSEARCH_TEST_POSTGRES names no server, so PostgreSQL is not tested")
    folder = Path(tempfile.mkdtemp(prefix="losssearch-"))
    yield folder
    _postgres("stop", folder)
    shutil.rmtree(folder)


@pytest.fixture
def url(folder: Path) -> Iterator[str]:
    """The URL of the server, which runs and holds no study."""
    found = _postgres("start", folder).stdout.strip().partition("=")[2]
    yield found
    _postgres("start", folder)
    _ask(found, "DROP SCHEMA public CASCADE")
    _ask(found, "CREATE SCHEMA public")


def _ask(url: str, query: str) -> None:
    database = create_engine(url)
    with database.begin() as connection:
        connection.execute(text(query))
    database.dispose()


def _postgres(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LOSSSEARCH_POSTGRES_DIR": str(folder)}
    script = str(ROOT / ".ci" / "postgres")
    return subprocess.run([script, command], env=environment, capture_output=True, text=True, check=True)


class Notes(list[str]):
    """What the user was told; `waiting` is set once a server is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = threading.Event()

    def __call__(self, message: str) -> None:
        self.append(message)
        self.waiting.set()


def test_a_server_is_waited_for_more_than_a_minute() -> None:
    assert engine.PATIENCE >= 60


def test_a_restart_costs_a_study_nothing(folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "NOTICE", 0.2)
    monkeypatch.setattr(lease, "HEARTBEAT", 0.05)
    notes = Notes()
    store = SqlStore(url, note=notes)
    store.create_study(STUDY)
    store.acquire("adult")
    store.save_trials("adult", _trials(2))
    _postgres("stop", folder)
    writer = threading.Thread(target=store.save_trials, args=("adult", _trials(5)))
    writer.start()
    assert notes.waiting.wait(120)
    _postgres("start", folder)
    writer.join(120)
    assert store.trials("adult") == _trials(5)
    first, last = notes
    assert "losssearch:***@127.0.0.1" in first
    assert "trying again for 75 s" in first
    assert "answers again" in last
    other = SqlStore(url)
    with pytest.raises(StudyHeldError, match="one driver"):
        other.acquire("adult")
    store.close()
    other.acquire("adult")
    other.close()


def test_a_server_that_stays_away_is_a_lost_store_until_it_is_back(
    folder: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "PATIENCE", 1.0)
    store = SqlStore(url)
    store.create_study(STUDY)
    store.acquire("adult")
    store.save_trials("adult", _trials(2))
    _postgres("stop", folder)
    with pytest.raises(ConnectionLostError, match=r"losssearch:\*\*\*@127.*was not for 1 s.*resume=True") as lost:
        store.save_trials("adult", _trials(4))
    assert lost.value.__context__ is None, "a context would show what the driver says of the URL"
    # What the end of a study still asks does not wait once more.
    tries = _counted(monkeypatch)
    with pytest.raises(ConnectionLostError):
        store.trials("adult")
    assert len(tries) == 1
    with pytest.raises(ConnectionLostError, match="in 5 tries"):
        SqlStore(url)
    _postgres("start", folder)
    assert store.trials("adult") == _trials(2)
    store.save_trials("adult", _trials(4))
    store.close()


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    tries: list[int] = []
    attempt = engine.Database._attempt

    def counted(database: engine.Database, *arguments: object) -> object:
        tries.append(1)
        return attempt(database, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.Database, "_attempt", counted)
    return tries


def test_a_server_that_freezes_is_told_and_asked_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SILENCE", 1.2)
    notes = Notes()
    store = SqlStore(url, note=notes)
    store.create_study(STUDY)
    backend = store._database.run(
        lambda connection: int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
    )
    os.kill(backend, signal.SIGSTOP)
    try:
        store.save_trials("adult", _trials(3))
    finally:
        os.kill(backend, signal.SIGCONT)
    assert "has not answered" in notes[0]
    assert store.trials("adult") == _trials(3)
    store.close()


class Forgetful:
    """A proxy before a server that passes the next COMMIT on and then cuts the line before the answer."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self._target = (str(parsed.host), int(parsed.port or 0))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = parsed.set(port=self._listener.getsockname()[1]).render_as_string(hide_password=False)
        self.lost = 0
        self.armed = False
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        _shut(self._listener)
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        cut = threading.Event()
        with client, socket.create_connection(self._target) as server:
            back = threading.Thread(target=self._answer, args=(server, client, cut), daemon=True)
            back.start()
            self._forward(client, server, cut)
            back.join()

    def _forward(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        try:
            while data := client.recv(65536):
                if self.armed and b"COMMIT" in data:
                    self.armed = False
                    self.lost += 1
                    cut.set()
                server.sendall(data)
        except OSError:
            pass
        _shut(server)

    def _answer(self, server: socket.socket, client: socket.socket, cut: threading.Event) -> None:
        try:
            while (data := server.recv(65536)) and not cut.is_set():
                client.sendall(data)
        except OSError:
            pass
        _shut(client)
        _shut(server)


def _shut(line: socket.socket) -> None:
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(url: str) -> Iterator[Forgetful]:
    proxy = Forgetful(url)
    yield proxy
    proxy.close()


def test_a_commit_whose_answer_is_lost_is_recognised(url: str, proxy: Forgetful) -> None:
    store = SqlStore(proxy.url)
    steps = [
        lambda: store.create_study(STUDY),
        lambda: store.acquire("adult"),
        lambda: store.save_trials("adult", _trials(3)),
        lambda: store.save_stage("adult", "confirmation", {"seeds": [1]}),
        lambda: store.save_result("adult", {"verdict": {}}),
    ]
    for count, step in enumerate(steps, start=1):
        proxy.armed = True
        step()
        assert proxy.lost == count, "the fault did not take place"
    direct = SqlStore(url, create=False)
    assert direct.study("adult").config == STUDY.config
    assert direct.trials("adult") == _trials(3)
    assert direct.stage("adult", "confirmation") == {"seeds": [1]}
    with pytest.raises(OptionError, match="a name of its own"):
        store.create_study(STUDY)
    store.close()
    direct.acquire("adult")
    direct.close()


def test_a_lost_answer_does_not_make_another_study_ours(url: str, proxy: Forgetful) -> None:
    other = SqlStore(url)
    other.create_study(StudyRecord("adult", {"rates": [0.2]}, "0", "now"))
    other.close()
    store = SqlStore(proxy.url)
    proxy.armed = True
    with pytest.raises(OptionError, match="a name of its own"):
        store.create_study(STUDY)
    store.close()


def test_an_interrupt_while_a_server_is_waited_for_ends_the_waiting(
    folder: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = threading.get_ident()
    store = SqlStore(url, note=lambda message: signal.pthread_kill(main, signal.SIGINT))
    monkeypatch.setattr(engine, "NOTICE", 0.2)
    store.create_study(STUDY)
    _postgres("stop", folder)
    with pytest.raises(KeyboardInterrupt):
        store.save_trials("adult", _trials(1))
    begun = time.monotonic()
    with pytest.raises(ConnectionLostError):
        store.trials("adult")
    assert time.monotonic() - begun < engine.PATIENCE / 2
    store.close()
