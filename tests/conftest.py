"""What every test relies on: one thread, no telemetry, seeded property tests, and the shared data sets."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

# Before anything imports torch, ray or mlflow: they read these once.
os.environ.update(
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    OPENBLAS_NUM_THREADS="1",
    MPLBACKEND="Agg",
    DO_NOT_TRACK="true",
    MLFLOW_DISABLE_TELEMETRY="true",
    RAY_USAGE_STATS_ENABLED="0",
    COLUMNS="120",
    NO_COLOR="1",
)

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "repeatable",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")


def pytest_configure() -> None:
    """One thread a process: tests share the cores, and sums are added in one order. Programs can be interrupted."""
    import torch

    torch.set_num_threads(1)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts its background jobs so, and the programs under test would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", autouse=True)
def signal_handlers() -> Iterator[None]:
    """A file's tests leave the handlers of signals as they were: a cluster in this process sets its own for good."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of larger data sets: ``$LOSSSEARCH_DATA``, else ``../shared/data`` beside the repository."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("LOSSSEARCH_DATA") or root.parent / "shared" / "data")
    if not (folder / "parquet").is_dir():
        pytest.skip(f"no data sets at {folder}: set LOSSSEARCH_DATA to the folder that holds parquet/")
    return folder
