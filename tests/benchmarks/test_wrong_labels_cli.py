"""The benchmark of wrong labels: its noise is where it says, and its intervals are SciPy's."""

import pytest
from scipy.stats import binomtest

from benchmarks.wrong_labels import PAIRWISE, measure, summary, wilson


@pytest.mark.parametrize(("told", "draws"), [(0, 40), (1, 90), (37, 40), (40, 40)])
def test_intervals_are_wilsons(told, draws):
    expected = binomtest(told, draws).proportion_ci(method="wilson")
    assert wilson(told, draws) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_a_draw_has_the_noise_that_it_names_and_is_told():
    (found,) = measure("builtin:digits", PAIRWISE[1], 1)
    assert found.true == pytest.approx(0.4, abs=0.05)
    assert found.told
    assert summary([found])["tables"]["builtin:digits pair 0.4"]["told"] == 1


def test_a_table_that_is_missing_is_skipped_and_named(capsys):
    assert list(measure("no_such_table", {}, 1)) == []
    assert "no_such_table: skipped" in capsys.readouterr().err
