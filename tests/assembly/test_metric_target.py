"""A metric that cannot judge the target is refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from losssearch.assembly import assemble
from losssearch.errors import DataError
from losssearch.request import Request
from losssearch.study.observer import SilentObserver


def test_counts_below_zero_are_refused_by_a_deviance(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    data = chance.normal(size=(300, 2)), chance.normal(size=300)
    options = Request(data=data, task="regression", metric="poisson_deviance", out=tmp_path / "study")
    with pytest.raises(DataError, match="poisson_deviance needs targets of at least 0"):
        assemble(options, SilentObserver())
    assert not (tmp_path / "study").exists()
