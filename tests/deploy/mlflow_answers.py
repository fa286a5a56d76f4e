"""MLflow's server as the service starts it, asked in this process: prints its answers as JSON, for test_mlflow.py."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

PROXY = {"X-Losssearch-Proxy": "the-proxy", "X-Losssearch-Team": "1", "X-Losssearch-Experiment": "losssearch/red"}
WORKER = ("losssearch", "the-worker")
API = "/mlflow/api/2.0/mlflow"
AJAX = "/mlflow/ajax-api/2.0/mlflow"


def main(folder: Path) -> None:
    """Start from an empty SQLite file in ``folder``, and ask as the worker, as the proxy and as strangers."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "deploy" / "tracking"))
    from start import prepare

    os.environ |= {
        "LOSSSEARCH_MLFLOW_DATABASE_URL": f"sqlite:///{folder}/mlflow.db",
        "LOSSSEARCH_MLFLOW_ADMIN_PASSWORD": "the-administrator",
        "LOSSSEARCH_MLFLOW_PASSWORD": WORKER[1],
        "LOSSSEARCH_MLFLOW_SECRET_KEY": "0123456789abcdef",
        "LOSSSEARCH_PROXY_SECRET": PROXY["X-Losssearch-Proxy"],
    }
    prepare()
    # What `mlflow server` sets for the processes that it starts.
    os.environ |= {
        "_MLFLOW_SERVER_FILE_STORE": os.environ["MLFLOW_BACKEND_STORE_URI"],
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "artifacts"),
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_STATIC_PREFIX": "/mlflow",
        "_MLFLOW_SGI_NAME": "uvicorn",
        "MLFLOW_SERVER_ALLOWED_HOSTS": "mlflow:5000",
    }
    from mlflow.server.auth import create_app
    from starlette.testclient import TestClient

    client = TestClient(create_app(), base_url="http://mlflow:5000")  # type: ignore[arg-type]
    answers: dict[str, Any] = {}

    def ask(name: str, method: str, path: str, **more: Any) -> Any:
        answer = client.request(method, path, **more)
        answers[name] = {"status": answer.status_code, "text": answer.text[:2000]}
        return answer

    def made(team: str) -> tuple[str, str]:
        body = {"name": f"losssearch/{team}"}
        experiment = ask("worker makes an experiment", "POST", f"{API}/experiments/create", json=body, auth=WORKER)
        identity = experiment.json()["experiment_id"]
        run = ask("worker makes a run", "POST", f"{API}/runs/create", json={"experiment_id": identity}, auth=WORKER)
        name = run.json()["run"]["info"]["run_id"]
        path = f"/mlflow-artifacts/artifacts/{identity}/{name}/artifacts/report.html"
        ask("worker keeps an artifact", "PUT", f"/api/2.0{path}", content=b"<p>hi", auth=WORKER)
        return identity, name

    red, blue = made("red"), made("blue")
    ask("health", "GET", "/mlflow/health")
    ask("stranger", "GET", "/mlflow/")
    ask("stranger with a wrong password", "GET", f"{API}/experiments/search?max_results=9", auth=("losssearch", "x"))
    ask("wrong host", "GET", "/mlflow/", headers=PROXY | {"Host": "evil"})
    ask("wrong proxy", "GET", "/mlflow/", headers=PROXY | {"X-Losssearch-Proxy": "x"})
    ask("proxy without a team", "GET", "/mlflow/", headers={"X-Losssearch-Proxy": "the-proxy"})
    ask("page", "GET", "/mlflow/", headers=PROXY)
    ask("experiments", "POST", f"{AJAX}/experiments/search", json={"max_results": 9}, headers=PROXY)
    for name, (experiment, run) in {"own": red, "other": blue}.items():
        path = f"{experiment}/{run}/artifacts/report.html"
        ask(f"{name} experiment", "GET", f"{AJAX}/experiments/get?experiment_id={experiment}", headers=PROXY)
        ask(f"{name} runs", "POST", f"{AJAX}/runs/search", json={"experiment_ids": [experiment]}, headers=PROXY)
        ask(f"{name} run", "GET", f"{AJAX}/runs/get?run_id={run}", headers=PROXY)
        ask(f"{name} artifact", "GET", f"/mlflow/get-artifact?path=report.html&run_uuid={run}", headers=PROXY)
        ask(f"{name} download", "GET", f"/api/2.0/mlflow-artifacts/artifacts/{path}", headers=PROXY)
    changes = {
        "make an experiment": ("POST", f"{API}/experiments/create", {"name": "losssearch/green"}),
        "delete an experiment": ("POST", f"{API}/experiments/delete", {"experiment_id": red[0]}),
        "log a metric": ("POST", f"{API}/runs/log-metric", {"run_id": red[1], "key": "f1", "value": 1, "timestamp": 0}),
        "upload an artifact": ("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{red[0]}/{red[1]}/artifacts/x", {}),
        "make a user": ("POST", f"{API}/users/create", {"username": "me", "password": "long-enough-1"}),
        "become an administrator": ("PATCH", f"{API}/users/update-admin", {"username": "team:1", "is_admin": True}),
        "start a job": ("POST", "/mlflow/ajax-api/3.0/jobs/", {"job_name": "x", "params": {}}),
        "configure the assistant": ("PUT", "/mlflow/ajax-api/3.0/mlflow/assistant/config", {}),
    }
    for name, (method, path, body) in changes.items():
        ask(name, method, path, json=body, headers=PROXY)
    answers["changes"] = list(changes)
    answers["pickles"] = os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"]
    sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
