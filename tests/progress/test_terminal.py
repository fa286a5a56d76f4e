"""The live line: what it shows of values."""

from __future__ import annotations

from losssearch.progress.terminal import TerminalProgress as Progress


def test_a_value_of_a_training_under_way_is_shown_as_one() -> None:
    with Progress() as progress:
        progress.underway(0.5)  # before the first stage there is no line
        progress.stage("search", 10)
        progress.underway(0.91234)
        (task,) = progress._bars.tasks
        assert task.fields["best"] == "best 0.9123, in training"
        progress.trials([], 0.9)
        assert task.fields["best"] == "best 0.9"
