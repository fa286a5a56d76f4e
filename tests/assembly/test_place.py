"""Where a study may be kept, and what a resume needs to be where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import losssearch as ls
from losssearch.errors import OptionError

QUICK: dict[str, Any] = {"trials": 2, "epochs": 1, "confirm_seeds": 2, "workers": 0, "mlflow": False, "verbose": 0}


@pytest.mark.parametrize("address", ["http://u:Secret9Q@h/x", "s3://bucket/study", "HTTPS://h"])
def test_an_address_is_no_folder(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match="folder of this machine") as refused:
        ls.search("builtin:wine", target="target", out=address, **QUICK)
    assert "Secret9Q" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_data_that_moved_are_asked_for(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": range(200), "b": [row % 7 for row in range(200)], "y": [row % 2 for row in range(200)]})
    table.to_csv(tmp_path / "table.csv", index=False)
    first = ls.search(tmp_path / "table.csv", target="y", out=tmp_path / "study", **QUICK)
    (tmp_path / "table.csv").rename(tmp_path / "moved.csv")
    (tmp_path / "study" / "result.json").unlink()
    with pytest.raises(OptionError, match=r"table\.csv.*give DATA again"):
        ls.search(resume=True, out=tmp_path / "study", verbose=0)
    again = ls.search(tmp_path / "moved.csv", resume=True, out=tmp_path / "study", verbose=0)
    assert again.to_json()["verdict"] == first.to_json()["verdict"]
