"""What every `Tracker` promises, and what the ones that record have recorded, read back by MLflow's client."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from losssearch.storage.records import TrialRecord, TrialState
from losssearch.tracking.background import BackgroundTracker
from losssearch.tracking.location import local_store
from losssearch.tracking.mlflow import MlflowTracker
from losssearch.tracking.tracker import DatasetInfo, SilentTracker, Tracker

# MLflow 3.17 maps with a loader that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

DATASET = DatasetInfo("adult", "f" * 64, rows=48842, features=14, target="income", source="adult.parquet")

FOCAL = TrialRecord(
    number=0,
    origin="searched",
    name="searched-0",
    spec={"parts": [{"term": "focal", "gamma": 1.5, "weight": {"learned": "uncertainty"}}], "decision": "tuned"},
    key="0" * 16,
    state=TrialState.COMPLETED,
    value=0.75,
    values=(0.5, 1.0),
    rate=0.003,
    epochs=20,
    rungs=((5, 0.25), (10, math.nan), (20, 0.5)),
    seconds=2.0,
)
PLAIN = replace(FOCAL, number=1, origin="baseline", name="cross_entropy", spec={"parts": [{"term": "cross_entropy"}]})
FAILED = replace(FOCAL, number=2, name="searched-2", state=TrialState.FAILED, value=math.inf, values=(), rungs=())
WAITING = replace(FOCAL, number=3, name="searched-3", state=TrialState.RUNNING, value=None)
TRIALS = [FOCAL, PLAIN, FAILED, WAITING]
FORMULAS = {0: "focal(gamma=1.5)", 1: "cross_entropy", 2: "focal(gamma=1.5)"}
RESULT = {"verdict": {"text": "Use focal.", "recommended": "searched"}, "best": {"formula": "focal(gamma=1.5)"}}


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The URI and the artifact folder of the one MLflow store that all tests share."""
    return local_store(tmp_path_factory.mktemp("tracking"))


@pytest.fixture
def client(tracking: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.chdir(tracking[1].parent)  # a study's store keeps paths within its folder
    return MlflowClient(tracking[0])


@pytest.fixture(params=["silent", "mlflow", "client", "background"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def new(kind: str, tracking: tuple[str, Path], tmp_path: Path) -> Iterator[Callable[[], Tracker]]:
    """Makes a further tracker on the same store at each call, as a further process would."""
    made: list[Tracker] = []

    def make() -> Tracker:
        tracker: Tracker = SilentTracker()
        if kind != "silent":
            tracker = MlflowTracker(tracking[0], kind, tracking[1], direct=kind != "client")
        made.append(BackgroundTracker(tracker, tmp_path / "spool.jsonl") if kind == "background" else tracker)
        return made[-1]

    yield make
    for tracker in made:
        if isinstance(tracker, BackgroundTracker):
            tracker.close("KILLED")


def _start(tracker: Tracker, run_id: str | None = None, **params: Any) -> dict[str, str]:
    return tracker.start("adult", {"trials": 128, **params}, {"losssearch.task": "binary"}, DATASET, run_id=run_id)


def _children(client: MlflowClient, parent: str) -> dict[str, Run]:
    experiment = client.get_run(parent).info.experiment_id
    found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    children = {run.data.tags["losssearch.trial"]: run for run in found}
    assert len(children) == len(found), "a trial has two children"
    return children


def test_a_whole_study_passes_through(new: Callable[[], Tracker], kind: str, tmp_path: Path) -> None:
    tracker = new()
    tracker.prepare()
    where = _start(tracker)
    assert set(where) == (set() if kind == "silent" else {"tracking_uri", "experiment", "experiment_id", "run_id"})
    tracker.log_trials([], {}, "f1")
    tracker.log_trials(TRIALS, FORMULAS, "f1")
    tracker.log_result(RESULT, [Path(__file__)], {"test_f1": 0.5})
    tracker.close("FINISHED")
    assert tuple(tracker.problems) == ()
    assert not list(tmp_path.iterdir())


that_records = pytest.mark.parametrize("kind", ["mlflow", "client", "background"], indirect=True)


@that_records
def test_each_ended_trial_is_one_child(new: Callable[[], Tracker], client: MlflowClient) -> None:
    tracker = new()
    run_id = _start(tracker)["run_id"]
    tracker.log_trials(TRIALS[:2], FORMULAS, "cost(fp=1,fn=5)")
    tracker.log_trials(TRIALS, FORMULAS, "cost(fp=1,fn=5)")
    tracker.close("FINISHED")
    children = _children(client, run_id)
    assert sorted(children) == ["0", "1", "2"]
    focal, failed = children["0"], children["2"]
    assert (focal.info.run_name, focal.info.status, failed.info.status) == ("searched-0", "FINISHED", "FAILED")
    assert focal.info.end_time - focal.info.start_time == 2000
    assert focal.data.params == {
        "parts.0.term": "focal",
        "parts.0.gamma": "1.5",
        "parts.0.weight.learned": "uncertainty",
        "decision": "tuned",
        "rate": "0.003",
        "epochs": "20",
    }
    tags = {name: focal.data.tags[f"losssearch.{name}"] for name in ("formula", "origin", "state")}
    assert tags == {"formula": "focal(gamma=1.5)", "origin": "searched", "state": "completed"}
    # The standard deviation of (0.5, 1.0) with n - 1.
    name = "validation_cost_fp_1_fn_5"
    assert focal.data.metrics == {name: 0.75, f"{name}_std": pytest.approx(0.125**0.5)}
    assert failed.data.metrics == {}
    history = client.get_metric_history(focal.info.run_id, name)
    assert [(point.step, point.value) for point in history] == [(5, 0.25), (20, 0.75)]


@that_records
def test_the_parent_tells_the_study_and_its_result(
    new: Callable[[], Tracker], client: MlflowClient, tmp_path: Path
) -> None:
    tracker = new()
    run_id = _start(tracker, space={"name": "binary", "slots": [1, 2]})["run_id"]
    assert client.get_run(run_id).info.status == "RUNNING"
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "history.svg").write_text("<svg/>")
    (tmp_path / "leaderboard.json").write_text(json.dumps([1]))
    files = [tmp_path / "figures", tmp_path / "leaderboard.json"]
    tracker.log_result(RESULT, files, {"test_f1": 0.5, "test_cost(fp=1,fn=5)": 2.0, "gap": math.nan})
    tracker.close("FINISHED")
    run = client.get_run(run_id)
    assert (run.info.run_name, run.info.status) == ("adult", "FINISHED")
    assert run.data.params == {"trials": "128", "space.name": "binary", "space.slots.0": "1", "space.slots.1": "2"}
    assert run.data.metrics == {"test_f1": 0.5, "test_cost_fp_1_fn_5": 2.0}
    assert run.data.tags["losssearch.study"] == "adult"
    assert run.data.tags["losssearch.task"] == "binary"
    assert run.data.tags["mlflow.note.content"] == "Use focal."
    assert [file.path for file in client.list_artifacts(run_id)] == ["figures", "leaderboard.json"]
    assert run.inputs is not None
    (given,) = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("adult", "f" * 36)
    assert given.dataset.profile is not None
    assert json.loads(given.dataset.profile) == {"num_rows": 48842, "num_features": 14, "target": "income"}
    assert json.loads(given.dataset.source) == {"uri": "adult.parquet"}


@that_records
def test_a_resumed_study_keeps_its_run_and_its_children(new: Callable[[], Tracker], client: MlflowClient) -> None:
    first = new()
    where = _start(first)
    first.log_trials([FOCAL], FORMULAS, "f1")
    first.close("KILLED")
    assert client.get_run(where["run_id"]).info.status == "KILLED"
    half = client.create_run(
        client.get_run(where["run_id"]).info.experiment_id,
        tags={"mlflow.parentRunId": where["run_id"], "losssearch.trial": "1"},
    )
    second = new()
    assert _start(second, where["run_id"], trials=256, extra=True) == where
    assert client.get_run(where["run_id"]).info.status == "RUNNING"
    second.log_trials(TRIALS, FORMULAS, "f1")
    second.close("FINISHED")
    children = _children(client, where["run_id"])
    assert sorted(children) == ["0", "1", "2"]
    assert children["1"].info.run_id == half.info.run_id
    assert children["1"].info.status == "FINISHED"
    assert children["1"].data.metrics["validation_f1"] == 0.75
    assert client.get_run(where["run_id"]).data.params == {"trials": "128", "extra": "True"}


@that_records
def test_a_run_that_is_gone_is_made_anew(new: Callable[[], Tracker], client: MlflowClient) -> None:
    first = new()
    old = _start(first)["run_id"]
    first.close("KILLED")
    client.delete_run(old)
    for gone in (old, "0" * 32):
        tracker = new()
        run_id = _start(tracker, gone)["run_id"]
        assert run_id != gone
        tracker.log_trials([FOCAL], FORMULAS, "f1")
        tracker.close("FINISHED")
        assert sorted(_children(client, run_id)) == ["0"]


@pytest.mark.parametrize("kind", ["mlflow", "client"], indirect=True)
def test_the_runs_of_a_study_are_removed_and_no_others(
    new: Callable[[], Tracker], kind: str, tracking: tuple[str, Path], client: MlflowClient
) -> None:
    kept, gone = new(), new()
    parents = [one.start(name, {}, {}, DATASET)["run_id"] for one, name in ((kept, "kept"), (gone, "gone"))]
    for one in (kept, gone):
        one.log_trials(TRIALS, FORMULAS, "f1")
        one.close("FINISHED")
    removing = MlflowTracker(tracking[0], kind)
    assert removing.remove("gone") == 4
    assert [client.get_run(one).info.lifecycle_stage for one in parents] == ["active", "deleted"]
    assert (len(_children(client, parents[0])), _children(client, parents[1])) == (3, {})
    assert removing.remove("gone") == 0
    assert MlflowTracker(tracking[0], "nowhere").remove("gone") == 0
    assert client.get_experiment_by_name("nowhere") is None
