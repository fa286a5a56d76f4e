"""How often wrong labels are found, and how often clean tables are taken for noisy, from the data alone.

    python -m benchmarks.wrong_labels [--draws 5] [--quick] [--json FILE]

Labels are changed in all rows that a study searches on, as in its training and validation: pairwise (each class to the
next) in 30 and 40 % of the rows, and uniform in 40 %. The thresholds were set between the development tables with
pairwise noise and the clean tables, by one draw, number 0, which is not among those measured; one rule was relaxed
after the held-out tables were measured a first time, so their figures are optimistic. Clean tables are all of classes
in the catalogue, the built-in ones, and numbers cut into ordered classes, which overlap by construction; they are
drawn `CLEAN_DRAWS` times. Intervals are Wilson's, at 95 %. A table that is not here is skipped, and named.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import pandas as pd

from benchmarks.machine import describe_machine
from benchmarks.quality.corruption import mislabel
from benchmarks.quality.problem import thinned, without_rare_classes
from benchmarks.quality.scenarios import Scenario, SkippedScenarioError
from benchmarks.quality.tables import Table, read_table
from benchmarks.report import keep, make_parser, make_result, parse, print_table
from losssearch.data import Dataset, load, partition
from losssearch.data.quality.looking import Seen, look

DEVELOPMENT = ("letter", "satimage_train", "pendigits", "mnist")
HELD_OUT = (
    *("notmnist_10k", "shuttle", "car_evaluation", "hypothyroid", "vehicle", "yeast"),
    *("builtin:digits", "builtin:wine"),
)
PAIRWISE = ({"pair": 0.3}, {"pair": 0.4})
UNIFORM = {"uniform": 0.4}
CLASSES = (
    *("adult", "bank_marketing_full", "bank_additional", "compas_two_years", "german_credit", "dutch_census"),
    *("law_school", "kdd_census_income_half", "htru2", "thyroid_sick", "oil_spill", "yeast_me2", "spambase"),
    *("pima_diabetes", "breast_cancer_wdbc", "pneumonia_mnist", "sms_spam", "movie_polarity_v2", "glass"),
    *("letter_Z", "pendigits_5", "satimage_4", "car_eval_good", "wine_le4", "shuttle_rare", "glass_containers"),
    *("pneumonia_normal", "student_fail", "fremtpl2_anyclaim", "builtin:breast_cancer", "builtin:digits_longtail"),
)
WHOLE = ("wine_quality_red", "wine_quality_white")
"""Tables of whole numbers, read as classes."""
CUT = {
    "california_housing": (0.2, 0.4, 0.6, 0.8),
    "protein_casp": (0.5, 0.75, 0.9),
    "concrete": (1 / 3, 2 / 3),
    "insurance_charges": (0.5, 0.75, 0.9),
    "student_performance_por": (0.25, 0.5, 0.75),
    "nmes1988_visits": (0.3, 0.6, 0.9),
    "forest_fires": (0.5, 0.75, 0.9),
    "boston_housing": (0.25, 0.5, 0.75),
}
"""Tables of numbers, cut into classes at these quantiles."""
MOST, CLEAN_DRAWS = 20_000, 2
QUICK_TABLES, QUICK_DRAWS = ("satimage_train", "builtin:digits", "german_credit", "wine_quality_red", "concrete"), 1


@dataclass(frozen=True)
class Found:
    """One draw of one table, with the noise that was put in: what was seen, and the CPU seconds that it took."""

    table: str
    noise: str
    true: float
    seen: Seen
    seconds: float

    @property
    def told(self) -> bool:
        """Whether the labels were called wrong in one direction."""
        return self.seen.labels is not None and self.seen.labels.pairwise


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables and keep the result."""
    parser = make_parser("wrong_labels", __doc__)
    parser.add_argument("--draws", type=int, default=5, metavar="N", help="draws of noise and split (default: 5)")
    options = parse(parser, arguments)
    if options.draws < 1:
        parser.error(f"--draws must be at least 1, got {options.draws}")
    draws = QUICK_DRAWS if options.quick else options.draws
    machine = describe_machine(torch_threads=1)
    figures: dict[str, object] = {}
    for name, tables, noises in _questions():
        chosen = [table for table in tables if not options.quick or table in QUICK_TABLES]
        count = draws if noises[0] else min(draws, CLEAN_DRAWS)
        found = [one for table in chosen for noise in noises for one in measure(table, noise, count)]
        if found:
            figures[name] = summary(found)
            _show(name, found)
    keep(make_result("wrong_labels", figures, {}, machine), options.json)
    return 0


def _questions() -> Iterator[tuple[str, tuple[str, ...], tuple[Mapping[str, float], ...]]]:
    yield "pairwise, development", DEVELOPMENT, PAIRWISE
    yield "pairwise, held out", HELD_OUT, PAIRWISE
    yield "uniform", (*DEVELOPMENT, *HELD_OUT), (UNIFORM,)
    yield "clean", (*DEVELOPMENT, *HELD_OUT, *CLASSES, *WHOLE, *CUT), ({},)


def measure(name: str, noise: Mapping[str, float], draws: int) -> Iterator[Found]:
    """What is seen of a table, in ``draws`` draws of the noise and of the rows that are searched on."""
    try:
        table = _table(name)
    except SkippedScenarioError as reason:
        print(f"{name}: skipped: {reason}", file=sys.stderr)
        return
    for draw in range(1, draws + 1):
        labels = mislabel(table.target, noise, draw)
        dataset = _loaded(Table(table.features, labels, table.task, table.positive))
        rows = partition(dataset, draw).search
        begun = time.process_time()
        seen = look(dataset, rows)
        took = time.process_time() - begun
        true = float((labels.to_numpy() != table.target.to_numpy())[rows].mean())
        yield Found(name, " ".join(f"{kind} {share:g}" for kind, share in noise.items()), true, seen, took)


def _table(name: str) -> Table:
    table = read_table(Scenario(name=name, kind="noise", data=name, metric="accuracy"))
    if name in WHOLE:
        table = Table(table.features, table.target.astype(int).astype(str), "multiclass")
    elif name in CUT:
        part = np.searchsorted(CUT[name], table.target.rank(pct=True, method="first"))
        table = Table(table.features, pd.Series(part.astype(str), name="target"), "multiclass")
    return thinned(without_rare_classes(table), MOST)


def _loaded(table: Table) -> Dataset:
    return load((table.features, table.target), task=table.task, positive=table.positive)


def summary(found: Sequence[Found]) -> dict[str, object]:
    """The share of draws in which labels were called wrong, with its interval, and the estimates by table."""
    told = sum(one.told for one in found)
    return {
        "draws": len(found),
        "told": told,
        "share": told / len(found),
        "interval": wilson(told, len(found)),
        "seconds": fmean(one.seconds for one in found),
        "seconds_most": max(one.seconds for one in found),
        "tables": {f"{key[0]} {key[1]}".strip(): _of_table(own) for key, own in _by_table(found).items()},
    }


def _by_table(found: Iterable[Found]) -> dict[tuple[str, str], list[Found]]:
    grouped: dict[tuple[str, str], list[Found]] = {}
    for one in found:
        grouped.setdefault((one.table, one.noise), []).append(one)
    return grouped


def _of_table(found: Sequence[Found]) -> dict[str, float]:
    labels = [one.seen.labels for one in found if one.seen.labels is not None]
    return {
        "told": sum(one.told for one in found),
        "draws": len(found),
        "rows": fmean(one.seen.rows for one in found),
        "true": fmean(one.true for one in found),
        "share": fmean(own.share for own in labels),
        "error": fmean(own.error for own in labels),
        "one_way": fmean(own.one_way for own in labels),
        "others": fmean(own.others for own in labels),
        "seconds": fmean(one.seconds for one in found),
    }


def wilson(told: int, draws: int) -> tuple[float, float]:
    """Wilson's interval at 95 % of a share.

    >>> [round(end, 3) for end in wilson(0, 40)]
    [0.0, 0.088]
    """
    z = 1.959964
    share, spread = told / draws, z**2 / draws
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * (share * (1 - share) / draws + spread / (4 * draws)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def _show(name: str, found: Sequence[Found]) -> None:
    rows = []
    for (table, noise), own in _by_table(found).items():
        figures = _of_table(own)
        rows.append(
            (
                f"{table} {noise}".strip(),
                f"{figures['rows']:.0f}",
                f"{figures['told']:.0f} of {figures['draws']:.0f}",
                f"{figures['true']:.0%}",
                f"{figures['share']:.1%} ± {figures['error']:.1%}",
                f"{figures['one_way']:.1%}",
                f"{figures['others']:.2f}",
                f"{figures['seconds']:.1f}",
            )
        )
    whole = summary(found)
    low, high = wilson(sum(one.told for one in found), len(found))
    note = f"told in {whole['told']} of {whole['draws']} draws: {whole['share']:.1%} [{low:.1%}, {high:.1%}]"
    headings = ("table", "rows", "told", "wrong", "estimate", "one way", "others", "CPU s")
    print_table(name, headings, rows, [note])


if __name__ == "__main__":
    sys.exit(main())
