"""How a study is told to stop: signals that nothing swallows, and processes that are not its own."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from losssearch import stopping
from losssearch.stopping import StopToken


@pytest.fixture(autouse=True)
def _default_handlers() -> Iterator[None]:
    """Whoever runs the tests in the background may ignore signals; what is ignored stays so."""
    before = {number: signal.getsignal(number) for number in stopping.SIGNALS}
    for number in before:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, own in before.items():
        signal.signal(number, own)


@pytest.fixture
def token() -> StopToken:
    return StopToken()


def test_a_token_that_nobody_asked_lets_everything_pass(token: StopToken) -> None:
    token.check()
    stopping.check()
    assert not (token.requested)
    assert not (token.urgent)
    assert not (stopping.current().requested)


def test_a_token_is_that_of_the_study_which_runs_here(token: StopToken) -> None:
    token.request()
    with stopping.active(token), pytest.raises(KeyboardInterrupt):
        stopping.check()
    stopping.check()
    seen: list[bool] = []
    with stopping.active(token):
        thread = threading.Thread(target=lambda: seen.append(stopping.current().requested))
        thread.start()
        thread.join()
    assert seen == [False]  # a study in another thread is another study


def test_a_study_that_is_ending_is_not_broken_into(token: StopToken) -> None:
    token.request()
    token.settle()
    token.check()
    token.request()
    assert token.urgent


def test_an_error_that_another_thread_found_ends_the_study(token: StopToken) -> None:
    token.abort(OSError("first"))
    token.abort(OSError("second"))
    with pytest.raises(OSError, match="first"):
        token.check()
    assert not token.requested


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_an_exception_that_python_swallows_is_not_lost(token: StopToken, number: signal.Signals) -> None:
    """The stop arrives inside a callback of the garbage collector, from where no exception gets out."""

    def collected(phase: str, info: dict[str, int]) -> None:
        if phase == "stop":
            signal.raise_signal(number)

    restore = stopping.listen(token)
    gc.callbacks.append(collected)
    try:
        gc.collect()
    finally:
        gc.callbacks.remove(collected)
        restore()
    assert token.requested
    with pytest.raises(KeyboardInterrupt):
        token.check()


def test_signals_raise_until_the_study_is_ending_and_then_only_ask(token: StopToken) -> None:
    restore = stopping.listen(token)
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        token.settle()
        signal.raise_signal(signal.SIGINT)
    finally:
        restore()
    assert token.urgent


def test_the_third_signal_ends_at_once_where_the_first_is_not_fresh(
    token: StopToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[bool] = []
    restore = stopping.listen(token, at_last=lambda: ended.append(True))
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        for number in (signal.SIGINT, signal.SIGTERM):  # three at once are one stop, in an orderly way
            signal.raise_signal(number)
        assert not ended
        monkeypatch.setattr(stopping, "AGAIN", 0.0)
        signal.raise_signal(signal.SIGTERM)
        assert ended
    finally:
        restore()


def test_handlers_of_others_stay_and_ours_go(token: StopToken) -> None:
    def own(number: int, frame: object) -> None: ...

    before = signal.signal(signal.SIGTERM, own)
    try:
        restore = stopping.listen(token)
        assert signal.getsignal(signal.SIGTERM) is own
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        restore()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_thread_may_listen_but_sets_no_handler(token: StopToken) -> None:
    problems: list[BaseException] = []

    def run() -> None:
        try:
            with stopping.stoppable():
                stopping.check()
        except BaseException as error:  # noqa: BLE001
            problems.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert not problems


def test_whoever_forks_and_returns_ends_where_the_code_of_others_ends() -> None:
    script = (
        "import os, sys\n"
        "from losssearch.stopping import one_process\n"
        "with one_process():\n"
        "    child = os.fork()\n"
        "print('went on', flush=True)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["went on", "1"]


@pytest.mark.parametrize("within", ["{0}", "exec('{0}; sum(range(9))')"], ids=["code", "text that is executed"])
def test_the_program_answers_signals_while_it_is_imported(within: str, tmp_path: Path) -> None:
    kill = within.format("os.kill(os.getpid(), signal.SIGTERM)")
    script = (
        "import os, signal, sys\n"
        "import losssearch.__main__ as program\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'losssearch.cli.app':\n"
        f"            {kill}\n"
        "sys.meta_path.insert(0, Finder())\n"
        "sys.exit(program.main())\n"
    )
    (tmp_path / "own.py").write_text(script, encoding="utf-8")
    command = [sys.executable, "-m", "own"]  # CPython ends in another way than after a script
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "losssearch: interrupted\n")


@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_a_signal_while_the_interpreter_ends_leaves_the_exit_code(number: signal.Signals) -> None:
    script = (
        "import os, sys\n"
        "from losssearch.__main__ import main\n"
        "class Late:\n"
        f"    def __del__(self, kill=os.kill, own=os.getpid()): kill(own, {int(number)})\n"
        "sys.late = Late()\n"
        "sys.argv = ['losssearch', '--no-such-option']\n"
        "sys.exit(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
