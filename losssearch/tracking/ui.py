"""The MLflow UI on a study's tracking store, on this machine only unless asked otherwise."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from losssearch.errors import ConnectionLostError, DataError, OptionError
from losssearch.redaction import redact_url
from losssearch.tracking.location import file_of

PORT = 5000
_START_WITHIN = 90.0
_END_WITHIN = 10.0


def ui_command(tracking_uri: str, artifacts: Path | None, host: str = "127.0.0.1", port: int = PORT) -> list[str]:
    """The command that serves the UI of a database store.

    Run it with `ui_environment`. ``artifacts`` is where experiments made in the UI keep their files.

    Raises:
        DataError: there is no such SQLite file, so nothing to look at.
        OptionError: the URI is a server's, which has a UI of its own, or MLflow is not installed.
    """
    if tracking_uri.startswith(("http://", "https://")):
        raise OptionError(
            f"the UI needs a store that is no server, got {redact_url(tracking_uri)}: open it in a browser"
        )
    if importlib.util.find_spec("mlflow") is None:
        raise OptionError("the UI needs mlflow, which is not installed: pip install mlflow")
    file = file_of(tracking_uri)
    if file is not None and not file.is_file():
        raise DataError(
            f"the UI shows the tracking store of a study, there is no {file}: "
            "run `losssearch search` without --no-mlflow, or name the folder of a study"
        )
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracking_uri]
    if artifacts is not None:
        command += ["--default-artifact-root", artifacts.resolve().as_uri()]
    return [*command, "--host", host, "--port", str(port), "--workers", "1"]


def ui_environment() -> dict[str, str]:
    """The environment for `ui_command`: no telemetry, no unpickling, no background jobs, no shell."""
    return {
        **os.environ,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # Its assistant runs a shell for whoever reaches the port, as all users of this machine do: only in a container.
        "MLFLOW_ENABLE_ASSISTANT_SANDBOX": "true",
        "PYTHONSAFEPATH": "1",  # it runs in the study's folder, whose files are not code
    }


def free_port(host: str = "127.0.0.1", preferred: int = PORT) -> int:
    """``preferred`` where it is free on ``host``, else one that the system picks.

    Raises:
        OptionError: this machine has no such address.
    """
    for port in (preferred, 0):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                if port == 0:
                    raise OptionError(f"--host must be an address of this machine, got {host}: {error}") from None
                continue
            return int(probe.getsockname()[1])
    raise AssertionError("unreachable")


def serve_ui(
    tracking_uri: str,
    artifacts: Path | None = None,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    experiment: str = "losssearch",
    echo: Callable[[str], object] = print,
) -> None:
    """Serve the UI until Ctrl-C or SIGTERM; ``echo`` gets one line with its address once it answers.

    The address is that of the table of runs of ``experiment``, where there is such an experiment.

    A tracking server is not served again, only its address is told. ``port`` None takes 5000, or a free one.

    Raises:
        DataError: there is nothing to show; see `ui_command`.
        OptionError: ``port`` is taken, or the host is not this machine's.
        ConnectionLostError: the UI ended by itself.
    """
    if tracking_uri.startswith(("http://", "https://")):
        echo(f"MLflow UI: {redact_url(tracking_uri)}")
        return
    found = free_port(host, PORT if port is None else port)
    if port not in (None, 0, found):
        raise OptionError(f"--port must be free, {port} on {host} is not: leave it out to take one that is")
    command = ui_command(tracking_uri, artifacts, host, found)
    file = file_of(tracking_uri)  # a study's store tells where files lie relative to its own folder
    address = f"http://{f'[{host}]' if ':' in host else host}:{found}"
    with tempfile.TemporaryFile() as log, _stopped_by_signals():
        process = subprocess.Popen(  # noqa: S603  (our own command, no shell)
            command,
            env=ui_environment(),
            cwd=None if file is None else file.parent,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            _wait_until_up(process, address)
            if process.poll() is None:
                echo(f"MLflow UI: {address}/{_runs_page(address, experiment)} (Ctrl-C ends it)")
            process.wait()
            log.seek(0)
            said = log.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
            raise ConnectionLostError(
                f"the MLflow UI must keep running, it ended with {process.returncode}: {said[-1]}"
            )
        except KeyboardInterrupt:
            return
        finally:
            _end(process)


def _wait_until_up(process: subprocess.Popen[bytes], address: str) -> None:
    until = time.monotonic() + _START_WITHIN
    while process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):  # noqa: S310  (our own http address)
                return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > until:
                raise ConnectionLostError(f"the MLflow UI must answer within {_START_WITHIN:.0f} s") from None
            time.sleep(0.1)


def _runs_page(address: str, experiment: str) -> str:
    query = urllib.parse.urlencode({"experiment_name": experiment})
    try:
        with urllib.request.urlopen(  # noqa: S310  (our own http address)
            f"{address}/api/2.0/mlflow/experiments/get-by-name?{query}", timeout=10
        ) as answer:
            number = json.load(answer)["experiment"]["experiment_id"]
    except (OSError, ValueError, KeyError):
        return ""
    return f"#/experiments/{number}/runs?workflowType=machine_learning"


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(process: subprocess.Popen[bytes]) -> None:
    # The server is a group of processes, all of which must end with us.
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
            process.wait(_END_WITHIN)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
