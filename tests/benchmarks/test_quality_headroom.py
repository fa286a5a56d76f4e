"""Headroom: the table says what each way of choosing gains, and a clairvoyant's choice is read on other seeds."""

from dataclasses import replace

import pytest

from benchmarks.quality import fitting, headroom
from benchmarks.quality.scenarios import SkippedScenarioError, read_scenarios
from benchmarks.quality.unit import write_lines

SCENARIOS = {scenario.name: scenario for scenario in read_scenarios()}


def loss(name, test, validation, *, origin="menu", error=1.0):
    """A line as `headroom.measure` makes them."""
    line = {"type": "loss", "name": name, "origin": origin, "formula": name, "plain": name == "plain"}
    return line | {"test": test, "validation": validation, "standard_error": error}


PLAIN = loss("plain", [0.0] * 4, [0.0] * 4, error=None)
LUCKY = loss("lucky", [-1.0] * 4, [9.0, -4.0, -4.0, -4.0])
GOOD = loss("good", [1.0] * 4, [1.0] * 4)
BEST = loss("best", [2.0, 2.0, 3.0, 3.0], [0.5] * 4, origin="portfolio")


def test_more_draws_are_fooled_by_luck_less_often():
    found = headroom.gained([PLAIN, LUCKY, GOOD, BEST])
    assert found["menu, any of it"] == pytest.approx(0.0)
    assert found["menu, by 1 draw"] == pytest.approx((-1 + 3 * 1) / 4)
    assert found["menu, by 2 draws"] == pytest.approx((3 * -1 + 3 * 1) / 6)
    assert found["menu, by 4 draws"] == pytest.approx(1.0)
    assert found["menu, by a clairvoyant"] == pytest.approx(1.0)
    assert found["menu and portfolio, by 4 draws"] == pytest.approx(1.0)
    assert found["menu and portfolio, by a clairvoyant"] == pytest.approx(2.5)


def test_a_clairvoyant_gains_nothing_where_seeds_are_all_there_is():
    twins = [loss(f"{i}", [float(i == seed) for seed in range(4)], [0.0] * 4) for i in range(4)]
    assert headroom.gained([PLAIN, *twins])["menu, by a clairvoyant"] <= 0.0


def test_gains_are_clipped_and_counted_in_errors_of_the_test():
    far = loss("far", [50.0] * 4, [1.0] * 4, error=2.0)
    assert headroom.gained([PLAIN, far])["menu, by 4 draws"] == headroom.MOST
    near = loss("near", [3.0] * 4, [1.0] * 4, error=2.0)
    assert headroom.gained([PLAIN, near])["menu, by 4 draws"] == pytest.approx(1.5)


def test_the_table_is_made_of_what_lies_in_the_folder(tmp_path, capsys):
    assert headroom.main(["--out", str(tmp_path), "--report-only"]) == 1
    for name in "ab":
        head = {"type": "scenario", "scenario": name, "task": "binary", "repeat": 5}
        write_lines(tmp_path / f"{name}-5.jsonl", [head, PLAIN, GOOD])
    assert headroom.main(["--out", str(tmp_path), "--report-only"]) == 0
    assert "+1.00 ± 0.00" in capsys.readouterr().out


def test_menu_and_portfolio_are_trained_and_read(monkeypatch):
    plan = fitting.plan_for
    monkeypatch.setattr(fitting, "plan_for", lambda replicas: replace(plan(replicas), epochs=2, rungs=()))
    head, *losses = headroom.measure(replace(SCENARIOS["synthetic-asymmetric"], rows=200), 5)
    assert head["task"] == "regression"
    assert sum(one["plain"] for one in losses) == 1
    assert [one["origin"] for one in losses].count("menu") == headroom.SETTINGS
    assert {one["origin"] for one in losses} == {"menu", "portfolio"}
    assert len({one["formula"] for one in losses}) >= len(losses) - 1  # plain, with and without its decision tuned
    assert all(len(one["test"]) == len(one["validation"]) == headroom.SEEDS for one in losses)
    assert all(max(one["test"]) < 0 for one in losses)  # an error with its sign turned
    assert headroom.gained(losses)


def test_a_limit_between_groups_is_another_question():
    with pytest.raises(SkippedScenarioError, match="another question"):
        headroom.measure(SCENARIOS["adult-parity"], 5)
