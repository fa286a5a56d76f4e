"""The example notebook, executed without a browser; its progress is then looked at as a picture."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from matplotlib.image import imread
from nbclient import NotebookClient
from traitlets.config import Config

import losssearch as ls

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "search.ipynb"
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
PAGE = '<!doctype html><meta charset="utf-8"><body style="margin:0;width:900px;background:{};color:{}">{}</body>'


class Watched(NotebookClient):  # type: ignore[misc]
    """Executes a notebook and keeps each state of its displays, by the displays' ids."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.shown: dict[str, list[str]] = {}

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        """See `NotebookClient.process_message`."""
        if name := msg["content"].get("transient", {}).get("display_id"):
            self.shown.setdefault(name, []).append(msg["content"]["data"]["text/html"])
        return super().process_message(msg, cell, cell_index)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Watched, Path]:
    """The notebook after its last cell, and the folder that it ran in. Any cell that raises is an error."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "the example is kept without outputs"
    client = Watched(
        notebook,
        timeout=None,
        startup_timeout=600,
        config=Config(KernelManager={"transport": "ipc", "ip": str(folder / "kernel")}),  # no open port
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    return client, folder


def outputs(client: Watched, source: str) -> list[Any]:
    cell = next(cell for cell in client.nb.cells if cell.cell_type == "code" and cell.source.startswith(source))
    return list(cell.outputs)


def page(client: Watched, source: str) -> str:
    (output,) = outputs(client, source)
    return str(output["data"]["text/html"])


def test_progress_is_one_display_that_moves(executed: tuple[Watched, Path]) -> None:
    client, _ = executed
    (states,) = client.shown.values()
    counts = [int(found[1]) for state in states if (found := re.search(r"(\d+)/48", state))]
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == 48
    assert len(set(counts)) > 3
    (output,) = outputs(client, "result = ls.search")
    assert output["data"]["text/html"] == states[-1]
    assert all(title in states[-1] for title in ("Searching", "Re-evaluating", "Confirming", "positive class is"))


def test_no_cell_writes_to_stderr(executed: tuple[Watched, Path]) -> None:
    streams = [output for cell in executed[0].nb.cells for output in cell.get("outputs", ()) if "name" in output]
    assert streams == []


def test_what_the_notebook_shows_is_what_the_folder_holds(executed: tuple[Watched, Path]) -> None:
    client, folder = executed
    (out,) = (folder / "losssearch-runs").iterdir()
    result = ls.load_result(out)
    assert page(client, "again =") == result.verdict._repr_html_()
    assert page(client, "result.loss") == result.loss._repr_html_()  # type: ignore[operator]
    assert any("positive class is" in note for note in result.notes)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine (apt-get install chromium)")
@pytest.mark.parametrize(
    ("background", "text"), [("#ffffff", "#000000"), ("#111111", "#e0e0e0")], ids=["light", "dark"]
)
def test_the_picture_of_a_search_under_way_shows_how_far_it_is(
    executed: tuple[Watched, Path], tmp_path: Path, background: str, text: str
) -> None:
    (states,) = executed[0].shown.values()
    under_way = [(int(found[1]), state) for state in states if (found := re.search(r"(\d+)/48", state))]
    done, state = min(under_way, key=lambda each: abs(each[0] - 24))
    assert 0 < done < 48
    (tmp_path / "page.html").write_text(PAGE.format(background, text, state), encoding="utf-8")
    picture = tmp_path / "page.png"
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'browser'}"]
    command += ["--window-size=900,200", f"--screenshot={picture}", (tmp_path / "page.html").as_uri()]
    subprocess.run(command, check=True, capture_output=True)
    pixels = imread(picture)[..., :3]
    filled = near(pixels, (0x3B, 0x82, 0xC4))
    row = filled.sum(axis=1).argmax()
    written = np.abs(pixels - [int(background[n : n + 2], 16) / 255 for n in (1, 3, 5)]).max(axis=2)
    bar = written[row] > 0.05
    start = int(filled[row].argmax())
    length = int((~bar[start:]).argmax())  # the bar, filled or not, up to the page beside it
    assert filled[row].sum() / length == pytest.approx(done / 48, abs=0.04)
    assert written.max() > 0.6  # the text stands out


def near(pixels: Any, colour: tuple[int, int, int]) -> Any:
    return (np.abs(pixels - np.array(colour) / 255) < 0.02).all(axis=2)
