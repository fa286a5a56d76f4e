"""Runs through MLflow's public client: any store, at about five milliseconds and three calls per trial.

A child is created with its tags, gets parameters and metrics in one batch, and is ended.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losssearch.errors import ConnectionLostError, OptionError
from losssearch.option_names import option
from losssearch.redaction import redact, redact_url, redacted_cause
from losssearch.tracking.runs import IDENTITY, PARENT, TRIAL, Child, copied, cut
from losssearch.tracking.tracker import DatasetInfo, Status

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOGGERS = ("mlflow", "alembic")
"""Loggers that would talk to the user about tables and migrations."""

_PARAMS_A_CALL = 100

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "PGCONNECT_TIMEOUT": "10",
}
"""MLflow waits minutes for a lost server by default; `BackgroundTracker` keeps what was not sent. Nor may MLflow send a
request again by itself: one that makes a run would make two, so we look first."""


@dataclass
class _Known:
    run_id: str
    start: int
    ended: bool


class ClientRuns:
    """A `losssearch.tracking.runs.Runs` in the store that a URI names; makes the experiment where it is missing."""

    def __init__(self, uri: str, experiment: str, artifacts: Path | None) -> None:
        import_mlflow()
        self._client, self._uri = connect(uri), uri
        self._artifacts = artifacts
        self._experiment_id = _experiment_id(self._client, experiment, artifacts)
        self._children: dict[str, dict[int, _Known]] = {}
        self._starts: dict[str, int] = {}

    @property
    def experiment_id(self) -> str:
        """See `Runs.experiment_id`."""
        return str(self._experiment_id)

    def begin(self, name: str, tags: Mapping[str, str], dataset: DatasetInfo) -> str:
        """See `Runs.begin`."""
        run_id = self._begun(cut(tags).get(IDENTITY, ""))
        if not run_id:
            run = self._client.create_run(self._experiment_id, tags=cut(tags), run_name=name)
            run_id = str(run.info.run_id)
            self._children[run_id], self._starts[run_id] = {}, run.info.start_time
        self._client.log_inputs(run_id, [_dataset_input(dataset)])
        return run_id

    def resume(self, run_id: str) -> Mapping[str, str] | None:
        """See `Runs.resume`."""
        from mlflow.exceptions import MlflowException

        try:
            run = self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        if run.info.lifecycle_stage != "active":
            return None
        self._experiment_id, self._starts[run_id] = run.info.experiment_id, run.info.start_time
        self._client.update_run(run_id, status="RUNNING")
        params: dict[str, str] = run.data.params
        return params

    def add(self, run_id: str, params: Mapping[str, str], metrics: Mapping[str, float]) -> None:
        """See `Runs.add`."""
        # The time is the run's start, so that what is written again, as after a lost answer, changes nothing.
        start = self._starts[run_id]
        self._log_batch(run_id, params, [(name, value, start, 0) for name, value in metrics.items()])

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """See `Runs.tag`."""
        for name, value in cut(tags).items():
            self._client.set_tag(run_id, name, value)

    def write(self, parent: str, children: Sequence[Child]) -> None:
        """See `Runs.write`."""
        try:
            if parent not in self._children:
                self._children[parent] = self._found(parent)
            for child in children:
                self._write(parent, child)
        except BaseException:
            self._children.pop(parent, None)  # a call whose answer was lost may have made a child: look again
            raise

    def keep(self, run_id: str, paths: Sequence[Path]) -> None:
        """See `Runs.keep`."""
        place = str(self._client.get_run(run_id).info.artifact_uri)
        if self._artifacts is not None and "://" not in place and not Path(place).is_absolute():
            copied(paths, self._artifacts.resolve().parent / place)  # as `TableRuns` keeps it, which the client would
            return  # look for in the working folder
        for path in paths:
            if path.is_dir():
                self._client.log_artifacts(run_id, str(path), path.name)
            else:
                self._client.log_artifact(run_id, str(path))
        if missing := sorted({path.name for path in paths} - self._listed(run_id)):
            raise ConnectionLostError(
                f"a tracking server must show the artifacts that it is given, {', '.join(missing)} did not arrive from "
                f"here at {redact(place)}: let the server keep artifacts itself, as with "
                "`mlflow server --artifacts-destination PLACE`"
            )

    def _listed(self, run_id: str) -> set[str]:
        """The artifacts of a run that whoever opens the store can see: a server may have other disks than we."""
        if not self._uri.startswith(("http://", "https://")):
            return {file.path for file in self._client.list_artifacts(run_id)}
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request_safe

        credentials, path = get_default_host_creds(self._uri), "/api/2.0/mlflow/artifacts/list"
        answer = http_request_safe(credentials, path, "GET", params={"run_id": run_id})
        return {file["path"] for file in answer.json().get("files", [])}

    def recorded(self, parent: str) -> set[int]:
        """See `Runs.recorded`; a trial that has two runs is left with one."""
        self._children[parent] = self._found(parent)
        return {number for number, known in self._children[parent].items() if known.ended}

    def end(self, run_id: str, status: Status) -> None:
        """See `Runs.end`."""
        self._client.set_terminated(run_id, status)

    def _begun(self, identity: str) -> str:
        """The run that was made for this study when the answer was lost; "" where there is none."""
        if not identity:
            return ""
        found = self._client.search_runs([self._experiment_id], f"tags.`{IDENTITY}` = '{identity}'", max_results=1)
        if not found:
            return ""
        run_id = str(found[0].info.run_id)
        self._starts[run_id] = found[0].info.start_time
        self._client.update_run(run_id, status="RUNNING")
        return run_id

    def _found(self, parent: str) -> dict[int, _Known]:
        children: dict[int, _Known] = {}
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id], f"tags.`{PARENT}` = '{parent}'", max_results=1000, page_token=token
            )
            for run in page:
                if (number := run.data.tags.get(TRIAL, "")).isdecimal():
                    found = _Known(run.info.run_id, run.info.start_time, run.info.status != "RUNNING")
                    children[int(number)] = self._one_of(children.get(int(number)), found)
            if not (token := page.token):
                return children

    def _one_of(self, first: _Known | None, second: _Known) -> _Known:
        """The run to keep of two for one trial: a server that was frozen carries out late what we had given up."""
        if first is None:
            return second
        kept, other = (second, first) if second.ended and not first.ended else (first, second)
        self._client.delete_run(other.run_id)
        return kept

    def _write(self, parent: str, child: Child) -> None:
        known = self._children[parent].get(child.number)
        if known is None:
            tags = cut({PARENT: parent, **child.tags})
            run = self._client.create_run(self._experiment_id, child.start, tags, child.name)
            known = self._children[parent][child.number] = _Known(run.info.run_id, child.start, ended=False)
        if known.ended:
            return
        # Times come from the run's start, so that writing a half-written child again changes nothing.
        points = [(name, value, known.start, step) for name, value, step in child.points]
        self._log_batch(known.run_id, child.params, points)
        self._client.set_terminated(known.run_id, child.status, child.end)
        known.ended = True

    def _log_batch(
        self, run_id: str, params: Mapping[str, str], metrics: Sequence[tuple[str, float, int, int]]
    ) -> None:
        from mlflow.entities import Metric, Param

        rows = [Param(name, value) for name, value in cut(params).items()]
        points = [Metric(*point) for point in metrics]
        for first in range(0, max(len(rows), 1), _PARAMS_A_CALL):
            part = rows[first : first + _PARAMS_A_CALL]
            if part or points:
                self._client.log_batch(run_id, metrics=points, params=part)
            points = []


def import_mlflow() -> None:
    """Import MLflow, silent; raise `OptionError` if it is not installed."""
    # MLflow reads these at import, and sets its loggers to talk.
    os.environ.update(_ENVIRONMENT)
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    if importlib.util.find_spec("mlflow") is None:
        raise OptionError(
            f"tracking needs mlflow, which is not installed: pip install mlflow, or give {option('mlflow', False)}"
        )
    if "mlflow" not in sys.modules:
        importlib.import_module("mlflow")
        for name in LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)  # `MlflowTracker` puts back what was before


def connect(uri: str) -> MlflowClient:
    """A client of the store at ``uri``, which is not asked yet; raise `OptionError` if MLflow takes no such URI."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        return MlflowClient(uri, uri)
    except MlflowException as error:
        if error.error_code == "INVALID_PARAMETER_VALUE":
            raise OptionError(
                f"{option('tracking_uri')} must be sqlite:///FILE, postgresql://… or http(s)://…, got {redact_url(uri)}"
            ) from redacted_cause(error)
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
        raise deleted(name)
    return str(found.experiment_id)


def deleted(experiment: str) -> OptionError:
    """The error for an experiment that was deleted in MLflow."""
    return OptionError(f"an MLflow experiment must not be deleted, {experiment!r} is: restore it in MLflow")


def _dataset_input(dataset: DatasetInfo) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    profile = json.dumps({"num_rows": dataset.rows, "num_features": dataset.features, "target": dataset.target})
    source = json.dumps({"uri": redact(dataset.source)})
    entity = Dataset(dataset.name[:500], dataset.fingerprint[:36], "local", source, profile=profile)
    return DatasetInput(entity, [InputTag("mlflow.data.context", "search")])
