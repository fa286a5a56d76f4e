"""What the process of a study is given: an environment with nothing of the service's own, and its job."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from services.queue import Claim
from services.settings import Settings

KEPT = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH"),
    *("MPLCONFIGDIR", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
    *("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_USAGE_STATS_ENABLED"),
)
"""Variables of the worker that a study needs too. Its secrets are not among them, but Ray's."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def environment_of(settings: Settings, given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a study's process."""
    made = {name: given[name] for name in KEPT if name in given}
    made |= dict.fromkeys(THREADS, str(settings.child_cpus))
    made |= {"PYTHONUNBUFFERED": "1", "MPLBACKEND": "Agg", "DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    if settings.tracking_username is not None:
        made["MLFLOW_TRACKING_USERNAME"] = settings.tracking_username
    if settings.tracking_password is not None:
        made["MLFLOW_TRACKING_PASSWORD"] = settings.tracking_password
    return made


def job_of(settings: Settings, claim: Claim) -> dict[str, Any]:
    """What the process of a study reads from its standard input, as JSON. It holds the secrets of the study's store."""
    return {
        "parent": os.getpid(),
        "search": claim.search,
        "attempt": claim.attempt,
        "request": claim.request,
        "data": str((settings.datasets / f"{claim.dataset}.parquet").resolve()),
        "data_name": claim.dataset_name,
        "out": str((settings.searches / claim.search).resolve()),
        "storage": settings.storage,
        "tracking_uri": settings.tracking_uri,
        "experiment": f"losssearch/{claim.team_name}",
        "ray_address": settings.ray_address,
        "memory": settings.child_memory,
    }
