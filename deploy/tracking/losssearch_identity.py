"""Who a request to MLflow comes from: MLflow's ``authorization_function`` in the composed service.

Three kinds of caller reach this server:

- **The proxy**, for a person whom the API knows. It names the person's team with its experiment, and proves itself by a
  secret. The person reads that experiment, and nothing else.
- **A worker**, with its own account. It makes the experiments, so MLflow lets it write to them.
- **The administrator**, with MLflow's own account.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import time

from flask import Response, request
from werkzeug.datastructures import Authorization

WORKER = "losssearch"
"""The account of the workers."""

_LOOK_AGAIN = 10.0
"""Seconds after which a team without an experiment is looked for again."""

_READS = re.compile(
    r"(/mlflow)?/(graphql|(ajax-)?api/[23]\.0/?mlflow/("
    r"(experiments|runs|logged-models|registered-models|model-versions|datasets|issues|traces)/search"
    r"|experiments/search-datasets|traces/batchGetInfos|traces/calculate-filter-correlation"
    r"|registered-models/get-latest-versions))"
)
"""The requests by POST that change nothing: MLflow's pages search with them."""

_known: set[str] = set()
_granted: dict[str, float] = {}


def authenticate() -> Authorization | Response:
    """Say who sends the request that is handled now.

    Returns:
        The account, or the answer 401 or 403.

    Raises:
        KeyError: ``LOSSSEARCH_PROXY_SECRET`` or ``LOSSSEARCH_MLFLOW_PASSWORD`` is not set.
    """
    from mlflow.server.auth import authenticate_request_basic_auth

    proof = request.headers.get("X-Losssearch-Proxy")
    if proof is not None:
        return _person(proof)
    sent = request.authorization
    if sent is not None and sent.username == WORKER:
        if not _same(sent.password or "", os.environ["LOSSSEARCH_MLFLOW_PASSWORD"]):
            return _refused(401, "wrong password")
        _make_account(WORKER)
        return sent
    answer: Authorization | Response = authenticate_request_basic_auth()
    return answer


def _person(proof: str) -> Authorization | Response:
    if not _same(proof, os.environ["LOSSSEARCH_PROXY_SECRET"]):
        return _refused(401, "the proxy must prove itself")
    team, experiment = (request.headers.get(f"X-Losssearch-{name}", "") for name in ("Team", "Experiment"))
    if not team or not experiment:
        return _refused(403, "the API named no team")
    if request.method not in {"GET", "HEAD", "OPTIONS"} and not _READS.fullmatch(request.path):
        return _refused(403, "MLflow is for reading here: searches are started and deleted in losssearch")
    account = f"team:{team}"
    _make_account(account)
    _let_read(account, experiment)
    return Authorization("basic", {"username": account, "password": ""})


def _make_account(name: str) -> None:
    """An account that nobody enters by its password."""
    if name in _known:
        return
    from mlflow.exceptions import MlflowException
    from mlflow.server.auth import store

    if not store.has_user(name, use_primary=True):
        try:
            store.create_user(name, secrets.token_hex(32))
        except MlflowException:  # made by another process meanwhile
            if not store.has_user(name, use_primary=True):
                raise
    _known.add(name)


def _let_read(account: str, experiment: str) -> None:
    if _granted.get(account, 0.0) > time.monotonic():
        return
    from mlflow.server.auth import store
    from mlflow.server.auth.permissions import READ
    from mlflow.server.handlers import _get_tracking_store

    found = _get_tracking_store().get_experiment_by_name(experiment)
    if found is not None:
        store.grant_user_permission(account, "experiment", found.experiment_id, READ.name)
    _granted[account] = time.monotonic() + _LOOK_AGAIN


def _same(sent: str, expected: str) -> bool:
    return bool(expected) and hmac.compare_digest(sent.encode(), expected.encode())


def _refused(status: int, reason: str) -> Response:
    return Response(f"{reason}\n", status=status, mimetype="text/plain")
