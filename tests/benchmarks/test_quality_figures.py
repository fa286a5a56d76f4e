"""The quality benchmark's figures: ranks, tests, intervals, verdicts, and the lines that they come from."""

import json
import math

import numpy as np
import pytest

from benchmarks.quality import comparison, diagram, ranks, verdicts
from benchmarks.quality.families import AGAINST, MENU, OURS, PLAIN, PLAIN_TUNED, SEARCHED
from benchmarks.quality.report import figures, markdown, write_report
from benchmarks.quality.results import Results, read_results
from benchmarks.quality.unit import Settings, Unit, forget, read_lines, write_lines

FACTS = {"kind": "control", "task": "regression", "metric": "rmse", "direction": "minimize", "rows": {}}


def line(scenario, method, tests, *, repeat=0, less=0.0, error=0.1):
    difference = {"difference": less, "standard_error": error, "interval": [less - 2 * error, less + 2 * error]}
    return {
        "type": "result", "scenario": scenario, "repeat": repeat, "method": method, **FACTS, "test": tests,
        "validation": tests, "ours_less": {OURS: difference} if method != OURS else {},
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """Three scenarios: ours has errors of 1, plain of 2, and the menu errors of 0.5, 1 and 4."""
    (tmp_path / "units").mkdir()
    for name, menu in {"a": 0.5, "b": 1.0, "c": 4.0}.items():
        for repeat in range(2):
            lines = [
                line(name, OURS, [1.0, 1.0], repeat=repeat),
                line(name, PLAIN, [2.0, 2.0], repeat=repeat, less=1.0),
                line(name, MENU, [menu, menu], repeat=repeat, less=menu - 1.0),
            ]
            write_lines(tmp_path / "units" / f"{name}-{repeat}.jsonl", lines)
    return tmp_path


@pytest.fixture
def results(folder):
    return read_results(folder, ["c", "b", "a"])


def test_lines_are_read_in_the_order_of_the_list(results):
    assert results.scenarios == ["c", "b", "a"]
    assert results.repeats("a") == 2
    assert results.shown("a", MENU) == 0.5
    assert results.mean("a", MENU) == -0.5
    assert math.isnan(results.mean("a", "nobody"))


@pytest.mark.parametrize("method", [PLAIN, PLAIN_TUNED])
def test_a_scenario_counts_only_where_the_plain_loss_peaked_in_time(folder, method):
    peaks = {"a": ([46, 44, 20], [45, 46, 46]), "b": ([30, 44, 20], [45, 12, 3]), "c": ((), ())}
    for name, own in peaks.items():
        for repeat, best in enumerate(own):
            file = folder / "units" / f"{name}-{repeat}.jsonl"
            added = line(name, method, [2.0], repeat=repeat) | {"best_epochs": list(best), "most_epochs": 46}
            write_lines(file, [old for old in read_lines(file) if old["method"] != method] + [added])
    results = read_results(folder, ["a", "b", "c"])
    assert results.scenarios == ["b", "c"]
    assert results.rising == {"a": f"{method} had its best epoch in the last tenth in 5 of 6 trainings"}
    found = figures(results)
    assert (found["scenarios"], list(found["still_rising"])) == (2, ["a"])
    assert "Not counted, as trainings were too short: 1" in markdown(results, found, None)


def test_a_gain_is_in_percent_of_the_rivals_error(results):
    assert results.gain("a", OURS, PLAIN) == pytest.approx(50.0)
    assert results.gain("a", OURS, MENU) == pytest.approx(-100.0)
    assert math.isnan(results.gain("a", OURS, "nobody"))


def test_a_gain_of_a_score_is_in_points(results):
    results.facts["a"]["direction"] = "maximize"
    results.tests["a", OURS], results.tests["a", PLAIN] = {0: 0.75}, {0: 0.5}
    assert results.gain("a", OURS, PLAIN) == pytest.approx(25.0)


def test_mean_ranks_share_ties(results):
    # a: menu, ours, plain; b: ours and menu tie; c: ours, plain, menu
    found = comparison.mean_ranks(results, [PLAIN, MENU, OURS], results.scenarios)
    assert found == pytest.approx({OURS: (2 + 1.5 + 1) / 3, MENU: (1 + 1.5 + 3) / 3, PLAIN: (3 + 3 + 2) / 3})


def test_intervals_of_ranks_count_datasets_and_not_scenarios(results):
    sources = {"a": "one", "b": "one", "c": "other"}
    methods = [PLAIN, MENU, OURS]
    found = ranks.ranked(results, methods, results.scenarios, sources, OURS)
    assert {m: one["rank"] for m, one in found.items()} == pytest.approx(
        comparison.mean_ranks(results, methods, results.scenarios)
    )
    # two datasets: the one of a and b alone has ours 1.75 and menu 1.25, the other ours 1 and menu 3
    assert found[OURS]["interval"] == pytest.approx([1.0, 1.75])
    assert found[MENU]["interval"] == pytest.approx([1.25, 3.0])
    assert found[MENU]["ours_less"] == pytest.approx((1 + 0 - 2) / 3)
    assert found[MENU]["ours_less_interval"] == pytest.approx([-2.0, 0.5])
    assert ranks.told_apart(found[MENU]) is False
    assert ranks.told_apart(found[PLAIN]) is True
    one = ranks.ranked(results, methods, results.scenarios, dict.fromkeys("abc", "one"), OURS)
    assert one[OURS]["interval"] is None
    assert ranks.told_apart(one[MENU]) is None


def test_an_interval_of_ranks_holds_the_truth_as_often_as_it_says():
    """40 datasets of one to three scenarios each, whose scenarios are alike, two methods equally good."""
    draw = np.random.default_rng(3)
    held = []
    for _ in range(200):
        sizes = draw.integers(1, 4, 40)
        first = np.repeat(draw.integers(1, 3, 40), sizes).astype(float)
        table = np.column_stack([first, 3 - first])
        drawn = ranks.resampled(table, [str(n) for n in np.repeat(np.arange(40), sizes)])
        low, high = np.percentile(drawn[:, 0] - drawn[:, 1], (2.5, 97.5))
        held.append(low <= 0 <= high)
    assert 0.88 < np.mean(held) < 0.99


def test_wins_ties_and_losses_follow_the_interval(results):
    assert comparison.tally(results, OURS, MENU) == {"win": 1, "tie": 1, "loss": 1}
    assert comparison.tally(results, OURS, PLAIN) == {"win": 3, "tie": 0, "loss": 0}


def test_repeats_shrink_an_interval_by_less_than_if_they_shared_no_rows(results):
    one = comparison.contest(results, "c", OURS, PLAIN)
    # standard error 0.1 in each of two repeats, whose test parts share a quarter of the rows
    assert one.standard_error == pytest.approx(0.1 * math.sqrt(1 / 2 + 1 / 2 * 0.25))
    results.less["c", OURS, PLAIN][1] |= {"difference": -3.0}
    wide = comparison.contest(results, "c", OURS, PLAIN)
    assert wide.standard_error == pytest.approx(math.sqrt(8.0 * (1 / 2 + 1 / 2 * 0.25)))  # variance of 1 and -3 is 8
    assert wide.outcome == "tie"


def test_holm_matches_a_worked_example():
    # Holm 1979: multiply the sorted values by 4, 3, 2, 1 and never fall
    assert comparison.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06}
    )


def test_critical_difference_matches_demsar():
    # Demšar 2006, table 5: q = 2.343 for three methods, 2.728 for five
    assert comparison.critical_difference(3, 6) == pytest.approx(2.343 * math.sqrt(3 * 4 / 36), abs=1e-3)
    assert comparison.critical_difference(5, 20) == pytest.approx(2.728 * math.sqrt(5 * 6 / 120), abs=1e-3)


def test_regret_is_against_the_best_in_hindsight(results):
    assert comparison.regret(results, "a", OURS, [OURS, MENU, PLAIN]) == pytest.approx(50.0)
    assert comparison.regret(results, "c", OURS, [OURS, MENU, PLAIN]) == 0


def test_cliques_hold_what_does_not_differ():
    assert diagram.cliques({"a": 1.0, "b": 1.5, "c": 3.0, "d": 3.2}, 0.6) == [(1.0, 1.5), (3.0, 3.2)]
    assert diagram.cliques({"a": 1.0, "b": 2.0, "c": 3.0}, 5.0) == [(1.0, 3.0)]


def _study(results, repeat, recommended, stated, interval, outer, error=0.01):
    verdict = {"recommended": recommended, "difference": stated, "interval": interval}
    results.choices.setdefault(("a", OURS), {})[repeat] = {"study": {"verdict": verdict}}
    results.less.setdefault(("a", SEARCHED, AGAINST), {})[repeat] = {"difference": outer, "standard_error": error}


def test_verdicts_are_held_against_the_outer_test():
    results = Results()
    _study(results, 0, "searched", 0.3, [0.2, 0.4], 0.25)  # says better, and is
    _study(results, 1, "searched", 0.3, [0.2, 0.4], -0.10)  # says better, and is worse
    _study(results, 2, "baseline", 0.0, [-0.1, 0.1], 0.05)  # misses a gain
    found = verdicts.calibration(verdicts.statements(results))
    assert found["verdicts"] == 3
    assert found["inside"] == pytest.approx(2 / 3)
    assert found["claims"] == 2
    assert found["claims_above_zero"] == found["claims_not_refuted"] == 0.5
    assert found["recommended_harmful"] == 0.5
    assert found["not_recommended_missed"] == 1.0


def test_probabilities_are_held_against_the_outer_test_and_its_own_error():
    results = Results()
    for repeat, outer in enumerate((0.2, 0.1, 0.3, -0.1)):
        _study(results, repeat, "searched", 0.1, [-0.1, 0.3], outer, error=0.1)
        told = {"grade": "probably better", "probability_better": 0.84, "belief": {
            "difference": 0.1, "standard_error": 0.1}}  # fmt: skip
        results.choices["a", OURS][repeat]["study"]["verdict"] |= told
    stated = verdicts.statements(results)
    (first, everything) = verdicts.reliability(stated, {})
    assert (first["from"], first["to"], first["verdicts"]) == (0.8, 1.0, 4)
    assert first["said"] == pytest.approx(0.84)
    assert first["above_zero"] == 0.75
    # the normal distribution's table at 0.1 / sqrt(0.1² + 0.1²) = 0.7071
    assert first["expected"] == pytest.approx(0.7602, abs=1e-4)
    assert first["above_less_expected"] is None  # one dataset
    assert everything["verdicts"] == 4
    assert verdicts.grades(stated) == {
        "probably better": {"verdicts": 4, "above_zero": 0.75, "outer_in_errors": pytest.approx(1.25)}
    }
    assert verdicts.records(stated)[0]["probability"] == 0.84


def test_without_verdicts_nothing_is_claimed():
    assert verdicts.calibration([])["claims_above_zero"] is None


def test_a_report_is_written_of_what_there_is(folder, results):
    found = write_report(results, folder)
    text = (folder / "report.md").read_text()
    assert (folder / "critical-difference.png").stat().st_size > 5_000
    assert "| menu " in text
    assert found["scenarios"] == 3
    assert found["against"][PLAIN]["win"] == 3
    assert found["goals"]["least share of wins or ties against a rival (0.8)"] == pytest.approx(2 / 3)
    assert found["goals"]["losses to plain tuned (0)"] is None
    json.dumps(found)


def test_a_report_of_nothing_is_no_error():
    results = Results()
    assert "Scenarios: 0" in markdown(results, figures(results), None)


def test_a_unit_is_done_when_every_method_ended(folder):
    from benchmarks.quality.scenarios import Scenario

    unit = Unit(Scenario("a", "control", "adult", "rmse"), 0, Settings(1.0), folder)
    assert not unit.done()
    partly = Unit(unit.scenario, 0, unit.settings, folder, frozenset({OURS, PLAIN}))
    assert partly.done()
    forget([partly], [PLAIN_TUNED])
    assert partly.done()
    forget([partly], [OURS])
    assert not partly.done()
    assert [entry["method"] for entry in partly.lines()] == [PLAIN]  # the menu went with the default loss
