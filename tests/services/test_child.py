"""The process of a study: what it is asked, what it may take, and that it ends with its worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from losssearch.errors import OptionError
from services.child import request_of, summary_of

ROOT = Path(__file__).resolve().parents[2]


def job(tmp_path: Path, **changed: object) -> dict[str, Any]:
    made = {
        "parent": os.getpid(),
        "search": "a" * 32,
        "attempt": 1,
        "request": {"target": "y", "trials": 4},
        "data": str(tmp_path / "d.parquet"),
        "data_name": "people",
        "out": str(tmp_path / ("a" * 32)),
        "storage": f"sqlite:///{tmp_path}/studies.db",
        "tracking_uri": None,
        "experiment": "losssearch/one",
        "ray_address": None,
        "memory": None,
    }
    return made | changed


def child(content: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.child"]
    return subprocess.run(command, input=json.dumps(content), capture_output=True, text=True, cwd=ROOT, check=False)


def test_the_request_of_a_job(tmp_path: Path) -> None:
    found = request_of(job(tmp_path))
    assert (found.target, found.trials, found.study, found.workers, found.mlflow) == ("y", 4, "a" * 32, 0, False)
    found = request_of(job(tmp_path, tracking_uri="http://mlflow", ray_address="ray:6379"))
    assert (Path(found.data).name, found.data_name) == ("d.parquet", "people")
    assert (found.experiment, found.workers, found.ray_address) == ("losssearch/one", None, "ray:6379")


@pytest.mark.parametrize(
    "asked", [{"model": "os:system"}, {"space": "/etc/passwd"}, {"out": "/tmp"}, {"imports": ["os"]}]
)
def test_a_request_that_names_code_or_files_is_refused(tmp_path: Path, asked: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        request_of(job(tmp_path, request={"target": "y"} | asked))


def test_what_is_refused_is_told_in_a_line_with_the_exit_code_of_the_command_line(tmp_path: Path) -> None:
    done = child(job(tmp_path, request={"target": "y", "model": "os:system"}))
    assert done.returncode == 2
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["event"] == "problem"
    assert done.stderr.startswith("losssearch: model must be one of")
    assert len(done.stderr.splitlines()) == 1


def test_a_child_without_its_worker_ends_at_once(tmp_path: Path) -> None:
    done = child(job(tmp_path, parent=1))
    assert (done.returncode, done.stdout, done.stderr) == (137, "", "")


def test_a_child_takes_no_more_memory_than_it_may() -> None:
    asked = "from services.child import limit; limit(256 << 20); bytearray(1 << 20); print('fits'); bytearray(1 << 30)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == "fits\n"
    assert done.stderr.splitlines()[-1] == "MemoryError"


def test_a_child_leaves_the_processor_to_the_rest_of_the_service() -> None:
    asked = "import os; from services.child import step_back; step_back(); print(os.nice(0))"
    command = [sys.executable, "-c", asked]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True, start_new_session=True)
    assert int(ran.stdout) == os.nice(0) + 10


def test_what_libraries_print_does_not_reach_the_worker() -> None:
    asked = (
        "import os; from services.child import own_stdout, tell; lines = own_stdout();"
        "print('from python', flush=True); os.write(1, b'from below\\n'); tell(lines, 'note', text='ours')"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == '{"event": "note", "text": "ours"}\n'
    assert done.stderr == "from python\nfrom below\n"


def test_the_summary_of_a_result() -> None:
    found = summary_of(
        {
            "verdict": {"text": "Use it.", "grade": "better", "recommended": "searched"},
            "best": {"formula": "focal", "validation": {"mean": 0.5}, "test": None},
            "metric": {"name": "f1"},
        }
    )
    assert found == {
        "text": "Use it.",
        "grade": "better",
        "recommended": "searched",
        "unmet": None,
        "formula": "focal",
        "metric": "f1",
        "validation": 0.5,
        "test": None,
    }
