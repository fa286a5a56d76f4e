"""What lies in a search's folder and in the store of studies: trials, result, report, bundle, model."""

from __future__ import annotations

import io
import json
import math
import shutil
import threading
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

from losssearch.errors import DataError, UnknownNameError
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.storage.sql import SqlStore
from losssearch.storage.viewed import Viewed
from services.access.principal import ConflictError, MissingError
from services.catalogue.client import Catalogue
from services.settings import Settings

RESULT, LEADERBOARD, REPORT, EXPORT = "result.json", "leaderboard.json", "report.html", "export"
MODEL = "private_model.safetensors"

BUNDLED = (
    *("loss.py", "loss.json", "loss.safetensors", "loss.pt2", "requirements.txt", "MODEL_CARD.md"),
    *("private_model.safetensors", "private_model.json"),
)
"""Files of ``export/`` that a bundle may have; nothing else leaves the folder."""

_LARGEST_JSON = 64 << 20
_MOST_KNOWN = 10_000
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every entry of an archive, so that equal files give equal archives."""

_NO_TRIALS = b'{"items":[],"counts":{},"next":null}'

_UNFINISHED = "a search has this once it has finished, this one has not: wait for its end"


class Artifacts:
    """Reads what studies wrote. Whoever calls has seen that the search may be read.

    Args:
        settings: where folders and the store are.
        catalogue: writes losses as formulas, and knows metrics.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue) -> None:
        self._settings, self._catalogue = settings, catalogue
        self._store: SqlStore | None = None
        self._lock = threading.Lock()
        self._viewed = Viewed(self._shown)
        self._maximizes: dict[str, bool] = {}

    def trials(
        self, search: str, *, sort: Literal["number", "value"] = "number", after: int = -1, limit: int = 50
    ) -> dict[str, Any]:
        """Trials of a search.

        Args:
            search: its id.
            sort: by ``number``, or the completed ones by ``value``, the best first.
            after: with ``number``, the number of the last one that is known.
            limit: how many.

        Returns:
            ``items``, ``counts`` by state, and ``next``, to be given as ``after``; all empty before the study began.
        """
        found: dict[str, Any] = json.loads(self.trials_json(search, sort=sort, after=after, limit=limit))
        return found

    def trials_json(
        self, search: str, *, sort: Literal["number", "value"] = "number", after: int = -1, limit: int = 50
    ) -> bytes:
        """What `trials` gives, as JSON, in which a trial that is as it was need not be written again."""
        store = self._opened()
        if store is None:
            return _NO_TRIALS
        ranked = sort == "value"
        try:
            items, counts = store.page(
                search,
                self._viewed,
                after=after,
                limit=limit if ranked else limit + 1,
                maximize=self._direction(store, search) if ranked else None,
            )
        except UnknownNameError:  # no worker has begun yet
            return _NO_TRIALS
        following = "null" if len(items) <= limit else str(items[limit - 1].number)
        written = ",".join(one.json for one in items[:limit])
        states = json.dumps({str(state.value): count for state, count in counts.items()})
        return f'{{"items":[{written}],"counts":{states},"next":{following}}}'.encode()

    def _direction(self, store: SqlStore, search: str) -> bool:
        """Whether more of a study's metric is better, which never changes."""
        if search not in self._maximizes:
            config = store.study(search).config
            if len(self._maximizes) > _MOST_KNOWN:
                self._maximizes = {}
            self._maximizes[search] = self._catalogue.maximizes(str(config["metric"]), str(config["task"]))
        return self._maximizes[search]

    def _shown(self, trials: list[TrialRecord]) -> list[_Trial]:
        formulas = self._catalogue.formulas([one.spec for one in trials])
        return [_trial(one, formula) for one, formula in zip(trials, formulas, strict=True)]

    def metric(self, search: str) -> dict[str, str] | None:
        """``name``, ``direction`` and ``task`` of the metric of a study; None before it began."""
        store = self._opened()
        if store is None:
            return None
        try:
            config = store.study(search).config
        except UnknownNameError:  # no worker has begun yet
            return None
        name, task = str(config["metric"]), str(config["task"])
        direction = "maximize" if self._catalogue.maximizes(name, task) else "minimize"
        return {"name": name, "direction": direction, "task": task}

    def result(self, search: str) -> dict[str, Any]:
        """The content of ``result.json``.

        Raises:
            ConflictError: the search has not finished.
        """
        found: dict[str, Any] = self._json(search, RESULT)
        return found

    def leaderboard(self, search: str) -> list[dict[str, Any]]:
        """The rows of ``leaderboard.json``, see `losssearch.report.leaderboard`; as `result` otherwise."""
        found: list[dict[str, Any]] = self._json(search, LEADERBOARD)
        return found

    def verdict(self, search: str) -> dict[str, Any]:
        """What the result says in the end; as `result` otherwise."""
        result = self.result(search)
        best = result.get("best") or {}
        return {
            "verdict": result.get("verdict") or {},
            "formula": best.get("formula", ""),
            "metric": result.get("metric") or {},
            "best": best,
            "constraints": result.get("constraints") or [],
            "ablation": result.get("ablation") or [],
        }

    def file(self, search: str, name: str) -> Path:
        """A file of the search's folder, such as ``report.html``; a link is none.

        Raises:
            ConflictError: it is not there yet.
        """
        path = self.folder(search) / name
        if path.is_symlink() or not path.is_file():
            raise ConflictError(_UNFINISHED)
        return path

    def model(self, search: str) -> Path:
        """The trained model; raise `MissingError` where the finished search has none."""
        self.file(search, RESULT)
        try:
            return self.file(search, f"{EXPORT}/{MODEL}")
        except ConflictError:
            raise MissingError(
                "a trained model is kept by searches with differential privacy (private_epsilon) alone, this is none: "
                "train a model with the loss of its bundle"
            ) from None

    def bundle(self, search: str) -> bytes:
        """An archive of the bundle and the report, all in a folder ``bundle``.

        Raises:
            ConflictError: the search has not finished.
        """
        self.file(search, RESULT)
        self.file(search, f"{EXPORT}/loss.py")
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as written:
            for name in (*(f"{EXPORT}/{one}" for one in BUNDLED), REPORT):
                with suppress(ConflictError):
                    entry = zipfile.ZipInfo(f"bundle/{Path(name).name}", _EPOCH)
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    entry.external_attr = 0o644 << 16
                    written.writestr(entry, self.file(search, name).read_bytes())
        return archive.getvalue()

    def delete(self, search: str) -> None:
        """Delete the folder and the study of a search whose row is gone already."""
        shutil.rmtree(self.folder(search), ignore_errors=True)
        store = self._opened()
        if store is not None:
            with suppress(UnknownNameError):  # no worker had begun
                store.delete(search)

    def folder(self, search: str) -> Path:
        """The folder of a search; ids are hexadecimal digits, so that it lies where it should."""
        if not search.isalnum():
            raise MissingError(f"there is no search {search[:50]!r}")
        return self._settings.searches / search

    def close(self) -> None:
        """Close the store."""
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None

    def _json(self, search: str, name: str) -> Any:
        path = self.file(search, name)
        if path.stat().st_size > _LARGEST_JSON:
            raise DataError(f"{name} must have at most {_LARGEST_JSON:,} bytes to be shown, it has more")
        return json.loads(path.read_bytes())

    def _opened(self) -> SqlStore | None:
        """The store of studies; None where no worker has made it yet."""
        with self._lock:
            if self._store is None:
                try:
                    self._store = SqlStore(self._settings.storage, create=False)
                except DataError:
                    return None
            return self._store


class _Trial(NamedTuple):
    """A trial as clients get it."""

    number: int
    json: str


def _trial(record: TrialRecord, formula: str) -> _Trial:
    ended = record.state is not TrialState.RUNNING
    finite = record.value is not None and math.isfinite(record.value)
    shown = {
        "number": record.number,
        "state": str(record.state.value),
        "value": record.value if finite else None,
        "formula": formula,
        "name": record.name,
        "seconds": record.seconds if ended else None,
    }
    return _Trial(record.number, json.dumps(shown))
