"""Searches over HTTP: asked for once, listed, shown, cancelled, continued, deleted, and their results."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from losssearch.option_names import spelled_by
from losssearch.request.description import flag
from losssearch.storage.records import StudyRecord, TrialRecord, TrialState
from losssearch.storage.sql import SqlStore
from services import queue, schema
from tests.services.api.serving import Running, folder_of

ASKED: dict[str, Any] = {"target": "income", "metric": "roc_auc", "trials": 8}


def ask(running: Running, dataset: str, token: str = "writer", **given: Any) -> dict[str, Any]:
    with running.client(token) as client:
        answer = client.post("/v1/searches", json={"dataset": dataset, "name": "mine", "request": ASKED} | given)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def end(running: Running, search: str, state: str = "done") -> None:
    values = {"state": state, "exit_code": 0, "revision": schema.search.c.revision + 1}
    running.database.run(lambda c: c.execute(update(schema.search).where(schema.search.c.id == search).values(values)))


def test_a_search_waits_in_the_queue_as_it_was_asked_for(running: Running, ready: str) -> None:
    made = ask(running, ready)
    assert (made["state"], made["request"], made["owner"]["name"]) == ("queued", ASKED, "red-member")
    with running.client("reader") as client:
        assert client.get(f"/v1/searches/{made['id']}").json() == made
        listed = client.get("/v1/searches", params={"state": "queued"}).json()["items"]
        assert made["id"] in [one["id"] for one in listed]
        assert client.get("/v1/searches", params={"state": "failed"}).json()["items"] == []
    claimed = running.database.run(lambda c: queue.cancel(c, made["id"]))
    assert claimed == "cancelled"


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"target": "income", "model": "os:system"}, "model must be one of"),
        ({"target": "income", "space": "/etc/passwd"}, "space must be one of"),
        ({"target": "income", "out": "/tmp/x"}, "out is for whoever runs the study to say"),
        ({"target": "income", "tracking_uri": "http://evil"}, "tracking_uri is for whoever runs the study to say"),
        ({"target": "income", "imports": "os"}, "is for whoever runs the study to say"),
        ({"target": "incme"}, "target: unknown column 'incme'; did you mean income?"),
        ({"target": "income", "sensitive": ["age", "race"]}, "sensitive: unknown column 'race'"),
        ({"target": "income", "trials": 10**9}, "trials must be at most"),
        ({"target": "income", "speed": 3}, "unknown option 'speed'"),
        ({}, "target must name a column"),
    ],
)
def test_what_a_client_may_not_ask(running: Running, ready: str, request_: dict, said: str) -> None:
    with running.client() as client:
        answer = client.post("/v1/searches", json={"dataset": ready, "name": "x", "request": request_})
    assert (answer.status_code, said in answer.json()["detail"]) == (422, True), answer.text


def test_one_idempotency_key_makes_one_search(running: Running, ready: str) -> None:
    body = {"dataset": ready, "name": "once", "request": ASKED}
    with running.client() as client:
        first, second = (client.post("/v1/searches", json=body, headers={"Idempotency-Key": "k-1"}) for _ in "ab")
        assert (first.status_code, second.status_code) == (201, 201)
        assert first.json()["id"] == second.json()["id"]
        other = client.post("/v1/searches", json=body | {"name": "other"}, headers={"Idempotency-Key": "k-1"})
        assert (other.status_code, "stands for one request" in other.json()["detail"]) == (409, True)
    with running.client("admin") as client:  # the key is its owner's
        theirs = client.post("/v1/searches", json=body, headers={"Idempotency-Key": "k-1"}).json()
    assert theirs["id"] != first.json()["id"]


def test_an_etag_spares_what_is_known(running: Running, ready: str) -> None:
    search = ask(running, ready)["id"]
    with running.client() as client:
        shown = client.get(f"/v1/searches/{search}")
        known = {"If-None-Match": shown.headers["ETag"]}
        again = client.get(f"/v1/searches/{search}", headers=known)
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", shown.headers["ETag"])
        client.post(f"/v1/searches/{search}/cancel")
        changed = client.get(f"/v1/searches/{search}", headers=known)
    assert (changed.status_code, changed.json()["state"]) == (200, "cancelled")


def test_a_search_is_cancelled_continued_and_deleted(running: Running, ready: str) -> None:
    search = ask(running, ready)["id"]
    folder = folder_of(running, search)
    folder.mkdir(parents=True)
    with running.client() as client:
        assert client.delete(f"/v1/searches/{search}").status_code == 409
        assert client.post(f"/v1/searches/{search}/resume", json={}).status_code == 409
        assert client.post(f"/v1/searches/{search}/cancel").json()["state"] == "cancelled"
        fewer = client.post(f"/v1/searches/{search}/resume", json={"trials": 4})
        assert (fewer.status_code, "at least the 8" in fewer.json()["detail"]) == (409, True)
        more = client.post(f"/v1/searches/{search}/resume", json={"trials": 16}).json()
        assert (more["id"], more["state"], more["request"]["trials"]) == (search, "queued", 16)
        assert client.delete(f"/v1/datasets/{ready}").status_code == 409
        client.post(f"/v1/searches/{search}/cancel")
        assert client.delete(f"/v1/searches/{search}").status_code == 204
        assert client.get(f"/v1/searches/{search}").status_code == 404
    assert not folder.exists()
    asked = running.database.run(lambda c: c.execute(schema.discarded.select()).all())
    assert asked == []  # this service has no MLflow


def test_a_deleted_search_leaves_its_runs_in_mlflow_to_a_worker(running: Running, ready: str) -> None:
    here = running.app.state.service
    tracked = replace(here, settings=replace(here.settings, tracking_uri="http://mlflow:5000"))
    search = ask(running, ready)["id"]
    running.app.state.service = tracked
    try:
        with running.client() as client:
            client.post(f"/v1/searches/{search}/cancel")
            assert client.delete(f"/v1/searches/{search}").status_code == 204
    finally:
        running.app.state.service = here
    asked = running.database.run(lambda c: c.execute(schema.discarded.select()).mappings().all())
    assert [(row["search_id"], row["experiment"]) for row in asked] == [(search, "losssearch/red")]


def test_a_team_has_no_more_waiting_searches_than_its_quota(running: Running, ready: str) -> None:
    red = running.teams["red"].id
    with running.client("admin") as admin, running.client() as client:
        assert admin.patch(f"/v1/teams/{red}", json={"max_queued": 0, "max_trials": 64}).status_code == 204
        body = {"dataset": ready, "name": "x", "request": ASKED}
        answer = client.post("/v1/searches", json=body)
        assert (answer.status_code, "searches that wait" in answer.json()["detail"]) == (403, True)
        answer = client.post("/v1/searches", json=body | {"request": ASKED | {"trials": 65}})
        assert (answer.status_code, "at most 64" in answer.json()["detail"]) == (422, True)
        assert client.get("/v1/limits").json()["request"]["properties"]["trials"]["anyOf"][0]["maximum"] == 64
        admin.patch(f"/v1/teams/{red}", json={"max_queued": 100, "max_trials": 5000, "max_seconds": 600})
        assert ask(running, ready)["request"]["time_budget"] == 600
        admin.patch(f"/v1/teams/{red}", json={"max_seconds": 86400})


def test_results_are_there_once_the_search_has_finished(running: Running, ready: str) -> None:
    search = ask(running, ready)["id"]
    with running.client("reader") as client:
        for part in ("leaderboard", "verdict", "result", "report", "bundle", "model"):
            assert client.get(f"/v1/searches/{search}/{part}").status_code == 409, part
        assert client.get(f"/v1/searches/{search}/trials").json() == {"items": [], "counts": {}, "next": None}
    folder = folder_of(running, search)
    (folder / "export").mkdir(parents=True)
    result = {"verdict": {"text": "better"}, "best": {"formula": "CE"}, "metric": {"name": "roc_auc"}}
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "leaderboard.json").write_text(json.dumps([{"rank": 1, "name": "searched"}]))
    (folder / "report.html").write_text("<p>report</p>")
    (folder / "export" / "loss.py").write_text("print('loss')")
    (folder / "export" / "loss.json").write_text("{}")
    (folder / "export" / "requirements.txt").symlink_to("/etc/passwd")
    (folder / "export" / "secret.txt").write_text("not for others")
    end(running, search)
    with running.client("reader") as client:
        verdict = client.get(f"/v1/searches/{search}/verdict").json()
        assert (verdict["verdict"], verdict["formula"], verdict["ablation"]) == ({"text": "better"}, "CE", [])
        assert client.get(f"/v1/searches/{search}/leaderboard").json() == [{"rank": 1, "name": "searched"}]
        report = client.get(f"/v1/searches/{search}/report")
        assert report.text == "<p>report</p>"
        assert report.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
        bundle = client.get(f"/v1/searches/{search}/bundle")
        assert client.get(f"/v1/searches/{search}/bundle").content == bundle.content
        without = client.get(f"/v1/searches/{search}/model")
        assert (without.status_code, "kept by searches with differential privacy" in without.json()["detail"]) == (
            404,
            True,
        )
        (folder / "export" / "private_model.safetensors").write_bytes(b"weights")
        kept = client.get(f"/v1/searches/{search}/model")
        assert (kept.status_code, kept.content) == (200, b"weights")
        (folder / "export" / "private_model.safetensors").unlink()
    assert bundle.headers["Content-Disposition"] == f'attachment; filename="losssearch-{search[:8]}.zip"'
    names = zipfile.ZipFile(io.BytesIO(bundle.content)).namelist()
    assert names == ["bundle/loss.py", "bundle/loss.json", "bundle/report.html"]


@pytest.mark.parametrize(("metric", "best"), [("roc_auc", 3), ("log_loss", 0)])
def test_trials_are_paged_and_ranked_as_the_metric_says(running: Running, ready: str, metric: str, best: int) -> None:
    search = ask(running, ready)["id"]
    spec = {"parts": [{"term": "focal", "gamma": 2.0}]}
    store = SqlStore(running.settings.storage)
    config = {"metric": metric, "task": "binary"}
    store.create_study(StudyRecord(search, config, "0", "2026-01-01T00:00:00+00:00"))
    store.acquire(search)
    done = [
        TrialRecord(
            number, "searched", f"searched-{number}", spec, f"k{number}", TrialState.COMPLETED, value=number / 8
        )
        for number in range(4)
    ]
    store.save_trials(search, [*done, TrialRecord(4, "searched", "searched-4", spec, "k4")])
    store.close()
    with running.client() as client:
        first = client.get(f"/v1/searches/{search}/trials", params={"limit": 3}).json()
        assert [one["number"] for one in first["items"]] == [0, 1, 2]
        rest = client.get(f"/v1/searches/{search}/trials", params={"limit": 3, "after": first["next"]}).json()
        assert ([one["state"] for one in rest["items"]], rest["next"]) == (["completed", "running"], None)
        assert (rest["counts"]["completed"], rest["counts"]["running"]) == (4, 1)
        ranked = client.get(f"/v1/searches/{search}/trials", params={"sort": "value", "limit": 1}).json()["items"]
        assert [(one["number"], one["value"]) for one in ranked] == [(best, best / 8)]
        assert "focal" in ranked[0]["formula"]
        client.post(f"/v1/searches/{search}/cancel")
        assert client.delete(f"/v1/searches/{search}").status_code == 204
    store = SqlStore(running.settings.storage)
    assert search not in store.studies()
    store.close()


def test_options_are_named_as_the_api_names_them_whoever_starts_it(running: Running, ready: str) -> None:
    # `losssearch serve` is a command of the command line, whose messages name flags.
    body = {"dataset": ready, "name": "n", "request": ASKED | {"max_rows": 0}}
    with spelled_by(flag), running.client() as client:
        detail = client.post("/v1/searches", json=body).json()["detail"]
    assert detail.startswith("max_rows must be")
