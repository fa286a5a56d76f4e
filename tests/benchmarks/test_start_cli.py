"""The benchmark of starts: how a first trained trial is seen, and what is timed."""

import sys

import pytest

from benchmarks import start
from losssearch.storage.records import StudyRecord, TrialRecord, TrialState
from losssearch.storage.sql import SqlStore


@pytest.mark.parametrize(
    ("state", "seen"),
    [
        (TrialState.RUNNING, False),
        (TrialState.REJECTED, False),
        (TrialState.COMPLETED, True),
        (TrialState.PRUNED, True),
    ],
)
def test_a_trial_counts_once_it_was_trained(tmp_path, state, seen):
    file = tmp_path / "study.db"
    assert not start._trained(file)
    store = SqlStore(f"sqlite:///{file}")
    store.create_study(StudyRecord("study", {}, "0", "2026-01-01T00:00:00+00:00"))
    assert not start._trained(file)
    store.save_trials("study", [TrialRecord(0, "baseline", "x", {}, "key", state)])
    assert start._trained(file) is seen
    store.close()


def test_a_store_that_is_being_made_is_not_ready(tmp_path):
    (tmp_path / "study.db").touch()
    assert not start._trained(tmp_path / "study.db")


def test_cpu_seconds_of_a_command_are_counted():
    burn = "import time\nwhile time.process_time() < 0.2: pass\n"
    seconds, cpu = start._time_command((sys.executable, "-c", burn))
    assert seconds >= 0.2
    assert cpu >= 0.2


def test_figures_are_medians_and_the_table_shows_them(capsys):
    found = start._figures([(1.0, 0.5), (9.0, 0.7), (2.0, 0.6)])
    assert (found["runs"], found["seconds"], found["cpu_seconds"]) == (3, 2.0, 0.6)
    figures = {"goals": start.GOALS, "starts": {"help": found}, "bare_python": found}
    start.show({"figures": figures, "ratios": {"to_goal": {"help": 2.0 / start.GOALS["help"]}}})
    assert "help" in capsys.readouterr().out
