"""The kinds of stop, and which exit codes each may bring about."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from benchmarks.stops.servers import Postgres, Tracking
from benchmarks.stops.studies import Study


@dataclass(frozen=True)
class Scene:
    """A running study and what surrounds it."""

    process: subprocess.Popen[str]
    draw: random.Random
    tracking: Tracking
    postgres: Postgres


@dataclass(frozen=True)
class Kind:
    """A kind of stop. ``codes``: exit codes that it may lead to, apart from 0 of a study that ended before it."""

    name: str
    act: Callable[[Scene], object]
    codes: frozenset[int]
    fits: Callable[[Study], bool] = lambda _study: True
    ends: bool = True
    """Whether the study must end by it."""


def listens(process: subprocess.Popen[str]) -> bool:
    """Whether the program has come so far as to catch SIGTERM; before, it has begun nothing."""
    try:
        with open(f"/proc/{process.pid}/status", encoding="utf-8") as file:
            caught = next(line.split()[1] for line in file if line.startswith("SigCgt"))
    except (OSError, StopIteration):
        return True
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def _send(*numbers: int) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        for number in numbers:
            scene.process.send_signal(number)
            time.sleep(scene.draw.uniform(0, 0.05))

    return act


def _group(scene: Scene) -> None:
    with suppress(ProcessLookupError):
        os.killpg(scene.process.pid, signal.SIGTERM)


def _pause(scene: Scene) -> None:
    scene.process.send_signal(signal.SIGSTOP)
    time.sleep(scene.draw.uniform(0.5, 3))
    scene.process.send_signal(signal.SIGCONT)


def _worker(scene: Scene) -> None:
    """Kill one of Ray's processes for this study, where there is one yet."""
    own = subprocess.run(["pgrep", "-g", str(scene.process.pid)], capture_output=True, text=True, check=False)
    shown = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    workers = []
    for line in shown.splitlines():
        number, _, command = line.strip().partition(" ")
        if command.startswith("ray::") and _descends(int(number), {int(own_id) for own_id in own.stdout.split()}):
            workers.append(int(number))
    if workers:
        with suppress(ProcessLookupError):
            os.kill(scene.draw.choice(sorted(workers)), signal.SIGKILL)


def _descends(number: int, ancestors: set[int]) -> bool:
    while number > 1:
        if number in ancestors:
            return True
        try:
            with open(f"/proc/{number}/stat", encoding="utf-8") as file:
                number = int(file.read().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            return False
    return False


def _freeze(scene: Scene) -> None:
    scene.tracking.signal(signal.SIGSTOP)
    time.sleep(scene.draw.uniform(1, 20))
    scene.tracking.signal(signal.SIGCONT)


def _restart_tracking(scene: Scene) -> None:
    scene.tracking.stop()
    time.sleep(scene.draw.uniform(0, 3))
    scene.tracking.start()


def _restart_postgres(scene: Scene) -> None:
    scene.postgres.stop()
    time.sleep(scene.draw.uniform(0, 5))
    scene.postgres.start()


POLITE = frozenset({130})
KINDS = (
    Kind("INT", _send(signal.SIGINT), POLITE),
    Kind("TERM", _send(signal.SIGTERM), POLITE),
    Kind("TERM to all", _group, POLITE),
    Kind("INT INT TERM", _send(signal.SIGINT, signal.SIGINT, signal.SIGTERM), POLITE),
    Kind("KILL", _send(signal.SIGKILL), frozenset({-signal.SIGKILL})),
    Kind("pause", _pause, frozenset(), ends=False),
    Kind("worker killed", _worker, frozenset(), lambda study: study.workers > 0, ends=False),
    Kind("tracking frozen", _freeze, frozenset(), lambda study: study.tracking == "server", ends=False),
    Kind("tracking killed", _restart_tracking, frozenset({4}), lambda study: study.tracking == "server", ends=False),
    Kind("storage killed", _restart_postgres, frozenset({4}), lambda study: bool(study.storage), ends=False),
)

MOST_KILLS = 3
"""SIGKILLs of one study at most: a loss that is trained alone and killed again counts as what kills the program."""
