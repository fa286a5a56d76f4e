"""Whether a standing Ray cluster takes our token: asked once, as Ray itself tries for 20 s, with a line a second."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from losssearch.errors import ConnectionLostError

QUESTION = "/ray.rpc.NodeInfoGcsService/GetClusterId"
"""A call of the cluster's head that needs no arguments."""


def check_token(address: str) -> None:
    """Raise `ConnectionLostError` if the head at ``address`` (``host:port``) refuses our token, or the lack of one.

    Any other answer, or none, is left to Ray.
    """
    if "://" in address or ":" not in address:
        return
    try:
        grpc: Any = import_module("grpc")
    except ImportError:  # it comes with ray[default]
        return
    token = _token()
    channel = grpc.insecure_channel(address)
    try:
        ask = channel.unary_unary(QUESTION, request_serializer=bytes, response_deserializer=bytes)
        ask(b"", timeout=5, metadata=[("authorization", f"Bearer {token}")] if token else [])
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            raise ConnectionLostError(wants_token(address)) from None
    finally:
        channel.close()


def wants_token(address: str | None) -> str:
    """What to say of a cluster that refuses us."""
    return (
        f"the Ray cluster at {address} must be given its token, and was given {'a wrong one' if _token() else 'none'}: "
        "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
    )


def _token() -> str:
    """The token that Ray would send: out of the environment, or of a file."""
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        return ""
    path = os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token"
    try:
        return os.environ.get("RAY_AUTH_TOKEN") or Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
