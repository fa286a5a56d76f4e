"""Three menus on scenarios with wrong labels: without bounded losses, today's, and one that has NCE+RCE too.

    python -m benchmarks.quality.noise_menu [--scenarios NAME …] [--repeats 2] [--budget 25] [--seeds 3] [--json FILE]

``without`` lacks `symmetric_cross_entropy` and `active_passive`, which the menu of classification has;
``with_rce`` adds `normalised_active_passive`, with both weights tuned. All known losses are tuned once, within
``--budget`` processor seconds per scenario and split; each menu takes its best by validation on fresh draws, with the
same wrong labels. Then all get the final training and the clean outer test rows are read. The ranks are those of the
menus and of the plain loss with a tuned decision, 1 is best and equal values share a rank.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from scipy import stats

from benchmarks.machine import describe_machine
from benchmarks.quality.families import DEFAULT, FAMILIES, Family
from benchmarks.quality.fitting import Fitted, fit_all
from benchmarks.quality.problem import make_problem
from benchmarks.quality.scenarios import Scenario, choose, read_scenarios
from benchmarks.quality.tuning import tune
from benchmarks.report import keep, make_parser, make_result, parse, print_table

BOUNDED = ("sce", "nce_mae")
EXTRA = {"nce_rce": Family("normalised_active_passive", ("alpha", "beta"))}
PLAIN, MENUS = "plain_tuned", ("without", "today", "with_rce")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the ranks and keep the result."""
    parser = make_parser("noise_menu", __doc__)
    parser.add_argument("--scenarios", nargs="+", default=["noise"], metavar="NAME", help="names or kinds")
    parser.add_argument("--repeats", type=int, default=2, metavar="N", help="outer splits (default: 2)")
    parser.add_argument("--budget", type=float, default=25.0, metavar="SECONDS", help="of tuning (default: 25)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="of the final training (default: 3)")
    options = parse(parser, arguments)
    scenarios, repeats, budget = choose(read_scenarios(), options.scenarios), options.repeats, options.budget
    if options.quick:
        scenarios, repeats, budget = choose(read_scenarios(), ["spam-uniform30"]), 1, 5.0
    found = []
    for scenario in scenarios:
        for repeat in range(repeats):
            found.append(measure(scenario, repeat, budget, options.seeds))
            print(time.strftime("%H:%M:%S"), found[-1], flush=True)
    figures = summary(found)
    rows = [(name, f"{figures['ranks'][name]:.2f}", f"{figures['over_plain'][name]:+.2f}") for name in (PLAIN, *MENUS)]
    print_table("Menus on wrong labels", ("menu", "mean rank", "points over plain tuned"), rows)
    keep(make_result("noise_menu", figures, {}, describe_machine(torch_threads=1)), options.json)
    return 0


def measure(scenario: Scenario, repeat: int, budget: float, seeds: int) -> dict[str, Any]:
    """The outer test value of each menu's choice at one split, and the loss that it chose."""
    problem = make_problem(scenario, repeat)
    kind = problem.task.kind
    families = {"default": DEFAULT[kind], **FAMILIES[kind], **EXTRA}
    tuned = tune(problem, families, budget, seed=repeat)
    offered = {
        "without": [name for name in tuned if name not in (*BOUNDED, *EXTRA)],
        "today": [name for name in tuned if name not in EXTRA],
        "with_rce": list(tuned),
    }
    chosen = {menu: max(names, key=lambda name: tuned[name].utility) for menu, names in offered.items()}
    losses = {PLAIN: DEFAULT[kind].spec(), **{menu: tuned[name].spec for menu, name in chosen.items()}}
    fitted = fit_all(problem, losses, seeds)
    sign = 1 if problem.metric.direction == "maximize" else -1
    values = {name: sign * fmean(one.values(problem)) for name, one in fitted.items() if isinstance(one, Fitted)}
    return {"scenario": scenario.name, "repeat": repeat, "chosen": chosen, "values": values}


def summary(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean ranks, the mean gain over the plain loss in points, and what was measured."""
    names = (PLAIN, *MENUS)
    ranks = [stats.rankdata([-round(one["values"][name], 9) for name in names]) for one in found]
    return {
        "ranks": {name: fmean(float(own[place]) for own in ranks) for place, name in enumerate(names)},
        "over_plain": {
            name: 100 * fmean(one["values"][name] - one["values"][PLAIN] for one in found) for name in names
        },
        "splits": list(found),
    }


if __name__ == "__main__":
    sys.exit(main())
