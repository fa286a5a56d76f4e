"""The cells of label and group, as a terminal shows them."""

from __future__ import annotations

from typing import Any

import pytest

from losssearch.cli.summary import _CELLS, print_groups


def result(count: int) -> dict[str, Any]:
    cells = [
        {"label": f"label{i}", "group": "bare", "rows": 1000 + i, "accuracy": 0.5 + i / 100, "counted": i < 9}
        for i in range(count)
    ]
    return {"task": "binary", "best": {"cells": cells, "constraints": [], "groups": {}}}


def test_the_worst_cells_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    print_groups(result(10))
    said = capsys.readouterr().out
    assert f"the worst {_CELLS}" in " ".join(said.split())
    assert "label0" in said
    assert "1,000" in said
    assert "0.5000" in said
    assert "label8" not in said


def test_a_cell_of_few_rows_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    found = result(3)
    found["best"]["cells"][2]["counted"] = False
    print_groups(found)
    assert "too few rows" in " ".join(capsys.readouterr().out.split())


def test_other_studies_show_none(capsys: pytest.CaptureFixture[str]) -> None:
    print_groups(result(0))
    assert "Cells" not in capsys.readouterr().out
