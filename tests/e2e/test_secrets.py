"""Whole studies whose URLs and environment hold secrets: none is found in the folder, the store or any output."""

from __future__ import annotations

import base64
import os
import urllib.parse
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import tenacity
from sqlalchemy import create_engine, make_url, text

from losssearch.cli.app import main
from losssearch.tracking import mlflow

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")]

SECRET = "Canary+7/Xq"
QUOTED = urllib.parse.quote(SECRET, "")
ENVIRONMENT = {name: f"Canary7{name}" for name in ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "PGPASSWORD")}
SOUGHT = [form.encode() for form in (SECRET, QUOTED, urllib.parse.quote(SECRET), *ENVIRONMENT.values())]

TRACKING = [
    "http://u:{}@127.0.0.1:1",
    "http://{}@127.0.0.1:1/path",
    "http://127.0.0.1:1/?token={}",
    "http://127.0.0.1:1/?password={}&a=b#{}",
    "postgresql+psycopg://u:{}@127.0.0.1:1/db",
    "postgresql+psycopg://127.0.0.1:1/db?user=u&password={}",
    "mysql+nodriver://u:{}@127.0.0.1:1/db",
    "sqlite:///{{out}}/tracked.db?password={}",
    "gopher://u:{}@host",
    "databricks://{}@host",
]
STORAGE = [
    "postgresql://u:{}@127.0.0.1:1/db",
    "postgresql+psycopg://u:{}@127.0.0.1:1/db?connect_timeout=1",
    "postgresql+psycopg://{}@127.0.0.1:1/db",
    "postgresql+psycopg://127.0.0.1:1/db?user=u&password={}",
    "postgresql+psycopg://127.0.0.1:1/db?sslpassword={}&sslmode=require",
    "postgresql+psycopg://127.0.0.1:1/db?options=-ctoken%3D{}",
    "postgresql+psycopg://127.0.0.1:1/db?unknown_key={}",
    "postgresql+psycopg://u:{}@127.0.0.1:x/db",
    "mysql://u:{}@host/db",
    "mssql+pyodbc:///?odbc_connect=PWD%3D{}",
    "sqlite:///{{out}}/own.db?password={}",
    "sqlite:///file:{{out}}/own.db?mode=ro&uri=true&key={}",
    "redis://:{}@host/0",
    "http://u:{}@host/?token={}",
    "password={} host=h",
]


@pytest.fixture
def account() -> Iterator[str]:
    """A PostgreSQL account whose password is the secret: the server's URL without user and password."""
    if "LOSSSEARCH_TEST_POSTGRES" not in os.environ:
        pytest.skip("LOSSSEARCH_TEST_POSTGRES names no server, so PostgreSQL is not tested")
    parsed = make_url(os.environ["LOSSSEARCH_TEST_POSTGRES"])
    admin = create_engine(parsed)
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE ROLE canary LOGIN PASSWORD '{SECRET}'"))
        connection.execute(text("CREATE DATABASE canary OWNER canary"))
    yield f"{parsed.host}:{parsed.port}/canary"
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("DROP DATABASE canary WITH (FORCE)"))
        connection.execute(text("DROP ROLE canary"))
    admin.dispose()


@pytest.fixture
def refusing() -> Iterator[str]:
    """A tracking server that answers each request with an error that repeats what it was asked: its address."""

    class Echo(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = f"no {self.path} for {self.headers.get('Authorization')}: http://u:{SECRET}@h".encode()
            self.send_response(403)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # a URI with a relative path is one of this folder
    monkeypatch.setattr(mlflow._opening, "stop", tenacity.stop_after_attempt(2))
    monkeypatch.setattr(mlflow._opening, "wait", tenacity.wait_none())
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def run(tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[..., int]:
    """Runs a small study; what it leaves, and all that it said, is searched for secrets."""
    out = tmp_path / "out"

    def run(*options: str) -> int:
        small = ["--trials", "4", "--epochs", "1", "--confirm-seeds", "2", "--workers", "0", "--out", str(out)]
        code = main(["search", "builtin:wine", "--target", "target", *small, *options])
        said = capfd.readouterr()
        everything = {"stdout": said.out.encode(), "stderr": said.err.encode(), "log": caplog.text.encode()}
        everything |= {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        everything["names"] = "\n".join(everything).encode()
        for place, content in everything.items():
            for secret in (*SOUGHT, *(base64.b64encode(secret) for secret in SOUGHT)):
                assert secret not in content, f"{secret!r} in {place}"
        assert said.err.count("losssearch: ") == (code != 0), said.err
        assert "Traceback" not in said.err or "LOSSSEARCH_DEBUG" in os.environ
        return code

    return run


def _url(form: str, tmp_path: Path, secret: str = QUOTED) -> str:
    return form.replace("{{out}}", str(tmp_path / "out")).replace("{}", secret)


@pytest.mark.parametrize("form", TRACKING)
def test_a_tracking_store_that_cannot_be_used(
    run: Callable[..., int], tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if TRACKING.index(form) % 2 == 0:
        monkeypatch.setenv("LOSSSEARCH_DEBUG", "1")  # with the traceback, causes included
    assert run("--tracking-uri", _url(form, tmp_path)) in (2, 4)


@pytest.mark.parametrize("form", STORAGE)
def test_a_store_that_cannot_be_used(run: Callable[..., int], tmp_path: Path, form: str) -> None:
    assert run("--no-mlflow", "--storage", _url(form, tmp_path)) in (2, 4)


@pytest.mark.parametrize("form", ["http://u:{}@", "http://{}@"])
def test_a_server_that_repeats_the_secret(run: Callable[..., int], refusing: str, form: str) -> None:
    assert run("--tracking-uri", form.format(QUOTED) + refusing) == 4


@pytest.mark.parametrize("by_query", [False, True])
def test_a_whole_study_and_its_resume(run: Callable[..., int], account: str, by_query: bool) -> None:
    url = f"postgresql+psycopg://canary:{QUOTED}@{account}"
    if by_query:
        url = f"postgresql+psycopg://{account}?user=canary&password={QUOTED}"
    stores = ("--storage", url, *(("--tracking-uri", url) if by_query else ()))
    assert run(*stores, "--study", "canary") == 0
    assert run(*stores, "--study", "canary", "--resume") == 0
    engine = create_engine(f"postgresql+psycopg://canary:{QUOTED}@{account}")
    with engine.connect() as connection:
        tables = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars().all()
        assert "losssearch_study" in tables
        for table in tables:
            rows = str(connection.execute(text(f'SELECT * FROM "{table}"')).all()).encode()
            assert not any(secret in rows for secret in SOUGHT), table
    engine.dispose()


@pytest.mark.parametrize(
    "uri", ["gopher://u:{}@host", "mysql+pymysql://u:{}@h/db", "//u:{}@host", "u:{}@host:5000", "sqlite:///{}"]
)
def test_a_tracking_uri_that_cannot_be_one_leaves_nothing(
    uri: str, tmp_path: Path, run: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Folder7Xq").mkdir()
    given = uri.format(tmp_path / "Folder7Xq" if uri.startswith("sqlite") else "Canary7Xq")
    assert run("--tracking-uri", given) == 2
    assert not (tmp_path / "out").exists()
