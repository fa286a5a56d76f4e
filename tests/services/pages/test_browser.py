"""The pages in Chromium, as a person uses them; no worker runs, and what one would write is written."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.services.api.serving import TABLE, Running
from tests.services.pages.browser import launched, log_in, needs_chromium, opened, require_accessible
from tests.services.pages.people import logged_in
from tests.services.pages.results import begin, end

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [needs_chromium, pytest.mark.e2e]

CSV = {"name": "people.csv", "mimeType": "text/csv", "buffer": TABLE.encode()}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests."""
    with launched() as made:
        yield made


def ask(page: Page, name: str) -> str:
    """Upload a table, ask for a search with a constraint, and return its id."""
    page.goto("/searches/new")
    page.locator("input[type=file]").set_input_files(CSV)
    page.get_by_role("button", name="Upload").click()
    page.get_by_role("link", name="New search").click()
    page.get_by_label("income").check()
    page.get_by_role("button", name="Next").click()
    page.get_by_label("Name of the search").fill(name)
    page.get_by_label("f1 higher is better").check()
    page.get_by_label("sex 2 groups").check()
    page.get_by_text("Groups of sex").wait_for()
    page.get_by_label("Gap of constraint 1").select_option("demographic_parity_difference")
    page.get_by_label("Limit of constraint 1").fill("0.01")
    page.get_by_label("Limit of constraint 1").press("Tab")
    page.get_by_text("This limit cannot be verified").wait_for()
    page.get_by_label("Trials").fill("4")
    page.locator("#question > p > button").click()
    page.wait_for_url("**/searches/*said=created")
    return page.url.partition("?")[0].rpartition("/")[2]


def test_a_person_watches_a_search_and_takes_its_loss(browser: Browser, running: Running) -> None:
    with logged_in(running, "red-member") as person:
        search = person.ask(person.upload(), name="watched")
    with opened(browser, running) as page:
        log_in(page)
        page.get_by_role("link", name="watched").click()
        page.get_by_text("Waiting for a worker").wait_for()
        page.evaluate("window.unchanged = true")
        begin(running, search)
        page.get_by_text("3 of 5").first.wait_for()
        page.locator("svg polyline.best").wait_for()
        assert page.evaluate("window.unchanged"), "the page was kept up to date, and not loaded again"
        require_accessible(page)
        end(running, search)
        page.get_by_role("heading", name="Verdict").wait_for()
        assert page.frame_locator("iframe").get_by_text("The report.").is_visible()
        require_accessible(page)
        with page.expect_download() as download:
            page.get_by_role("link", name="The loss as a zip archive").click()
        assert "bundle/loss.py" in zipfile.ZipFile(download.value.path()).namelist()


@pytest.mark.nightly
def test_a_person_asks_for_a_search_again_and_cancels_it(browser: Browser, running: Running) -> None:
    with opened(browser, running) as page:
        log_in(page)
        search = ask(page, "asked")
        begin(running, search)
        end(running, search)
        page.get_by_role("heading", name="Verdict").wait_for()
        page.get_by_role("link", name="Run again with other options").click()
        assert page.get_by_label("sex 2 groups").is_checked()
        ask(page, "cancelled soon")
        page.get_by_role("button", name="Cancel this search").click()
        page.get_by_text("As far as it came").wait_for()


@pytest.mark.nightly
@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_is_accessible(browser: Browser, running: Running, width: int) -> None:
    with opened(browser, running, width) as page:
        log_in(page)
        waits, done = ask(page, "waits"), ask(page, "done")
        begin(running, done)
        end(running, done)
        dataset = page.request.get(f"/v1/searches/{done}").json()["dataset"]["id"]
        begin(running, waits)
        addresses = [f"/searches/{waits}", f"/searches/{done}", f"/searches/{done}/report", f"/datasets/{dataset}"]
        new = f"/searches/new?dataset={dataset}"
        addresses += [new, f"{new}&target=income&sensitive=sex", "/searches/new", "/searches", "/datasets", "/terms"]
        for address in (*addresses, "/terms/focal", "/tokens", "/admin", "/admin/audit"):
            page.goto(address)
            page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            require_accessible(page)
        page.get_by_role("button", name="Log out").click()
        page.get_by_role("heading", name="Log in").wait_for()
        require_accessible(page)


@pytest.mark.nightly
def test_everything_can_be_done_by_the_keyboard(browser: Browser, running: Running) -> None:
    with opened(browser, running) as page:

        def reach(what: str) -> None:
            """Press Tab until the element that ``what`` selects has the focus, which must be seen."""
            for _ in range(120):
                page.keyboard.press("Tab")
                if page.evaluate("what => document.activeElement.matches(what)", what):
                    assert page.evaluate("document.activeElement.matches(':focus-visible')")
                    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", what
                    return
            raise AssertionError(f"Tab does not reach {what}")

        page.goto("/login")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        reach("#name")
        page.keyboard.type("red-admin")
        reach("#password")
        page.keyboard.type("correct horse battery")
        page.keyboard.press("Enter")
        page.wait_for_url("**/searches")
        reach("a.button")
        page.keyboard.press("Enter")
        page.wait_for_url("**/searches/new")
        reach("input[type=file]")
        page.locator("input[type=file]").set_input_files(CSV)  # the system's own window has no keys for a test
        reach("button[type=submit]")
        page.keyboard.press("Enter")
        page.wait_for_url("**/datasets/*")
        reach("a.button")
        page.keyboard.press("Enter")
        reach("input[name=target]")
        page.keyboard.press("Space")
        page.keyboard.press("ArrowUp")  # the last column
        page.keyboard.press("Enter")
        page.wait_for_url("**target=income")
        reach("input[name=metric]")
        page.keyboard.press("ArrowDown")
        reach("input[name=sensitive]")
        page.keyboard.press("Space")
        page.get_by_text("Groups of").wait_for()
        reach("#trials")
        page.keyboard.type("4")
        page.keyboard.press("Enter")
        page.wait_for_url("**/searches/*said=created")
        reach(".actions button")
        page.keyboard.press("Enter")
        page.get_by_text("As far as it came").wait_for()


@pytest.mark.nightly
def test_without_javascript(browser: Browser, running: Running) -> None:
    with opened(browser, running, java_script_enabled=False) as page:
        log_in(page)
        page.goto("/searches/new")
        page.locator("input[type=file]").set_input_files(CSV)
        page.get_by_role("button", name="Upload").click()
        page.get_by_role("link", name="New search").click()
        page.get_by_label("income").check()
        page.get_by_role("button", name="Next").click()
        page.get_by_label("sex 2 groups").check()
        page.get_by_label("Gap of constraint 1").select_option("demographic_parity_difference")
        page.get_by_label("Limit of constraint 1").fill("0.01")
        page.get_by_role("button", name="Show groups and noise floor").click()
        page.get_by_text("This limit cannot be verified").wait_for()
        assert "csrf" not in page.url
        page.locator("#question > p > button").click()
        page.wait_for_url("**/searches/*said=created")
        search = page.url.partition("?")[0].rpartition("/")[2]
        begin(running, search)
        page.get_by_role("link", name="Load again").click()
        page.locator("svg polyline.best").wait_for()
        end(running, search)
        page.get_by_role("heading", name="Verdict").wait_for()  # the page loads itself
        page.get_by_text("Delete this search").click()
        page.get_by_role("button", name="Delete").click()
        page.wait_for_url("**/searches?said=deleted")
