"""A study in MLflow: one parent run, one child run per trial.

Workers never write; the driver does, in the background (`BackgroundTracker`). A study's own store is written by SQL
(`losssearch.tracking.tables`), any other through MLflow's public client (`losssearch.tracking.client`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tenacity

from losssearch.errors import ConnectionLostError, LossSearchError, OptionError
from losssearch.option_names import option
from losssearch.redaction import redact, redact_url, redacted_cause, remember
from losssearch.storage.opening import check_driver, knock
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.tracking.client import LOGGERS, ClientRuns, connect, import_mlflow
from losssearch.tracking.location import check, file_of, local_store, write_ahead
from losssearch.tracking.names import curve, finite, flat, legal, spread_of
from losssearch.tracking.removal import STUDY, remove_study
from losssearch.tracking.runs import TRIAL, Child, Runs
from losssearch.tracking.tables import TableRuns, is_known
from losssearch.tracking.template import discard_unfinished, place_empty_store
from losssearch.tracking.tracker import DatasetInfo, Status

__all__ = ["MlflowTracker", "local_store"]

OPENING = 6.0
"""Seconds after which a server that does not answer at the start of a study is not tried again."""

LONGEST_CAUSE = 300
"""Characters of another library's message that are shown."""

_DATABASES = ("postgresql", "mysql", "mssql")
"""Schemes of stores that MLflow would try to reach for minutes, without a word."""


class MlflowTracker:
    """A `Tracker` in the MLflow store that ``tracking_uri`` names, made at first use where it is a database.

    ``artifacts`` is where a new experiment keeps its files; None leaves it to the server. A file with ``artifacts``
    is a study's own store, written without MLflow unless ``direct`` is off. Names: metric ``f1`` of a trial is
    ``validation_f1``, one value a rung with the epoch as step; tags of a child are ``losssearch.trial``, ``.formula``,
    ``.origin``, ``.state``, ``.reason``. Not for several threads at once.
    """

    def __init__(
        self, tracking_uri: str, experiment: str = "losssearch", artifacts: Path | None = None, *, direct: bool = True
    ) -> None:
        remember(tracking_uri)
        self._uri = tracking_uri
        self._experiment = experiment
        self._artifacts = artifacts
        self._direct = direct
        self._opened: Runs | None = None
        self._run_id = ""
        self._told: set[int] = set()

    @property
    def problems(self) -> Sequence[str]:
        """Empty: what goes wrong is raised."""
        return ()

    def check(self) -> None:
        """Raise what the store could never be opened for, such as a URI of no known kind; nothing is written."""
        with self._calls():
            check(self._uri)
            if not self._uri.strip().lower().startswith(("sqlite:", "http://", "https://", *_DATABASES)):
                import_mlflow()
                connect(self._uri)
            if self._uri.startswith(_DATABASES):
                self._check_driver()

    def prepare(self) -> None:
        """Open the store, make its tables where it is a new database, and find or make the experiment."""
        with self._calls():
            self._runs()

    def start(
        self,
        study: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        dataset: DatasetInfo,
        *,
        run_id: str | None = None,
    ) -> dict[str, str]:
        """Open the parent run, or continue ``run_id``; one that no longer exists is created again."""
        with self._calls():
            runs = self._runs()
            known = runs.resume(run_id) if run_id else None
            if known is None:
                labels = {STUDY: study, "mlflow.source.name": "losssearch", **tags}
                run_id, known = runs.begin(study, labels, dataset), {}
            self._run_id = run_id or ""
            fresh = {name: value for name, value in flat(params).items() if name not in known}
            runs.add(self._run_id, fresh, {})
            number = runs.experiment_id
        where = {"tracking_uri": redact_url(self._uri), "experiment": self._experiment, "experiment_id": number}
        return where | {"run_id": self._run_id}

    def log_trials(self, trials: Sequence[TrialRecord], formulas: Mapping[int, str], metric: str) -> None:
        """Record ended trials as child runs; skip those that still run or were recorded before."""
        ended = [trial for trial in trials if trial.state is not TrialState.RUNNING]
        if ended:
            self._told.update(trial.number for trial in ended)
            children = [_child(trial, formulas.get(trial.number, ""), legal(metric)) for trial in ended]
            with self._calls():
                self._runs().write(self._run_id, children)

    def log_result(self, result: Mapping[str, Any], artifacts: Sequence[Path], metrics: Mapping[str, float]) -> None:
        """Put the result on the parent run: figures as metrics, the verdict as its description, files."""
        with self._calls():
            runs = self._runs()
            runs.add(self._run_id, {}, finite(metrics))
            runs.tag(self._run_id, _result_tags(result))
            runs.keep(self._run_id, artifacts)

    def close(self, status: Status) -> None:
        """End the parent run; it is not FINISHED where a trial that was told is missing, which raises."""
        if self._run_id:
            with self._calls():
                runs = self._runs()
                if status == "FINISHED" and (missing := self._told - runs.recorded(self._run_id)):
                    raise ConnectionLostError(
                        f"a finished run must hold all trials, {len(missing)} of {len(self._told)} are missing from "
                        f"{redact_url(self._uri)}: `losssearch sync` adds them"
                    )
                runs.end(self._run_id, status)

    def remove(self, study: str) -> int:
        """Delete the runs of a study and of its trials; how many those were."""
        with self._calls():
            import_mlflow()
            if self._uri.startswith(_DATABASES):
                self._check_driver()
                knock(self._uri)
            return remove_study(connect(self._uri), self._experiment, study)

    def _runs(self) -> Runs:
        if self._opened is None:
            fresh = check(self._uri)
            self._opened = self._tables(fresh) or _opening(self._through_client)
            if fresh is not None:
                write_ahead(fresh)
        return self._opened

    def _through_client(self) -> Runs:
        if self._uri.startswith(_DATABASES):
            import_mlflow()  # says what to do where it is missing
            self._check_driver()
            knock(self._uri)
        return ClientRuns(self._uri, self._experiment, self._artifacts)

    def _check_driver(self) -> None:
        try:
            check_driver(self._uri)
        except ModuleNotFoundError as error:
            raise OptionError(
                f"the driver of a {option('tracking_uri')} must be installed, got {redact_url(self._uri)}: {error}"
            ) from redacted_cause(error)

    def _tables(self, fresh: Path | None) -> Runs | None:
        """A study's own store, written by SQL; None if that cannot be."""
        file = file_of(self._uri)
        if file is None or self._artifacts is None or not self._direct:
            return None
        if fresh is None and not is_known(file) and discard_unfinished(file):
            fresh = file
        if not (is_known(file) if fresh is None else place_empty_store(fresh, self._artifacts)):
            return None
        runs = TableRuns(file, self._experiment, self._artifacts)
        return runs if runs.is_local else None

    @contextmanager
    def _calls(self) -> Iterator[None]:
        loud = [(logger, logger.level) for logger in map(logging.getLogger, LOGGERS)]
        for logger, _ in loud:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        except LossSearchError:
            raise
        except Exception as error:  # noqa: BLE001  (whatever its libraries raise, and however)
            cause = _brief(redact(" ".join(str(error).split()))) or type(error).__name__
            raise ConnectionLostError(
                f"the tracking store must be reachable and writable, {redact_url(self._uri)} was not ({cause}): "
                f"repair it and continue with {option('resume', True)}, or run without it with "
                f"{option('mlflow', False)}"
            ) from redacted_cause(error)
        finally:
            for logger, level in loud:
                logger.setLevel(level)


def _brief(cause: str) -> str:
    """At most 300 characters of what a library says, which names the address first and the reason last."""
    return cause if len(cause) <= LONGEST_CAUSE else f"{cause[:120].rstrip()} … {cause[-170:].lstrip()}"


_opening = tenacity.Retrying(
    retry=tenacity.retry_if_not_exception_type(LossSearchError),
    stop=tenacity.stop_after_delay(OPENING),
    wait=tenacity.wait_exponential(multiplier=1.0, max=4.0),
    reraise=True,
)


def _child(trial: TrialRecord, formula: str, metric: str) -> Child:
    end = int(1000 * time.time())
    points = [(f"validation_{metric}", value, epoch) for epoch, value in curve(trial)]
    if len(trial.values) > 1 and points:
        spread = finite({f"validation_{metric}_std": spread_of(trial.values)})
        points += [(name, value, points[-1][2]) for name, value in spread.items()]
    return Child(
        number=trial.number,
        name=trial.name,
        start=end - int(1000 * trial.seconds),
        end=end,
        status="FAILED" if trial.state is TrialState.FAILED else "FINISHED",
        tags={"mlflow.source.name": "losssearch", **_trial_tags(trial, formula)},
        params=flat({**trial.spec, "rate": trial.rate, "epochs": trial.epochs}),
        points=points,
    )


def _trial_tags(trial: TrialRecord, formula: str) -> dict[str, str]:
    tags = {
        TRIAL: str(trial.number),
        "losssearch.formula": formula,
        "losssearch.origin": trial.origin,
        "losssearch.state": trial.state.value,
        "losssearch.reason": trial.reason,
        "losssearch.twin": "" if trial.twin is None else str(trial.twin),
    }
    return {name: value for name, value in tags.items() if value}


def _result_tags(result: Mapping[str, Any]) -> dict[str, str]:
    verdict, best = result.get("verdict") or {}, result.get("best") or {}
    tags = {
        "mlflow.note.content": verdict.get("text"),
        "losssearch.recommended": verdict.get("recommended"),
        "losssearch.grade": verdict.get("grade"),
        "losssearch.formula": best.get("formula"),
    }
    return {name: str(value) for name, value in tags.items() if value}
