"""The connection to Ray: opening, watching and closing it, none of which may hang."""

from __future__ import annotations

import atexit
import importlib
import logging
import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from losssearch import stopping
from losssearch.errors import ConnectionLostError
from losssearch.execution.resources import WorkerResources
from losssearch.execution.token import check_token, wants_token
from losssearch.option_names import option

PATIENCE = 30.0
"""Seconds without a word of the cluster's head after which it counts as lost; Ray ends the process after 60."""

INTERVAL = 2.0
"""Seconds between two looks at the cluster."""

CLOSING = 15.0
"""Seconds that Ray's own shutdown may take."""

RAY_CONSTANTS = "ray._private.ray_constants"

SAVED = f"the study is saved; {option('resume', True)} continues it"


def connect(address: str | None, workers: int, resources: WorkerResources) -> None:
    """Join the cluster at ``address``, or start one on this machine; raise `ConnectionLostError` if that fails."""
    import ray

    mask = os.umask(0o077)  # Ray writes its token file with the process's mask
    stack = ExitStack()
    try:
        _knock(address)
        # Ray's own handler of SIGTERM would end this process with a stack trace.
        stack.enter_context(_set(RAY_CONSTANTS, RAY_DISABLE_FAILURE_SIGNAL_HANDLER=True))
        if address:
            check_token(address)
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        else:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            with _set(RAY_CONSTANTS, ENABLE_RAY_CLUSTER=False):  # the cluster listens on loopback only
                ray.init(
                    address="local",  # else it would join a cluster that someone else started on this machine
                    num_cpus=max(1, math.ceil(workers * resources.cpus)),
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            _check_loopback(ray)
    except ray.exceptions.AuthenticationError as error:
        raise ConnectionLostError(wants_token(address)) from error
    except ConnectionLostError:
        raise
    except Exception as error:  # what Ray raises of a start that failed is often an `Exception` and no more
        raise ConnectionLostError(
            f"Ray could not be reached at {address or 'this machine'}: {_first_line(error)}"
        ) from error
    finally:
        stack.close()
        os.umask(mask)


def disconnect() -> None:
    """Leave the cluster, and end it if it is ours; give up after `CLOSING` seconds, or where the stop is urgent."""
    import ray

    ending = threading.Thread(target=ray.shutdown, name="ray-shutdown", daemon=True)
    ending.start()
    until = time.monotonic() + CLOSING
    while ending.is_alive() and time.monotonic() < until and not stopping.current().urgent:
        ending.join(0.05)
    if ending.is_alive():
        atexit.unregister(ray.shutdown)  # it would hang once more
        stopping.leave_behind("the end of a Ray cluster")


@contextmanager
def _set(module: str, **values: object) -> Iterator[None]:
    """Settings of Ray that only its environment variables reach, and those only before it is imported."""
    names = vars(importlib.import_module(module))
    before = {name: names[name] for name in values}
    names.update(values)
    try:
        yield
    finally:
        names.update(before)


def _check_loopback(ray: Any) -> None:
    """Raise `ConnectionLostError`, the cluster ended, where it can be reached from other machines."""
    found = {node["NodeManagerAddress"] for node in ray.nodes()}
    if found - {"127.0.0.1", "::1"}:
        ray.shutdown()
        raise ConnectionLostError(f"a local Ray cluster must listen on loopback only, this one does on {sorted(found)}")


class Pulse:
    """Watches, in addition to the driver, that the head answers and that this machine's part of the cluster lives."""

    def __init__(self, address: str | None) -> None:
        import ray

        self._ray: Any = ray
        context = ray.get_runtime_context()
        self.head = address if address and address.startswith("ray://") else str(context.gcs_address)
        own = [node for node in self._ray.nodes() if node["NodeID"] == context.get_node_id()]
        # With a Ray client, our part of the cluster is the client's server, which is the head's address here.
        self._raylet = "" if "://" in self.head else f"{own[0]['NodeManagerAddress']}:{own[0]['NodeManagerPort']}"
        self._heard, self._problem = time.monotonic(), ""
        self._stop = threading.Event()
        # In threads of their own: what is asked of a head that dies meanwhile may wait for ever.
        for watch in (self._watch_raylet, self._watch_head):
            threading.Thread(target=watch, name="ray-pulse", daemon=True).start()

    def check(self) -> None:
        """Raise `ConnectionLostError` once the cluster is lost."""
        if self._problem:
            raise ConnectionLostError(f"{self._problem}; {SAVED}")
        silent = time.monotonic() - self._heard
        if silent > PATIENCE:
            raise ConnectionLostError(
                f"the head of the Ray cluster ({self.head}) must answer; it has not for {silent:.0f} s; {SAVED}"
            )

    def stop(self) -> None:
        """End the watch."""
        self._stop.set()

    def _watch_raylet(self) -> None:
        while not self._stop.wait(INTERVAL):
            try:
                _knock(self._raylet)
            except ConnectionRefusedError:  # Ray ends a driver some ten seconds after its raylet
                self._problem = "the Ray process of this machine (raylet) must live; it has died"
                return
            except OSError:
                continue

    def _watch_head(self) -> None:
        while not self._stop.wait(INTERVAL):
            with suppress(OSError, RuntimeError, ValueError, self._ray.exceptions.RayError):
                _knock(self.head)  # Ray's own questions block without a head, so they are asked only after it answered
                self._ray.nodes()
                self._heard = time.monotonic()


def _knock(address: str | None) -> None:
    """Raise `OSError` if nobody listens: Ray itself would keep trying for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=5).close()


def quieten() -> None:
    """Ray prints what it thinks of lost processes to the driver's streams; we say it in one line."""
    with suppress(ImportError):
        vars(importlib.import_module("ray._private.worker"))["_worker_logs_enabled"] = False


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
