"""Secrets are taken out of every text, whatever their form, and nothing else is."""

from __future__ import annotations

import logging
import pickle
import re
import sys
import urllib.parse
import warnings

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from losssearch import redaction
from losssearch.errors import ConnectionLostError
from losssearch.redaction import _KNOWN, guarded, redact, redacted, redacted_cause, remember

SECRET = "Canary7Xq"


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret that one test remembers is found by another."""
    monkeypatch.setattr(redaction, "_urls", {})
    monkeypatch.setattr(redaction, "_values", set())
    monkeypatch.setattr(redaction, "_by_value", None)


FORMS = [
    "http://u:{}@host:5000",
    "https://{}@host/path",
    "https://{}:x-oauth-basic@host",
    "https://{}:@host",
    "http://u:{}/w@host/db",
    "http://u:12/{}@host/db",
    "http://u:p@ss{}@host/db",
    "http://u:a?b#{}@host/db",
    "http://u:p'w\"{}@host/db",
    "http://host/?password={}",
    "http://host/?a=1;token={}&b=2",
    "http://host/#access_token={}",
    "http://host/?{}",
    "https://bucket.s3.amazonaws.com/x?X-Amz-Signature={}&X-Amz-Credential=a",
    "https://x.blob.core.windows.net/c?sv=2022&sig={}",
    "postgresql://u:{}@host:5432/db",
    "postgresql+psycopg://u:{}@/db?host=/run/postgresql",
    "postgresql+psycopg://host/db?user=u&password={}",
    "postgresql://host/db?sslmode=require&sslpassword={}",
    "postgres://{}@host/db",
    "mysql+pymysql://u:{}@host/db",
    "mssql+pyodbc:///?odbc_connect=DRIVER%3DX%3BPWD%3D{}",
    "sqlite:////tmp/study.db?password={}",
    "sqlite:///file:study.db?key={}&uri=true",
    "file:///tmp/store?token={}",
    "file:/tmp/store?token={}",
    "databricks://token:{}@host",
    "s3://AKIA:{}@bucket/key",
    "dbfs://u:{}@host",
    "u:{}@host/db",
    "//u:{}@host/db",
    "//{}@host/db",
    "http:/u:{}@host/data.csv",
    "s3:/{}@bucket/data.csv",
    "host=localhost user=u password={} dbname=d",
    "host=localhost password = '{} x' dbname=d",
    "Server=h;Uid=u;Pwd={};",
    "connection to server failed: password='{}'",
    "{{'user': 'u', 'password': '{}'}}",
    '{{"token": "{}"}}',
    "HTTPConnectionPool(host='h', port=80): Max retries exceeded with url: /api/2.0/x?token={} (Caused by E)",
    "Authorization: Basic {}",
    "{{'Authorization': 'Bearer {}'}}",
    "header Bearer {} refused",
    "first http://u:{0}@a/b, then postgresql://v:{0}@c/d.",
    "MLFLOW_TRACKING_TOKEN={}",
]


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_taken_out_of_every_form(form: str) -> None:
    for text in (form.format(SECRET), f"the store {form.format(SECRET)!r} was not (reachable): mend it"):
        shown = redact(text)
        assert SECRET not in shown
        assert redact(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:////a:b/c@d.db",
        "sqlite:////tmp/runs/mlflow.db",
        "http://host:5000",
        "the UI needs a store that is no server, got http://127.0.0.1:5000/: open it in a browser",
        "postgresql+psycopg://host:5432/db?sslmode=require&connect_timeout=5",
        "--storage must be sqlite:///FILE or postgresql+psycopg://USER/DATABASE",
        "focal(gamma=1.5) + 0.3*dice, decision=tuned",
        "password authentication failed for user",
        "set RAY_AUTH_MODE=on, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH",
        "is there a store at http://host/x?",
        "demographic_parity_difference <= 0.05 at 12:30",
        "Basic understanding of a bearer instrument",
    ],
)
def test_a_text_without_secrets_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://me:secret@host:5432/db?a=b", "postgresql://me:***@host:5432/db?a=***"),
        ("https://me:secret@host/x#y", "https://***@host/x#***"),
    ],
)
def test_what_helps_stays_readable(url: str, expected: str) -> None:
    assert redact(url) == expected


_plain = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), min_size=1)


@given(st.text(), _plain, st.sampled_from(["http", "postgresql+psycopg", "mysql", "gopher"]))
def test_any_password_of_a_url_is_hidden_and_redaction_is_idempotent(text: str, password: str, scheme: str) -> None:
    assert redact(redact(text)) == redact(text)
    assume(not re.search(_KNOWN, password))  # there a further URL begins
    for form in (password + SECRET + password, urllib.parse.quote(password + SECRET, "")):
        shown = redact(f"no answer from {scheme}://me:{form}@host.example/db in 3 tries")
        assert SECRET not in shown
        assert redact(shown) == shown


@pytest.mark.parametrize("password", ["with spaceX1", "p@:/?#[]!%X", "CanarY", "a+b&c=dX"])
def test_a_remembered_secret_is_hidden_wherever_it_stands(password: str) -> None:
    quoted = urllib.parse.quote(password, "")
    remember(f"postgresql://u:{quoted}@host/db")
    remember(f"http://host/?k={urllib.parse.quote_plus(password)}")
    for form in (password, quoted, urllib.parse.quote_plus(password)):
        assert form not in redact(f"bad auth with ({form}) given")


def test_a_part_of_a_password_that_a_driver_takes_for_the_host_is_hidden() -> None:
    remember(f"postgresql://u:a@b{SECRET}@127.0.0.1/db")
    assert SECRET not in redact(f"failed to resolve host 'b{SECRET}@127.0.0.1'")


@pytest.mark.parametrize(
    "name", ["DB_PASS", "MY_PW", "DB_PWD", "SSH_PASSPHRASE", "SESSION_KEY", "DJANGO_SECRET_KEY", "PGPASSWORD"]
)
def test_a_secret_of_the_environment_is_known_by_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "env7Secret")
    with guarded():
        assert redact("cannot connect with env7Secret") == "cannot connect with ***"


def test_the_password_of_a_url_in_the_environment_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://u:env7Secret@host/db")
    monkeypatch.setenv("PWD", "/home/somebody")
    with guarded():
        assert redact("in /home/somebody: u/env7Secret was refused") == "in /home/somebody: u/*** was refused"


def test_an_ordinary_word_as_a_password_does_not_blacken_messages() -> None:
    remember("postgresql://losssearch:losssearch@host/losssearch")
    remember("http://admin:postgres@host")
    text = "run `losssearch search` beside postgres"
    assert redact(text) == text


def test_json_keeps_its_shape() -> None:
    value = {"token": 1, "a": [f"http://u:{SECRET}@h", None, 0.5, True], "b": (f"password={SECRET}",)}
    assert redacted(value) == {"token": 1, "a": ["http://***@h", None, 0.5, True], "b": ("password=***",)}


def test_every_error_of_ours_is_redacted_and_survives_a_pickle() -> None:
    error = ConnectionLostError(f"no answer from http://u:{SECRET}@host")
    assert str(error) == "no answer from http://***@host"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    cause = redacted_cause(ValueError(f"http://u:{SECRET}@host"))
    assert str(cause) == "ValueError: http://***@host"


def _fail() -> None:
    raise ValueError(f"http://u:{SECRET}@h") from KeyError("env7Secret")


def test_logs_and_warnings_of_libraries_are_redacted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "env7Secret")
    logger = logging.getLogger("some.library")
    handler = logging.StreamHandler(sys.stderr)
    logger.addHandler(handler)
    monkeypatch.setattr(logger, "propagate", False)
    try:
        with guarded(), warnings.catch_warnings():
            warnings.simplefilter("always")
            logger.warning("retrying %s with %s", f"http://u:{SECRET}@h", {"pw": "env7Secret"})
            try:
                _fail()
            except ValueError:
                logger.exception("lost")
            sys.stderr.write(warnings.formatwarning(f"token={SECRET}", UserWarning, "f.py", 1))
    finally:
        logger.removeHandler(handler)
    shown = capsys.readouterr().err
    assert shown.count("***") >= 4
    assert SECRET not in shown
    assert "env7Secret" not in shown
