"""Starts MLflow's server in the composed service: upgrades its database, writes its settings of access, and becomes it.

Reads ``LOSSSEARCH_MLFLOW_HOSTS``, and as secrets, each also as ``…_FILE``: ``LOSSSEARCH_MLFLOW_DATABASE_URL``,
``LOSSSEARCH_MLFLOW_ADMIN_PASSWORD``, ``LOSSSEARCH_MLFLOW_PASSWORD`` (of the workers), ``LOSSSEARCH_MLFLOW_SECRET_KEY``
and ``LOSSSEARCH_PROXY_SECRET``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

SETTINGS = """\
[mlflow]
default_permission = NO_PERMISSIONS
grant_default_workspace_access = false
database_uri = {database}
admin_username = admin
authorization_function = losssearch_identity:authenticate
auth_cache_ttl_seconds = 30
"""


def secret(name: str) -> str:
    """Read a secret from the environment, or from the file that ``NAME_FILE`` names; put it into the environment.

    Raises:
        SystemExit: it is set nowhere.
    """
    if path := os.environ.get(f"{name}_FILE"):
        os.environ[name] = Path(path).read_text(encoding="utf-8").strip()
    if not os.environ.get(name):
        sys.exit(f"{name} or {name}_FILE must be set")
    return os.environ[name]


def prepare() -> None:
    """Put the settings of the server into the environment, and bring its tables to this version.

    Raises:
        SystemExit: a secret is set nowhere.
    """
    database = secret("LOSSSEARCH_MLFLOW_DATABASE_URL")
    secret("LOSSSEARCH_MLFLOW_PASSWORD")
    secret("LOSSSEARCH_PROXY_SECRET")
    path = [str(Path(__file__).resolve().parent), os.environ.get("PYTHONPATH", "")]
    os.environ |= {
        "MLFLOW_AUTH_ADMIN_PASSWORD": secret("LOSSSEARCH_MLFLOW_ADMIN_PASSWORD"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secret("LOSSSEARCH_MLFLOW_SECRET_KEY"),
        "MLFLOW_BACKEND_STORE_URI": database,  # not on the command line, where every process sees it
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_BASIC_AUTH_FAIL_CLOSED": "true",
        "MLFLOW_ENABLE_REMOTE_ASSISTANT": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
    }
    with tempfile.NamedTemporaryFile("w", prefix="mlflow-", suffix=".ini", delete=False) as settings:  # mode 600
        settings.write(SETTINGS.format(database=database.replace("%", "%%")))
    os.environ["MLFLOW_AUTH_CONFIG_PATH"] = settings.name
    upgrade = "import os, mlflow.cli; mlflow.cli.cli(['db', 'upgrade', os.environ['MLFLOW_BACKEND_STORE_URI']])"
    subprocess.run([sys.executable, "-c", upgrade], check=True)  # noqa: S603  (our own words)


def main(arguments: list[str]) -> None:
    """Become the server; ``arguments`` are added to those of ``mlflow server``."""
    hosts = os.environ["LOSSSEARCH_MLFLOW_HOSTS"]
    prepare()
    server = ["-m", "mlflow", "server", "--app-name=basic-auth", "--static-prefix=/mlflow", f"--allowed-hosts={hosts}"]
    os.execv(sys.executable, [sys.executable, *server, "--serve-artifacts", *arguments])  # noqa: S606  (no shell)


if __name__ == "__main__":
    main(sys.argv[1:])
