"""A study in MLflow: one parent run, one child run a trial, written through MLflow's public client.

A child costs three calls: it is created with its tags, gets parameters and metrics in one batch, and is
ended. Workers never write; the driver does, in the background (`BackgroundTracker`).
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING, Any

from losssearch.errors import ConnectionLostError, LossSearchError, OptionError
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.tracking.location import check, local_store, shown, write_ahead
from losssearch.tracking.names import curve, finite, flat, legal
from losssearch.tracking.tracker import DatasetInfo, Status

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["MlflowTracker", "local_store"]

PARENT = "mlflow.parentRunId"
TRIAL = "losssearch.trial"
_PARAMS_A_CALL = 100
_LONGEST_TAG = 5000

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "20", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
"""MLflow waits minutes for a lost server by default; `BackgroundTracker` keeps what was not sent."""


class MlflowTracker:
    """A `Tracker` in the MLflow store that ``tracking_uri`` names, made at first use where it is a database.

    ``artifacts`` is where a new experiment keeps its files; None leaves it to the server. Names: metric ``f1``
    of a trial is ``validation_f1``, one value a rung with the epoch as step; tags of a child are
    ``losssearch.trial``, ``.formula``, ``.origin``, ``.state``, ``.reason``. Not for several threads at once.
    """

    def __init__(self, tracking_uri: str, experiment: str = "losssearch", artifacts: Path | None = None) -> None:
        self._uri = tracking_uri
        self._experiment = experiment
        self._artifacts = artifacts
        self._connected: MlflowClient | None = None
        self._experiment_id = ""
        self._run_id = ""
        self._children: dict[int, _Child] | None = None

    @property
    def problems(self) -> Sequence[str]:
        """None: what goes wrong is raised."""
        return ()

    def prepare(self) -> None:
        """Import MLflow, make its tables and find or make the experiment."""
        with self._calls():
            self._client()

    def start(
        self,
        study: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        dataset: DatasetInfo,
        *,
        run_id: str | None = None,
    ) -> dict[str, str]:
        """Open the parent run, or go on with ``run_id``; one that is not there any more is made anew."""
        with self._calls():
            client = self._client()
            known = self._resume(run_id) if run_id else None
            if known is None:
                labels = {"losssearch.study": study, "mlflow.source.name": "losssearch", **tags}
                run = client.create_run(self._experiment_id, tags=_cut(labels), run_name=study)
                self._run_id, known, self._children = run.info.run_id, {}, {}
                client.log_inputs(self._run_id, [_dataset_input(dataset)])
            fresh = {name: value for name, value in flat(params).items() if name not in known}
            self._log_batch(self._run_id, fresh, [])
        return {"tracking_uri": shown(self._uri), "experiment": self._experiment, "run_id": self._run_id}

    def log_trials(self, trials: Sequence[TrialRecord], formulas: Mapping[int, str], metric: str) -> None:
        """Record ended trials as child runs; those still running, and those recorded before, are passed over."""
        try:
            with self._calls():
                if self._children is None:
                    self._children = self._found_children()
                for trial in trials:
                    if trial.state is not TrialState.RUNNING:
                        self._log_trial(self._children, trial, formulas.get(trial.number, ""), legal(metric))
        except BaseException:
            self._children = None  # a call whose answer was lost may have made a child: look again
            raise

    def log_result(self, result: Mapping[str, Any], artifacts: Sequence[Path], metrics: Mapping[str, float]) -> None:
        """Put the result on the parent run: figures as metrics, the verdict as its description, files."""
        with self._calls():
            client = self._client()
            now = _now()
            self._log_batch(self._run_id, {}, [(name, value, now, 0) for name, value in finite(metrics).items()])
            for name, value in _cut(_result_tags(result)).items():
                client.set_tag(self._run_id, name, value)
            for path in artifacts:
                if path.is_dir():
                    client.log_artifacts(self._run_id, str(path), path.name)
                elif path.exists():
                    client.log_artifact(self._run_id, str(path))

    def close(self, status: Status) -> None:
        """End the parent run."""
        if self._run_id:
            with self._calls():
                self._client().set_terminated(self._run_id, status)

    def _client(self) -> MlflowClient:
        if self._connected is None:
            fresh = check(self._uri)
            client = _connect(self._uri)
            self._experiment_id = _experiment_id(client, self._experiment, self._artifacts)
            if fresh is not None:
                write_ahead(fresh)
            self._connected = client
        return self._connected

    def _resume(self, run_id: str) -> Mapping[str, str] | None:
        """Go on with a parent run and return the parameters that it has; None where it is gone."""
        from mlflow.exceptions import MlflowException

        try:
            run = self._client().get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        if run.info.lifecycle_stage != "active":
            return None
        self._run_id, self._experiment_id, self._children = run_id, run.info.experiment_id, None
        self._client().update_run(run_id, status="RUNNING")
        params: dict[str, str] = run.data.params
        return params

    def _found_children(self) -> dict[int, _Child]:
        children, token = {}, None
        while True:
            page = self._client().search_runs(
                [self._experiment_id], f"tags.`{PARENT}` = '{self._run_id}'", max_results=1000, page_token=token
            )
            for run in page:
                if (number := run.data.tags.get(TRIAL, "")).isdecimal():
                    children[int(number)] = _Child(run.info.run_id, run.info.start_time, run.info.status != "RUNNING")
            if not (token := page.token):
                return children

    def _log_trial(self, children: dict[int, _Child], trial: TrialRecord, formula: str, metric: str) -> None:
        child = children.get(trial.number)
        if child is not None and child.ended:
            return
        end = _now()
        if child is None:
            start = end - int(1000 * trial.seconds)
            tags = {PARENT: self._run_id, "mlflow.source.name": "losssearch", **_trial_tags(trial, formula)}
            run = self._client().create_run(self._experiment_id, start, _cut(tags), trial.name)
            child = children[trial.number] = _Child(run.info.run_id, start, ended=False)
        # Times come from the run's start, so that writing a half-written child again changes nothing.
        points = [(f"validation_{metric}", value, child.start, epoch) for epoch, value in curve(trial)]
        if len(trial.values) > 1 and points:
            spread = finite({f"validation_{metric}_std": stdev(trial.values)})
            points += [(name, value, child.start, points[-1][3]) for name, value in spread.items()]
        self._log_batch(child.run_id, flat({**trial.spec, "rate": trial.rate, "epochs": trial.epochs}), points)
        status = "FAILED" if trial.state is TrialState.FAILED else "FINISHED"
        self._client().set_terminated(child.run_id, status, end)
        children[trial.number] = _Child(child.run_id, child.start, ended=True)

    def _log_batch(
        self, run_id: str, params: Mapping[str, str], metrics: Sequence[tuple[str, float, int, int]]
    ) -> None:
        from mlflow.entities import Metric, Param

        rows = [Param(name, value[:_LONGEST_TAG]) for name, value in params.items()]
        points = [Metric(*point) for point in metrics]
        for first in range(0, max(len(rows), 1), _PARAMS_A_CALL):
            part = rows[first : first + _PARAMS_A_CALL]
            if part or points:
                self._client().log_batch(run_id, metrics=points, params=part)
            points = []

    @contextmanager
    def _calls(self) -> Iterator[None]:
        _import_mlflow()
        loud = [(logger, logger.level) for logger in map(logging.getLogger, ("mlflow", "alembic"))]
        for logger, _ in loud:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        except LossSearchError:
            raise
        except Exception as error:
            cause = " ".join(str(error).split())[:300] or type(error).__name__
            raise ConnectionLostError(
                f"the tracking store must be reachable and writable, {shown(self._uri)} was not ({cause}): "
                "mend it and go on with --resume, or go without by --no-mlflow"
            ) from error
        finally:
            for logger, level in loud:
                logger.setLevel(level)


class _Child:
    def __init__(self, run_id: str, start: int, ended: bool) -> None:
        self.run_id, self.start, self.ended = run_id, start, ended


def _import_mlflow() -> None:
    # MLflow reads these at import, and sets its loggers to talk.
    os.environ.update(_ENVIRONMENT)
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    if importlib.util.find_spec("mlflow") is None:
        raise OptionError("tracking needs mlflow, which is not installed: pip install mlflow, or give --no-mlflow")
    importlib.import_module("mlflow")


def _connect(uri: str) -> MlflowClient:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        return MlflowClient(uri, uri)
    except MlflowException as error:
        if error.error_code == "INVALID_PARAMETER_VALUE":
            raise OptionError(
                f"--tracking-uri must be sqlite:///FILE, postgresql://… or http(s)://…, got {shown(uri)}"
            ) from error
        raise


def _experiment_id(client: MlflowClient, name: str, artifacts: Path | None) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifacts.resolve().as_uri() if artifacts else None))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)  # another process was first
    if found is None or found.lifecycle_stage != "active":
        raise OptionError(f"an MLflow experiment must not be deleted, {name!r} is: restore it in MLflow")
    return str(found.experiment_id)


def _dataset_input(dataset: DatasetInfo) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    profile = json.dumps({"num_rows": dataset.rows, "num_features": dataset.features, "target": dataset.target})
    source = json.dumps({"uri": dataset.source})
    entity = Dataset(dataset.name[:500], dataset.fingerprint[:36], "local", source, profile=profile)
    return DatasetInput(entity, [InputTag("mlflow.data.context", "search")])


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
        "losssearch.formula": best.get("formula"),
    }
    return {name: str(value) for name, value in tags.items() if value}


def _cut(tags: Mapping[str, str]) -> dict[str, str]:
    return {legal(name): str(value)[:_LONGEST_TAG] for name, value in tags.items()}


def _now() -> int:
    return int(1000 * time.time())
