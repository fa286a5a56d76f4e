"""A program that is tied to who started it: it is asked to end, and what it left behind is ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.services.test_worker import END, lives, wait_for

ROOT = Path(__file__).resolve().parents[2]


def tethered(script: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "services.tethered", sys.executable, "-c", script]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_program_that_handles_no_signal_ends_by_sigterm_when_its_starter_is_gone() -> None:
    with tethered("import os, time; print(os.getpid(), flush=True); time.sleep(600)") as process:
        assert process.stdout is not None
        assert process.stdin is not None
        pid = int(process.stdout.readline())
        process.stdin.close()
        assert process.wait(END) == 128 + 15
        assert not lives(pid)


def test_the_exit_code_is_that_of_the_program_and_nothing_stays() -> None:
    script = "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, flush=True); sys.exit(7)"
    with tethered(script) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert process.wait(END) == 7
        wait_for(lambda: not lives(pid))
