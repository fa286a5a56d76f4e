"""``losssearch remote`` and ``losssearch token`` against a running API; a test plays the worker."""

from __future__ import annotations

import io
import json
import stat
import threading
import time
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from losssearch.cli import remote as command
from losssearch.cli.app import main
from losssearch.cli.remote_client import Remote, config_file
from losssearch.errors import InputError
from services import events, schema
from tests.services.api.serving import PASSWORD, TABLE, Running, folder_of

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command with a line on stdin: exit code, stdout, stderr."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("LOSSSEARCH_REMOTE_URL", raising=False)
    monkeypatch.chdir(tmp_path)

    def called(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return called


@pytest.fixture
def logged_in(run: Run, running: Running) -> Run:
    """The same after a login."""
    token = running.teams["red"].tokens["writer"]
    assert run("remote", "login", running.url, stdin=f"{token}\n")[0] == 0
    return run


def play_worker(running: Running, search: str, state: str) -> None:
    """What a worker writes: a stage, trials, a note, the result, the end."""

    def change(**values: Any) -> None:
        mine = update(schema.search).where(schema.search.c.id == search)
        values["revision"] = schema.search.c.revision + 1
        running.database.run(lambda c: c.execute(mine.values(values)))

    change(state="running", stage="search", total=8, done=3, best=0.75)
    running.database.run(lambda c: events.write(c, search, [events.Event("note", {"text": "a remark"}, key="n")]))
    folder = folder_of(running, search) / "export"
    folder.mkdir(parents=True)
    (folder / "loss.py").write_text("print('the loss')")
    (folder.parent / "result.json").write_text(json.dumps({"verdict": {"text": "It is better."}}))
    time.sleep(1.2)
    change(state=state, done=8, message="" if state == "done" else "why it ended so")


def test_a_search_from_login_to_the_loss(logged_in: Run, running: Running, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(TABLE)
    code, out, err = logged_in("remote", "submit", "people.csv", "--target", "income", "--trials", "8", "--drop", "sex")
    assert code == 0, err
    search = out.strip()
    assert "60 rows, 3 columns" in err
    with running.client() as client:
        made = client.get(f"/v1/searches/{search}").json()
    assert (made["name"], made["request"]) == ("people.csv", {"target": "income", "trials": 8, "drop": ["sex"]})
    worker = threading.Thread(target=play_worker, args=(running, search, "done"))
    worker.start()
    code, out, err = logged_in("remote", "watch", search)
    worker.join()
    assert (code, out) == (0, "It is better.\n")
    assert "a remark" in err
    assert "Searching 8/8: best 0.75" in err
    code, out, _ = logged_in("remote", "get", search, "--out", "mine")
    assert (code, out) == (0, "It is better.\n")
    assert (tmp_path / "mine" / "loss.py").read_text() == "print('the loss')"
    code, _, err = logged_in("remote", "get", search, "--out", "mine")
    assert (code, "does not exist yet" in err) == (2, True)


@pytest.mark.parametrize(("state", "exit_code"), [("failed", 2), ("unmet", 3), ("cancelled", 130)])
def test_watching_ends_as_the_search_would_have(
    logged_in: Run, running: Running, ready: str, state: str, exit_code: int
) -> None:
    search = logged_in("remote", "submit", ready, "--target", "income", "--name", "other")[1].strip()
    play_worker(running, search, state)
    code, _, err = logged_in("remote", "watch", search)
    assert code == exit_code
    assert f"{state}: why it ended so" in err


def test_cancelling(logged_in: Run, ready: str) -> None:
    search = logged_in("remote", "submit", ready, "--target", "income")[1].strip()
    assert logged_in("remote", "cancel", search)[:2] == (0, "cancelled\n")


def test_the_token_is_kept_for_its_owner_alone(run: Run, running: Running) -> None:
    code, _, err = run("remote", "login", running.url, "--user", "red-member", stdin=f"{PASSWORD}\n")
    assert (code, "red-member may write" in err) == (0, True), err
    kept = config_file()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    token = json.loads(kept.read_text())["token"]
    assert token not in err
    assert token not in repr(Remote.known())
    code, out, _ = run("token", "list", "--json")
    listed = [one for one in json.loads(out) if one["name"].startswith("losssearch remote on")]
    assert (code, len(listed), listed[0]["scope"]) == (0, 1, "write")
    made = run("token", "create", "for a script", "--scope", "read", "--expires", "1h")
    assert made[1].startswith("ls_")
    assert "for a script" in run("token", "list")[1]
    assert run("token", "revoke", listed[0]["id"])[0] == 0
    code, _, err = run("token", "list")
    assert (code, "this token was revoked" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("login", "http://loss.example"), "must be https://HOST"),
        (("login", "https://user:secret@loss.example"), "must be https://HOST"),
        (("login", "ftp://loss.example"), "must be https://HOST"),
        (("login", "https://loss.example"), "token must be given"),
        (("watch", "0" * 32), "losssearch remote login URL"),
    ],
)
def test_what_cannot_be_asked(run: Run, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = run("remote", *arguments)
    assert (code, out, said in err, err.count("\n")) == (2, "", True, 1), err


def test_what_the_service_refuses_is_one_line(logged_in: Run, ready: str) -> None:
    for arguments, said in (
        (("submit", ready, "--target", "incme"), "target: unknown column 'incme'; did you mean income?"),
        (("submit", ready, "--target", "income", "--model", "os:system"), "model must be one of"),
        (("submit", "missing.csv", "--target", "y"), "no such file: missing.csv"),
        (("cancel", "0" * 32), "there is no search"),
        (("get", "0" * 32), "there is no search"),
    ):
        code, _, err = logged_in("remote", *arguments)
        assert (code, said in err, err.count("\n")) == (2, True, 1), err


def test_a_redirect_does_not_take_the_token_elsewhere() -> None:
    asked: list[str] = []

    class Redirecting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(307)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Redirecting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(InputError, match="307"):
            Remote(f"http://127.0.0.1:{server.server_port}", "ls_token").ask("GET", "/v1/session")
        server.shutdown()
    assert asked == ["/v1/session"]


def test_a_bundle_is_unpacked_under_plain_names(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as written:
        for name in ("bundle/loss.py", "../evil", "/etc/evil", "bundle/../evil", "bundle/a/b", "bundle/.hidden"):
            written.writestr(name, "x")
    command._unpack(archive.getvalue(), tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["loss.py"]
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
