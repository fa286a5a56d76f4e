"""The pages without a browser: who sees what, what a form must bring along, and what every page carries."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from fastapi.routing import APIRoute

from services import schema
from services.pages.results import mlflow_address, mlflow_table
from services.pages.site import routers
from services.pages.visiting import PageRoute, own_address
from services.queue.syncing import miss
from tests.services.api.serving import PASSWORD, Running
from tests.services.pages.people import Page, Person, logged_in
from tests.services.pages.results import begin, end, fail

OPEN = ("/login", "/login/link", "/static/{name}", "/favicon.ico")


def addresses() -> list[tuple[str, str]]:
    """Every method and path of a page."""
    routes = [route for router in routers(1_000_000) for route in router.routes if isinstance(route, APIRoute)]
    assert all(isinstance(route, PageRoute) for route in routes)
    found = sorted({(method, route.path) for route in routes for method in route.methods})
    assert len(found) > 30
    return found


def filled(path: str) -> str:
    return re.sub(r"\{\w+\}", "0" * 32, path)


def test_nobody_sees_a_page_before_the_login(running: Running) -> None:
    with httpx.Client(base_url=running.url, timeout=60) as client:
        for method, path in addresses():
            answer = client.request(method, filled(path))
            if path in OPEN or (path == "/datasets" and method == "POST"):
                continue
            assert answer.status_code == 303, (method, path, answer.status_code)
            assert answer.headers["Location"].startswith("/login"), (method, path)
        form = {"files": {"file": ("a.csv", b"a,b\n1,2\n")}}
        assert client.post("/datasets", **form).headers["Location"] == "/login"


def test_a_form_without_the_csrf_token_changes_nothing(running: Running, admin: Person) -> None:
    for method, path in addresses():
        if method == "GET" or path == "/login":
            continue
        files = {"files": {"file": ("a.csv", b"a,b\n1,2\n")}} if path == "/datasets" else {}
        answer = admin.client.post(filled(path), data={"csrf": "A" * 43}, **files)
        assert answer.status_code == 403, (path, answer.status_code)
        assert "CSRF" in answer.text
    admin.look("/searches")


def test_who_runs_it_alone_is_told_where_the_link_is(running: Running) -> None:
    service = running.app.state.service
    with running.client(None) as client:
        assert "made by an admin" in client.get("/login").text
        running.app.state.service = replace(service, settings=replace(service.settings, dev=True))
        try:
            assert "<code>losssearch serve --dev</code> prints a link" in client.get("/login").text
        finally:
            running.app.state.service = service


def test_login_goes_to_the_page_that_was_asked_for_and_nowhere_else(running: Running) -> None:
    with httpx.Client(base_url=running.url, timeout=60) as client:
        asked = client.get("/searches?state=done")
        assert asked.headers["Location"] == "/login?next=/searches%3Fstate%3Ddone"
        form = Page(client.get(asked.headers["Location"])).fields("/login")
        given = {"name": "red-member", "password": PASSWORD, "next": form["next"]}
        answer = client.post("/login", data=given)
        assert answer.headers["Location"] == "/searches?state=done"
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        answer = client.post("/login", data=given | {"password": "wrong"})
        assert answer.status_code == 401
        assert "name and password must be" in Page(answer).words
        foreign = client.post("/login", data=given, headers={"Origin": "http://elsewhere.example"})
        assert foreign.status_code == 403


@pytest.mark.parametrize(
    "address", ["//elsewhere.example", "https://elsewhere.example", "/\\elsewhere", "javascript:alert(1)", "", "x"]
)
def test_no_address_leads_away(address: str) -> None:
    assert own_address(address) == "/searches"


def test_a_search_from_upload_to_result(running: Running, member: Person) -> None:
    dataset = member.upload()
    page = member.look(f"/datasets/{dataset}")
    assert "income categorical" in page.words
    assert "60 rows" in member.look("/searches/new").words
    assert member.look(f"/searches/new?dataset={dataset}").fields("/searches/new")["dataset"] == dataset
    step = f"/searches/new?dataset={dataset}&target=income&sensitive=sex&gap=demographic_parity_difference&limit=0.02"
    page = member.look(step)
    assert "f1 higher is better" in page.words
    assert "about 30 about 6" in page.words
    assert "This limit cannot be verified" in page.words
    cut = member.ask(dataset, name="cut", sensitive=["sex", "age>=30"])
    member.send(f"/searches/{cut}/cancel")
    page = member.look(member.look(f"/searches/{cut}").links("^/searches/new")[0])
    kept = [one for tag, one in page.tags if one.get("name") == "sensitive"]
    assert [one["value"] for one in kept if "checked" in one or one.get("class") == "medium"] == ["sex", "age>=30", ""]
    page = Page(member.send("/searches", 422, dataset=dataset, target="income", sensitive="wage>=30"))
    assert "sensitive: unknown column 'wage>=30'" in page.words
    search = member.ask(dataset, name="my search", sensitive="sex", gap="demographic_parity_difference", limit="0.3")
    assert "Waiting for a worker" in member.look(f"/searches/{search}").words
    begin(running, search)
    page = member.look(f"/searches/{search}/live")
    assert "Search: 3 of 5" in page.words
    assert "1 0.52 focal(gamma=2) 2" in page.words
    assert ("polyline", "best") in [(tag, found.get("class")) for tag, found in page.tags]
    end(running, search)
    assert member.client.get(f"/searches/{search}/live").headers["HX-Redirect"] == f"/searches/{search}"
    page = member.look(f"/searches/{search}")
    for text in ("Verdict: probably better", "Use the searched loss.", "0.51 ± 0.01", "so few rows cannot verify"):
        assert text in page.words
    settings = replace(running.settings, tracking_uri="http://127.0.0.1:5000")
    found = {"mlflow_run": "a" * 32}
    assert mlflow_address(settings, found) == f"http://127.0.0.1:5000/#/runs/{'a' * 32}"
    settings = replace(settings, tracking_uri="http://mlflow:5000/mlflow", public_url="https://l.example/")
    assert mlflow_address(settings, found) == f"https://l.example/mlflow/#/runs/{'a' * 32}"
    assert mlflow_address(settings, {"mlflow_run": None}) is None
    result = {"mlflow": {"experiment_id": "7"}, "metric": {"name": "cost(fp=1,fn=5)", "direction": "minimize"}}
    assert mlflow_table(settings, found, {"mlflow": {}}) is None  # of an earlier version
    table = urlsplit(urlsplit(str(mlflow_table(settings, found, result))).fragment)
    assert table.path == "/experiments/7/runs"
    assert dict(parse_qsl(table.query)) == {
        "workflowType": "machine_learning",
        "searchFilter": f"tags.`mlflow.parentRunId` = '{'a' * 32}'",
        "orderByKey": "metrics.`validation_cost_fp_1_fn_5`",
        "orderByAsc": "true",
        "startTime": "ALL",
    }
    zipped = member.client.get(page.links("/bundle$")[0])
    assert zipfile.ZipFile(io.BytesIO(zipped.content)).namelist() == ["bundle/loss.py", "bundle/report.html"]
    assert member.client.get(f"/searches/{search}/figures/loss_shape.png").headers["Content-Type"] == "image/png"
    member.look(f"/searches/{search}/figures/result.png", 404)
    again = member.look(page.links("^/searches/new")[-1])
    assert again.fields("/searches")["limit"] == ""
    assert {"0.3", "0.05"} >= {one.get("value") for tag, one in again.tags if one.get("name") == "limit"} - {""}
    assert again.fields("/searches")["seed"] == "1"
    listed = member.look("/searches?whose=mine").words
    assert "my search finished" in listed
    member.send(f"/searches/{search}/resume", trials="8")
    assert "waiting" in member.look("/searches").words


def test_a_form_that_is_wrong_keeps_what_was_filled_in(member: Person) -> None:
    dataset = member.upload()
    fields = {"dataset": dataset, "target": "income", "name": "kept", "trials": "1", "more": '{"confirm_seeds": 3}'}
    page = Page(member.send("/searches", 422, **fields))
    assert "trials must" in page.words
    form = page.fields("/searches")
    assert (form["name"], form["trials"]) == ("kept", "1")
    assert '{"confirm_seeds": 3}' in page.text
    for wrong, told in (
        ({"more": "["}, "JSON object"),
        ({"gap": "demographic_parity_difference"}, "a gap and a limit"),
        ({"metric": "other"}, "metric: write"),
        ({"trials": "many"}, "trials must be a whole number"),
        ({"more": '{"storage": "sqlite:///x"}'}, "storage"),
        ({"more": '{"model": "os:system"}'}, "model must be one of"),
    ):
        page = Page(member.send("/searches", 422, **{**fields, "trials": "4", **wrong}))
        assert told in page.words, wrong


def test_an_upload_that_is_no_table_says_so(member: Person) -> None:
    answer = member.send("/datasets", name="broken", files={"file": ("x.parquet", b"nothing")})
    page = member.look(answer.headers["Location"])
    assert "The content cannot be used" in page.words
    page = Page(member.send("/datasets", 422, files={"file": ("x.exe", b"nothing")}))
    assert "format must be one of" in page.words
    page = Page(member.send("/datasets", 422, files={"file": ("", b"")}))
    assert "a file must be chosen" in page.words


def test_cancel_and_failure_are_told(running: Running, member: Person) -> None:
    dataset = member.upload()
    search = member.ask(dataset)
    member.send(f"/searches/{search}/cancel")
    assert "cancelled" in member.look(f"/searches/{search}").words
    search = member.ask(dataset)
    begin(running, search)
    fail(running, search, "the target is constant")
    page = member.look(f"/searches/{search}")
    assert "It failed: the target is constant" in page.words
    assert "As far as it came" in page.words
    page = Page(member.send(f"/datasets/{dataset}/delete", 409))
    assert "a dataset is deleted after its searches" in page.words
    member.send(f"/searches/{search}/delete")
    member.look(f"/searches/{search}", 404)


def test_another_teams_things_are_not_there(running: Running, member: Person) -> None:
    dataset = member.upload()
    search = member.ask(dataset, name="a red one")
    begin(running, search)
    end(running, search)
    with logged_in(running, "blue-admin") as other:
        of_search = ("", "/live", "/report", "/figures/loss_shape.png")
        pages = [f"/searches/{search}{one}" for one in of_search]
        for address in (*pages, f"/datasets/{dataset}", f"/searches/new?dataset={dataset}"):
            other.look(address, 404)
        for action in ("cancel", "resume", "delete"):
            other.send(f"/searches/{search}/{action}", 404)
        other.send(f"/datasets/{dataset}/delete", 404)
        other.send("/searches", 404, dataset=dataset, target="income")
        assert "a red one" not in other.look("/searches").text


def test_tokens_are_shown_once_and_revoked(running: Running, member: Person) -> None:
    page = Page(member.send("/tokens", 200, name="for a script", scope="read", days="7"))
    token = re.search(r"ls_[0-9a-f]{12}_[\w-]{43}", page.text)
    assert token
    headers = {"Authorization": f"Bearer {token[0]}"}
    assert httpx.get(f"{running.url}/v1/datasets", headers=headers).status_code == 200
    page = member.look("/tokens")
    assert token[0] not in page.answer.text
    identifier = next(found["action"] for tag, found in page.tags if tag == "form" and "revoke" in found["action"])
    member.send(identifier)
    assert httpx.get(f"{running.url}/v1/datasets", headers=headers).status_code == 401
    assert "scope must be within" in Page(member.send("/tokens", 403, name="x", scope="admin", days="")).words


def test_admins_manage_users_and_teams_and_members_do_not(running: Running, member: Person, admin: Person) -> None:
    for address in ("/admin", "/admin/audit"):
        member.look(address, 403)
    member.send("/admin/users", 403, name="x")
    red = running.teams["red"].id
    admin.send("/admin/users", name="new-one", team_id=red, role="member", password="a long password")
    page = Page(admin.send("/admin/users", 422, name="another", team_id=red, role="member", password="short"))
    assert "password:" in page.words
    assert "short" not in page.text.replace("password: String should", "")
    admin.send("/admin/teams", name="green", max_running="2")
    admin.send(f"/admin/teams/{red}", max_queued="77")
    page = admin.look("/admin")
    assert page.fields(f"/admin/teams/{red}")["max_queued"] == "77"
    assert "user.create" in admin.look("/admin/audit").words
    user = running.teams["red"].who["member"].user
    admin.send(f"/admin/users/{user}", role="member", team_id=red, disabled="yes")
    assert member.client.get("/searches").headers["Location"].startswith("/login")
    admin.send(f"/admin/users/{user}", role="member", team_id=red)


def test_what_a_browser_loads_is_ours_and_kept(running: Running) -> None:
    page = Page(httpx.get(f"{running.url}/login"))
    page.require_harmless()
    loaded = [found.get("href") or found.get("src") for tag, found in page.tags if tag in ("link", "script")]
    assert len(loaded) == 4
    for address in loaded:
        answer = httpx.get(f"{running.url}{address}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]
    answer = httpx.get(f"{running.url}/nothing", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert httpx.get(f"{running.url}/nothing").headers["Content-Type"] == "application/problem+json"


def test_a_user_changes_the_own_password(running: Running) -> None:
    with logged_in(running, "blue-member") as person, logged_in(running, "blue-member") as elsewhere:
        page = person.look("/password")
        page.require_harmless()
        assert set(page.fields("/password")) >= {"csrf", "current", "password", "revoke_tokens"}
        wrong = person.send("/password", 403, current="not this one", password="another good password")
        assert "the current password must be given" in wrong.text
        assert person.send("/password", 422, current=PASSWORD, password="short").status_code == 422
        elsewhere.look("/searches")
        assert (
            person.send("/password", current=PASSWORD, password=PASSWORD + "!")
            .headers["Location"]
            .startswith("/tokens")
        )
        assert elsewhere.client.get("/searches").headers["Location"].startswith("/login")
        person.send("/password", current=PASSWORD + "!", password=PASSWORD)


def test_an_admin_revokes_the_tokens_of_others(running: Running, admin: Person) -> None:
    with logged_in(running, "blue-member") as person:
        person.send("/tokens", 200, name="left on a train", scope="read", days="7")
        user = running.teams["blue"].who["member"].user
        page = admin.look(f"/admin/users/{user}/tokens")
        page.require_harmless()
        assert "left on a train" in page.words
        (revoke, *_) = [action for action in page._forms if action.endswith("/revoke")]
        admin.send(revoke)
        assert "revoked" in admin.look(f"/admin/users/{user}/tokens").words
        assert "revoked" in person.look("/tokens").words
        person.look(f"/admin/users/{user}/tokens", 403)


def test_a_page_says_what_mlflow_misses(running: Running, member: Person) -> None:
    search = member.ask(member.upload(), name="untracked")
    begin(running, search)
    end(running, search)
    path, api = f"/searches/{search}", f"/v1/searches/{search}"
    assert "MLflow does not have all" not in member.look(path).words
    assert member.client.get(api).json()["tracking"] == {"complete": True, "problem": "", "tries": 0, "next": None}
    running.database.run(lambda connection: miss(connection, search, "<b>503</b>"))
    words = member.look(path).words
    for said in ("MLflow does not have all of this search (", "<b>503</b>", "nothing is lost; the next try"):
        assert said in words
    given_up = {"due": None, "tries": 9}
    running.database.run(lambda connection: connection.execute(schema.sync.update().values(given_up)))
    assert "told again 9 times in vain" in member.look(path).words
    told = member.client.get(api).json()["tracking"]
    assert told == {"complete": False, "problem": "<b>503</b>", "tries": 9, "next": None}
