"""The command that serves the MLflow UI."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from losssearch.errors import DataError, OptionError
from losssearch.tracking.ui import free_port, serve_ui, ui_command, ui_environment


def test_the_command_serves_one_store_on_this_machine(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    command = ui_command(uri, tmp_path / "ml artifacts", port=5001)
    assert command[:4] == [sys.executable, "-m", "mlflow", "server"]
    options = dict(zip(command[4::2], command[5::2], strict=True))
    assert options == {
        "--backend-store-uri": uri,
        "--default-artifact-root": f"file://{tmp_path}/ml%20artifacts",
        "--host": "127.0.0.1",
        "--port": "5001",
        "--workers": "1",
    }
    assert ui_environment()["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    assert ui_environment()["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_a_missing_store_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no .*mlflow\.db: run `losssearch search` without --no-mlflow"):
        ui_command(f"sqlite:///{tmp_path}/mlflow.db", None)
    assert list(tmp_path.iterdir()) == []


def test_a_server_is_not_served_again() -> None:
    with pytest.raises(OptionError, match="open it in a browser"):
        ui_command("http://host:5000", None)
    said: list[str] = []
    serve_ui("http://me:secret@host:5000", echo=said.append)
    assert said == ["MLflow UI: http://***@host:5000"]


def test_a_taken_port_is_passed_over_or_refused(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port("127.0.0.1", port) != port
        with pytest.raises(OptionError, match=f"--port must be free, {port} on 127.0.0.1 is not"):
            serve_ui(f"sqlite:///{tmp_path}/mlflow.db", port=port)
    assert free_port("127.0.0.1", port) == port


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(OptionError, match=r"--host must be an address of this machine, got 192\.0\.2\.1"):
        free_port("192.0.2.1")


def test_the_assistant_runs_no_shell_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.assistant.providers.base import assistant_sandbox_enabled

    monkeypatch.delenv("MLFLOW_ENABLE_ASSISTANT_SANDBOX", raising=False)
    assert not assistant_sandbox_enabled()  # what MLflow does by itself
    for name, value in ui_environment().items():
        monkeypatch.setenv(name, value)
    assert assistant_sandbox_enabled()
