"""A real search in Chromium: asked for, watched while a worker runs it, and its loss used."""

from __future__ import annotations

import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.worker import Supervisor
from tests.services.api.serving import Running
from tests.services.pages.browser import launched, log_in, needs_chromium, opened, require_accessible

pytestmark = [needs_chromium, pytest.mark.e2e, pytest.mark.nightly, pytest.mark.timeout(1500)]

END = 1_200_000
"""Milliseconds within which a small search ends, even on a busy machine."""

TABLE = "age,sex,hours,income\n" + "".join(
    f"{20 + n % 50},{'fm'[n % 2]},{n * 7 % 40},{'high' if (n * 13) % 50 + n * 7 % 40 > 50 else 'low'}\n"
    for n in range(400)
)


@pytest.fixture
def worker(running: Running) -> Iterator[None]:
    """A worker of the service."""
    running.settings.searches.mkdir(parents=True, exist_ok=True)
    supervisor = Supervisor(running.settings, running.database)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    yield
    supervisor.stop()
    thread.join(120)


def test_a_real_search_is_watched_to_its_end(running: Running, worker: None, tmp_path: Path) -> None:
    del worker
    with launched() as browser, opened(browser, running) as page:
        log_in(page, "blue-member")
        page.goto("/datasets")
        page.locator("input[type=file]").set_input_files(
            {"name": "adults.csv", "mimeType": "text/csv", "buffer": TABLE.encode()}
        )
        page.get_by_role("button", name="Upload").click()
        page.get_by_role("link", name="New search").click()
        page.get_by_label("income").check()
        page.get_by_role("button", name="Next").click()
        page.get_by_label("Trials").fill("6")
        page.get_by_text("Space, model and further options").click()
        page.get_by_label("Other options as JSON").fill('{"epochs": 2, "confirm_seeds": 2}')
        page.locator("#question > p > button").click()
        page.locator("svg polyline.best").wait_for(timeout=END)
        page.get_by_role("heading", name="Verdict").wait_for(timeout=END)
        require_accessible(page)
        assert page.get_by_alt_text("Curves of the loss").evaluate("image => image.naturalWidth > 100")
        assert page.frame_locator("iframe").locator("h1").inner_text().startswith("average_precision")
        with page.expect_download() as download:
            page.get_by_role("link", name="The loss as a zip archive").click()
        zipfile.ZipFile(download.value.path()).extractall(tmp_path)
    used = [sys.executable, "-I", str(tmp_path / "bundle" / "loss.py")]
    assert subprocess.run(used, cwd=tmp_path, capture_output=True, timeout=300, check=False).returncode == 0
