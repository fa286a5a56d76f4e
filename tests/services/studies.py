"""Real studies under a worker: a service with one real table, and what its searches come to."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sklearn.datasets import load_wine

import losssearch as ls
from losssearch.storage.sql import SqlStore
from services import schema
from services.queue import cancel
from services.settings import Settings
from services.worker import Supervisor, Timing
from tests.services.conftest import House
from tests.services.test_worker import END, wait_for

REQUEST = {"target": "target", "trials": 6, "epochs": 3, "confirm_seeds": 2}

Trials = list[tuple[int, float | None]]
"""Number and value of each trial."""


@dataclass
class Studies:
    """A service whose one dataset is a real table; ``settings`` are further ones of the service."""

    house: House
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def made(cls, house: House, folder: Path, **settings: Any) -> Studies:
        """One with the table that every test uses."""
        one = cls(house, folder, settings)
        one.table.parent.mkdir(parents=True)
        (folder / "searches").mkdir()
        load_wine(as_frame=True).frame.to_parquet(one.table)
        return one

    @property
    def table(self) -> Path:
        """The file of the dataset."""
        return self.folder / "datasets" / f"{self.house.teams['one'][2]}.parquet"

    @property
    def of_service(self) -> Settings:
        """The settings of the service."""
        return Settings(database_url=self.house.url, data=self.folder, **self.settings)

    def submit(self, **more: object) -> str:
        """Ask for a search, with these options in addition."""
        return self.house.submit(request=REQUEST | more)

    def ends(self, search: str) -> dict[str, Any]:
        """The row of a search once it has ended."""
        wait_for(lambda: self.house.row(search)["state"] in schema.TERMINAL, 3 * END)
        return self.house.row(search)

    def cancel(self, search: str) -> float:
        """Cancel a search, and return the seconds until it has ended."""
        began = time.monotonic()
        self.house.database.run(lambda connection: cancel(connection, search))
        self.ends(search)
        return time.monotonic() - began

    def whole(self, search: str) -> dict[str, Any]:
        """``result.json`` of a search."""
        found: dict[str, Any] = json.loads(
            (self.folder / "searches" / search / "result.json").read_text(encoding="utf-8")
        )
        return found

    def result(self, search: str) -> dict[str, Any]:
        """What must be equal in it."""
        return compared(self.whole(search))

    def trials(self, search: str) -> Trials:
        """The trials of a search."""
        return trials_of(self.of_service.storage, search)

    def undisturbed(self, **more: object) -> tuple[dict[str, Any], Trials]:
        """The result of the same request without a service, and its trials."""
        out = self.folder / "undisturbed"
        given: dict[str, Any] = {**REQUEST, **more}
        content = ls.search(str(self.table), **given, workers=0, mlflow=False, verbose=0, out=str(out)).to_json()
        return compared(content), trials_of(f"sqlite:///{out}/study.db", content["study"])

    @contextmanager
    def worker(self, slots: int = 1, timing: Timing | None = None) -> Iterator[None]:
        """A worker in this process."""
        made = Supervisor(
            Settings(database_url=self.house.url, data=self.folder, slots=slots, **self.settings),
            self.house.database,
            timing=timing or Timing(retries=(0.0, 0.0, 0.0)),
        )
        thread = threading.Thread(target=made.run)
        thread.start()
        try:
            yield
        finally:
            made.stop()
            thread.join(END)
            assert not thread.is_alive()
            assert children() == []


def compared(result: dict[str, Any]) -> dict[str, Any]:
    """What must be equal in two results of the same request."""
    return {name: result[name] for name in ("best", "baselines", "verdict", "ablation", "trials", "metric")}


def trials_of(storage: str, study: str) -> Trials:
    """The trials that a store has of a study."""
    store = SqlStore(storage, create=False)
    try:
        return [(trial.number, trial.value) for trial in store.trials(study)]
    finally:
        store.close()


def children(parent: int | None = None) -> list[int]:
    """The processes of studies that ``parent``, or this process, has started."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            state, above = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            ours = int(above) == (os.getpid() if parent is None else parent)
            if ours and state not in "ZX" and b"services.child" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found
