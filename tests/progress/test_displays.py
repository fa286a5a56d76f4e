"""Which display a study gets, and what those without a terminal show."""

from __future__ import annotations

import io
import subprocess
import sys
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pytest

from losssearch.progress import progress
from losssearch.progress.lines import PAUSE, LineProgress
from losssearch.progress.notebook import NotebookProgress
from losssearch.progress.stages import clock_time
from losssearch.progress.terminal import TerminalProgress
from losssearch.study.observer import Recorder, SilentObserver

HOSTILE = "<script>alert(1)</script>"


class Clock:
    """Moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, str]]]:
    """A stand-in for IPython in a kernel: what was displayed, by the display's id."""
    shown: list[tuple[str, dict[str, str]]] = []

    class Handle:
        def __init__(self, number: int) -> None:
            self.name = f"display-{number}"

        def update(self, bundle: dict[str, str], *, raw: bool) -> None:
            assert raw
            shown.append((self.name, bundle))

    def display(bundle: dict[str, str], *, raw: bool, display_id: bool) -> Handle:
        assert raw
        assert display_id
        handle = Handle(len({name for name, _ in shown}))
        shown.append((handle.name, bundle))
        return handle

    module: Any = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    return shown


def test_a_display_suits_where_stderr_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    with progress(0) as silent:
        assert isinstance(silent, SilentObserver)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(progress(1), LineProgress)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert isinstance(progress(1), TerminalProgress)
    monkeypatch.setattr(sys, "stderr", None)
    assert isinstance(progress(1), LineProgress)


def test_a_kernel_gets_the_notebook_display_and_an_ipython_shell_does_not(
    kernel: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(progress(1), NotebookProgress)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=SimpleNamespace))
    assert isinstance(progress(1), LineProgress)


def test_progress_needs_no_ipython() -> None:
    script = (
        "import sys; sys.modules['IPython'] = None\n"
        "from losssearch.progress import progress\n"
        "with progress(1) as shown: shown.note('said')\n"
        "print('ipykernel' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False\n", "said\n")


def test_lines_come_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with LineProgress(clock) as shown:
        shown.note("a column\nis ignored")
        shown.underway(0.5)  # before the first stage there is nothing to show
        shown.stage("search", 100)
        for done in range(100):
            clock.now += 1
            shown.trials([None], done / 100)  # type: ignore[list-item]
        shown.stage("confirmation", 4)
        clock.now += PAUSE
        shown.advance()
    lines = capsys.readouterr().err.splitlines()
    assert lines[:3] == [
        "a column is ignored",
        "Searching 0/100",
        "Searching 10/100: best 0.09, 0:10, about 1:30 left",
    ]
    # One at the start, and one for each pause, the last of which says that all is done: the end does not say it again.
    assert sum(line.startswith("Searching") for line in lines) == 11
    assert lines[-4:] == [
        "Searching 100/100: best 0.99, 1:40",
        "Confirming 0/4",
        "Confirming 1/4: 0:10, about 0:30 left",
        "Confirming 1/4: 0:10",
    ]


def test_lines_survive_a_closed_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (closed, None):
        monkeypatch.setattr(sys, "stderr", stream)
        with LineProgress() as shown:
            shown.note("said")
            shown.stage("search", 2)


def test_a_time_budget_is_counted_down(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with LineProgress(clock) as shown:
        shown.deadline(90)
        shown.stage("search", 0)
        clock.now += PAUSE
        shown.trials([None, None], None)  # type: ignore[list-item]
    assert capsys.readouterr().err.splitlines() == [
        "Searching 0: 1:30 of the budget left",
        "Searching 2: 0:10, 1:20 of the budget left",
        "Searching 2: 0:10",
    ]


def test_a_notebook_has_one_display_that_is_updated(kernel: list[tuple[str, dict[str, str]]]) -> None:
    clock = Clock()
    with NotebookProgress(clock) as shown:
        shown.note("said once")
        shown.note("said once")
        shown.stage("search", 1000)
        for _ in range(1000):
            clock.now += 0.01
            shown.trials([None], 0.5)  # type: ignore[list-item]
        shown.stage("confirmation", 2)
        shown.advance()
        shown.advance()
    assert len({name for name, _ in kernel}) == 1
    assert 30 < len(kernel) < 80  # ten seconds at most five times a second, not once a trial
    last = kernel[-1][1]
    assert last["text/html"].count("said once") == 1
    assert "1,000/1,000" in last["text/html"]
    assert "Confirming" in last["text/html"]
    assert last["text/plain"] == "Confirming 2/2: 0:00"


@pytest.mark.parametrize("where", ["notes", "stages"])
def test_a_notebook_escapes_what_it_is_told(kernel: list[tuple[str, dict[str, str]]], where: str) -> None:
    tags: list[str] = []
    with NotebookProgress() as shown:
        shown.stage("search" if where == "notes" else HOSTILE, 2)
        shown.note(HOSTILE)
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append(tag)  # type: ignore[method-assign]
    parser.feed(kernel[-1][1]["text/html"])
    assert set(tags) == {"div", "span", "ul", "li"}


def test_a_recorder_keeps_each_note_once_and_hands_all_on() -> None:
    told: list[str] = []
    inner = SilentObserver()
    inner.note = told.append  # type: ignore[method-assign]
    recorder = Recorder(inner)
    for line in ("first", "second", "first"):
        recorder.note(line)
    assert recorder.notes == ["first", "second"]
    assert told == ["first", "second", "first"]


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (7.4, "0:07"), (750, "12:30"), (3900, "1:05:00")])
def test_times_are_clock_times(seconds: float, text: str) -> None:
    assert clock_time(seconds) == text


@pytest.mark.parametrize("display", [LineProgress, NotebookProgress, TerminalProgress, Recorder])
def test_no_display_shows_a_secret(
    kernel: list[tuple[str, dict[str, str]]], capsys: pytest.CaptureFixture[str], display: Any
) -> None:
    shown = display(SilentObserver()) if display is Recorder else display()
    shown.note("no answer from http://me:Hunter22@host/path?token=Hunter22")
    told = capsys.readouterr().err + str(kernel) + str(getattr(shown, "notes", ""))
    assert "no answer" in told
    assert "Hunter22" not in told


@pytest.mark.parametrize("kind", ["closed", "bare"])
def test_a_stderr_that_is_no_open_file_gets_lines_or_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream: Any = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream if kind == "closed" else SimpleNamespace(write=len))
    with progress() as shown:
        assert isinstance(shown, LineProgress)
        shown.note("said")
