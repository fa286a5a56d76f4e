"""Long trainings: what known losses gain where plain cross-entropy is trained to its peak.

    python -m benchmarks.quality.long --out DIR [--scenarios GLOB …] [--splits 5] [--first 0] [--draws 1] [--epochs 72]

Gains over a loss whose curve was cut short say nothing. Here nothing is dropped early, every loss is trained at every
learning rate for all epochs, its best epoch on validation counts, and a split counts only where the plain loss peaked
before the last tenth of the epochs. Validation has the same wrong labels as training, and the same correlations; the
outer test part is right. An arm is one known loss at its default and at a few settings: the best on validation is read
on test. In scenarios of wrong labels, what the space `noisy` tries first are arms too. `menu` is the best of all known
losses, `noisy` the best of these and of the space's. Intervals are Student's t over the outer splits.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch

from benchmarks.quality.scenarios import Scenario, SkippedScenarioError, choose, read_scenarios
from benchmarks.quality.unit import Line, read_lines, write_lines

LIST = Path(__file__).with_name("long.yaml")
TUNED = (
    *("generalised_cross_entropy", "symmetric_cross_entropy", "active_passive"),
    *("group_logit_adjustment", "reweighing", "group_dro"),
)
"""Arms that are tried at their default and at `SETTINGS` more settings."""
AS_THEY_ARE = ("cross_entropy_tuned", "label_smoothing", "focal")
"""Arms that are tried at their default alone."""
SETTINGS = 3
PLAIN, MENU, NOISY = "cross_entropy_tuned", "menu", "noisy"
LAST_TENTH = 0.9
HEADINGS = (
    "scenario",
    "arm",
    "splits",
    "test",
    "over plain",
    "95 % interval",
    "over menu",
    "95 % interval",
    "best epoch",
)


def main(given: Sequence[str] | None = None) -> int:
    """Measure what is missing and print the table; 1 where there is nothing to show."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.long", description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the files lie")
    parser.add_argument("--scenarios", nargs="+", default=[], metavar="GLOB", help="names or kinds; all if left out")
    parser.add_argument("--splits", type=int, default=5, metavar="N", help="outer splits (default: 5)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first split (default: 0)")
    parser.add_argument("--draws", type=int, default=1, metavar="N", help="draws of rows within a split (default: 1)")
    parser.add_argument("--epochs", type=int, default=72, metavar="N", help="epochs of each training (default: 72)")
    parser.add_argument("--report-only", action="store_true", help="train nothing")
    options = parser.parse_args(given)
    options.out.mkdir(parents=True, exist_ok=True)
    for repeat in range(options.first, options.first + (0 if options.report_only else options.splits)):
        for scenario in choose(read_scenarios(LIST), options.scenarios):
            file = options.out / f"{scenario.name}-{repeat}.jsonl"
            if file.is_file():
                continue
            begun = time.monotonic()
            try:
                write_lines(file, measure(scenario, repeat, options.epochs, options.draws))
            except SkippedScenarioError as reason:
                print(f"{scenario.name}: skipped: {reason}", file=sys.stderr)
                continue
            print(f"{scenario.name}, split {repeat}: {time.monotonic() - begun:.0f} s", flush=True)
    found = [lines for file in sorted(options.out.glob("*.jsonl")) if (lines := read_lines(file))]
    if not found:
        print(f"{options.out} holds no results", file=sys.stderr)
        return 1
    from benchmarks.report import print_table

    print_table("Test metric of arms trained to the peak", HEADINGS, rows(found))
    return 0


def measure(scenario: Scenario, repeat: int, epochs: int, draws: int = 1) -> list[Line]:
    """Every loss with its utility on validation and on the outer test part, and its best epoch."""
    from benchmarks.quality import fitting
    from benchmarks.quality.problem import make_problem
    from losssearch.space import load_space
    from losssearch.study.proposing.menu import menu_entries
    from losssearch.training import default_plan
    from losssearch.training.plan import TrainingPlan

    torch.set_num_threads(1)
    problem = make_problem(scenario, repeat)
    replicas = problem.replicas("long", draws, hold=True)
    defaults = len(problem.task.menu)
    tunable = sum(bool(baseline.tunable) for baseline in problem.task.menu)
    entries = menu_entries(problem.task, 2 * (defaults + SETTINGS * tunable), seed=0)
    chosen = [entry for entry in entries if entry.name in TUNED or (entry.default and entry.name in AS_THEY_ARE)]
    tried = [(entry.name, entry.default, entry.spec) for entry in chosen]
    if scenario.noise:
        space = load_space(NOISY, problem.task.kind)
        tried += [(f"{NOISY}: {spec.parts[0].name}", False, spec) for spec in space.portfolio]
    specs = fitting.scaled(problem, replicas, [spec for *_, spec in tried])
    batch_size = default_plan(replicas.rows).batch_size
    plan = TrainingPlan(epochs=epochs, batch_size=batch_size, patience=epochs)
    outcomes = fitting.train(problem, replicas, specs, plan, hold=True, protected=True)
    lines: list[Line] = [{"type": "scenario", "scenario": scenario.name, "repeat": repeat, "epochs": epochs}]
    for (name, default, _), spec, outcome in zip(tried, specs, outcomes, strict=True):
        if outcome.state != "completed":
            continue
        outputs = torch.as_tensor(outcome.held["test"])
        target = torch.as_tensor(problem.test_target).expand(len(outputs), -1)
        lines.append(
            {
                "type": "loss",
                "arm": name,
                "default": default,
                "formula": spec.formula(),
                "rate": outcome.rate,
                "best_epoch": outcome.epochs,
                "validation": list(outcome.utilities),
                "test": problem.metric.utility(problem.metric(outputs, target)).tolist(),
            }
        )
    return lines


def rows(found: Iterable[Sequence[Line]]) -> list[list[str]]:
    """The table's lines: each arm of each scenario, over the splits in which the plain loss peaked."""
    by_scenario: dict[str, list[dict[str, Line]]] = {}
    for lines in found:
        by_scenario.setdefault(lines[0]["scenario"], []).append(arms(lines))
    table = []
    for scenario, splits in by_scenario.items():
        counted = [split for split in splits if peaked(split[PLAIN])]
        if not counted:
            table.append([scenario, PLAIN, f"0 of {len(splits)}", "still rising: train longer", *[""] * 5])
            continue
        names = sorted(counted[0], key=lambda name: -_mean_test(counted, name))
        table += [[scenario, arm, f"{len(counted)} of {len(splits)}", *_stated(counted, arm)] for arm in names]
    return table


def arms(lines: Sequence[Line]) -> dict[str, Line]:
    """The loss of each arm that is best on validation, and of all known ones together, with the ``epochs`` it had.

    Where the space `noisy` was tried, also the best of all.
    """
    best: dict[str, Line] = {}
    spaced = any(loss["arm"].startswith(NOISY) for loss in lines[1:])
    for loss in lines[1:]:
        known = not loss["arm"].startswith(NOISY)
        for arm in (loss["arm"], *[MENU] * known, *[NOISY] * spaced):
            if arm not in best or statistics.fmean(loss["validation"]) > statistics.fmean(best[arm]["validation"]):
                best[arm] = loss | {"epochs": lines[0]["epochs"]}
    return best


def peaked(loss: Mapping[str, float]) -> bool:
    """Whether the best epoch lies before the last tenth."""
    return loss["best_epoch"] <= LAST_TENTH * loss["epochs"]


def _mean_test(splits: Sequence[Mapping[str, Line]], arm: str) -> float:
    return statistics.fmean(statistics.fmean(split[arm]["test"]) for split in splits)


def _stated(splits: Sequence[Mapping[str, Line]], arm: str) -> list[str]:
    from losssearch.evaluation.statistics import mean_interval

    def values(name: str) -> torch.Tensor:
        return torch.tensor([statistics.fmean(split[name]["test"]) for split in splits])

    tests, epochs = values(arm), sorted(split[arm]["best_epoch"] for split in splits)
    stated = [f"{float(tests.mean()):.4f}"]
    for other in (PLAIN, MENU):
        if other == arm:
            stated += ["", ""]
            continue
        apart = tests - values(other)
        low, high = mean_interval(apart)
        interval = f"[{low:+.4f}, {high:+.4f}]" if math.isfinite(low) else "one split"
        stated += [f"{float(apart.mean()):+.4f}", interval]
    return [*stated, f"{epochs[0]} to {epochs[-1]}"]


if __name__ == "__main__":
    sys.exit(main())
