"""The service's settings: read from the environment, checked, and never shown with a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from losssearch.errors import OptionError
from losssearch.redaction import redact
from services.settings import Settings, read_size

KEY = "0123456789abcdefghijklmnopqrstuvwxyzA"
SECRET = "hunter-2-hunter"


def test_defaults_are_a_service_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = Settings.from_environment({})
    assert found.database_url == f"sqlite:///{tmp_path}/losssearch-service/service.db"
    assert found.storage == f"sqlite:///{tmp_path}/losssearch-service/studies.db"
    assert found.searches == Path("losssearch-service/searches")
    assert (found.slots, found.tracking_uri, found.secure, found.proxies) == (1, None, False, ())


def test_secrets_come_from_variables_or_files_and_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{KEY}\n")
    found = Settings.from_environment(
        {
            "LOSSSEARCH_DATABASE_URL": f"postgresql://ls:{SECRET}@db/ls",
            "LOSSSEARCH_TRACKING_URI": "https://mlflow:5000",
            "LOSSSEARCH_TRACKING_PASSWORD_FILE": str(tmp_path / "password"),
            "LOSSSEARCH_CHILD_MEMORY": "1.5 GB",
            "LOSSSEARCH_HOSTS": "loss.example.org, localhost",
            "LOSSSEARCH_PROXIES": "10.0.0.0/8, ::1",
        }
    )
    assert found.database_url == f"postgresql+psycopg://ls:{SECRET}@db/ls"
    assert found.storage == found.database_url
    assert (found.tracking_password, found.child_memory) == (KEY, 3 << 29)
    assert found.hosts == ("loss.example.org", "localhost")
    assert found.proxies == ("10.0.0.0/8", "::1")
    for shown in (repr(found), str(found), redact(f"{KEY} {SECRET}")):
        assert KEY not in shown
        assert SECRET not in shown


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DATABASE_URL", "mysql://ls:hunter-2-x@db/ls", r"must be sqlite:///FILE or postgresql.*got mysql://"),
        ("DATABASE_URL", "sqlite://", r"must be sqlite:///FILE"),
        ("DATABASE_URL", "nonsense", r"got something that is no URL"),
        ("SLOTS", "0", r"SLOTS must be a whole number from 1 to 1024, got '0'"),
        ("SLOTS", "two", r"got 'two'"),
        ("CHILD_MEMORY", "much", r"must be a number of bytes such as 4G or 512M, got 'much'"),
        ("TRACKING_PASSWORD_FILE", "/nowhere/key", r"must name a file of text that can be read"),
        ("HOSTS", "http://x/y", r"must be host names separated by commas"),
        ("PROXIES", "10.0.0.0/8 proxy", r"PROXIES must be addresses or networks such as 10.0.0.0/8"),
        ("PUBLIC_URL", "ftp://x", r"must be http://HOST or https://HOST, got ftp://x"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused_in_a_line(name: str, value: str, said: str) -> None:
    with pytest.raises(OptionError, match=said) as refused:
        Settings.from_environment({f"LOSSSEARCH_{name}": value})
    assert "\n" not in str(refused.value)
    assert "hunter" not in str(refused.value)


def test_a_secret_that_is_given_twice_is_refused() -> None:
    with pytest.raises(OptionError, match="must be given once, got it and LOSSSEARCH_TRACKING_PASSWORD_FILE too"):
        Settings.from_environment({"LOSSSEARCH_TRACKING_PASSWORD": KEY, "LOSSSEARCH_TRACKING_PASSWORD_FILE": "/a"})


def test_sizes() -> None:
    assert [read_size(text) for text in ("7", "2k", "512 MB", "4GiB")] == [7, 2048, 512 << 20, 4 << 30]


def test_metrics_are_open_only_where_the_settings_say_so() -> None:
    usual = {"LOSSSEARCH_DATA_DIR": "/data"}
    assert not Settings.from_environment(usual).open_metrics
    assert Settings.from_environment(usual | {"LOSSSEARCH_OPEN_METRICS": "1"}).open_metrics
    with pytest.raises(OptionError, match="must be 0 or 1"):
        Settings.from_environment(usual | {"LOSSSEARCH_OPEN_METRICS": "yes"})
