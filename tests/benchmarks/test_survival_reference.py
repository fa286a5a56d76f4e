"""The reference for survival says what it needs."""

from __future__ import annotations

import pytest

from benchmarks import survival_reference


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(survival_reference, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        survival_reference.main(["patients.csv", "--target", "time,event"])
    assert ended.value.code == 2
    assert "scikit-survival must be installed, and is not here: pip install" in capsys.readouterr().err
