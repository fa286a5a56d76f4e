"""A lab for selection rules: everything that a study could know of its candidates, and what they are worth in truth.

    python -m benchmarks.quality.lab --out DIR [--scenarios GLOB …] [--repeat 2] [--trials 48] [--jobs 2]

For each scenario one study is run, at its defaults. Then its candidates are trained again on more draws than the study
itself affords, out of its search part (``narrow``) and out of search and confirmation part together (``wide``). At
last all of them, and what the rivals chose at equal cost, get the instrument's final training and are read on the
outer test part: their true utility. With that, rules of selection are compared without training anything. A file of
JSON lines for each scenario, utilities throughout (larger is better): a ``study``, its ``candidate`` lines, ``rival``
lines.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.quality.scenarios import Scenario
from benchmarks.quality.sweep import make_parser, sweep
from benchmarks.quality.unit import Line

TOP = 32
"""Candidates that are trained on the further draws, best by search value first; the menu's defaults always are."""
NARROW, WIDE = (("reevaluation-1", 5), ("reevaluation-2", 10)), (("wide", 10),)
"""Draws out of the search part, those of the study's own rounds, and out of search and confirmation part."""
SEEDS = 4


def main(given: Sequence[str] | None = None) -> int:
    """Run what is missing in the folder; 1 where a scenario failed."""
    parser = make_parser("lab", __doc__)
    parser.add_argument("--trials", type=int, default=48, metavar="N", help="trials of a study (default: 48)")
    options = parser.parse_args(given)
    return int(sweep(options, partial(measure, trials=options.trials)) > 0)


def measure(scenario: Scenario, repeat: int, trials: int) -> list[Line]:
    """Study, candidates and rivals of a scenario, as lines."""
    from benchmarks.quality import families, fitting, product
    from benchmarks.quality.choosing import Clock, choose_missing
    from benchmarks.quality.problem import make_problem
    from benchmarks.quality.unit import Settings
    from losssearch.losses.spec import LossSpec
    from losssearch.storage.sql import SqlStore

    problem = make_problem(scenario, repeat)
    clock = Clock()
    cost: dict[str, float] = {}

    def lap(stage: str) -> None:
        cost[stage] = clock.read()["cpu_seconds"] - sum(cost.values())

    with tempfile.TemporaryDirectory() as folder:
        result = product.run(problem, {"trials": trials}, repeat, Path(folder) / "study")
        store = SqlStore(f"sqlite:///{Path(folder) / 'study' / 'study.db'}", create=False)
        (study,) = store.studies()
        records = [r for r in store.trials(study) if r.twin is None and r.state in ("completed", "pruned")]
        rounds = {name: store.stage(study, f"{name}@{trials}") or {} for name, _ in NARROW}
        seed = store.study(study).config["seed"]
        store.close()
    lap("study")
    specs = {record.number: LossSpec.from_json(record.spec) for record in records}
    sign = 1 if problem.metric.direction == "maximize" else -1
    best = sorted(records, key=lambda r: (r.state == "pruned", -sign * (r.value or 0.0)))
    defaults = [r for r in records if r.origin == "baseline"][: len(problem.task.menu)]
    further = list({r.number: r for r in (*best[:TOP], *defaults)}.values())
    narrow, wide = _further(problem, further, seed, lap)
    kind = problem.task.kind
    methods = [families.PLAIN, families.PLAIN_TUNED, *families.FAMILIES[kind], families.MENU]
    choices: dict[str, Line] = {families.OURS: {"cpu_seconds": cost["study"]}}
    choose_missing(problem, methods, choices, Settings(0.0, SEEDS, trials), choices.update)
    lap("rivals")
    rivals = {name: LossSpec.from_json(choices[name]["spec"]) for name in methods}
    losses = {str(number): spec for number, spec in specs.items()} | rivals
    fitted = fitting.fit_all(problem, losses, SEEDS)
    lap("final")
    plain = found if isinstance(found := fitted[families.PLAIN_TUNED], fitting.Fitted) else None

    def truth(name: str) -> Line:
        own = fitted[name]
        if isinstance(own, str):
            return {"test": None, "reason": own}
        over = fitting.compare(problem, own, plain) if plain else {}
        return {
            "test": [sign * value for value in own.values(problem)],
            "final_validation": [sign * value for value in own.validation],
            "over_plain_tuned": {name: over.get(name) for name in ("difference", "standard_error")},
        }

    signatures = dict(zip(specs, directions(problem, list(specs.values())), strict=True))
    lines: list[Line] = [
        {
            "type": "candidate",
            "number": r.number,
            "key": r.key,
            "origin": r.origin,
            "name": r.name,
            "formula": specs[r.number].formula(),
            "spec": r.spec,
            "parts": r.spec["parts"],
            "state": str(r.state),
            "rate": r.rate,
            "params": r.params,
            "search": [sign * value for value in r.values],
            "study_rounds": [u for own in rounds.values() for u in own.get(str(r.number), [])],
            "narrow": narrow.get(r.number),
            "wide": wide.get(r.number),
            **truth(str(r.number)),
            "signature": signatures[r.number],
        }
        for r in records
    ]
    lines += [
        {
            "type": "rival",
            "name": name,
            "formula": spec.formula(),
            "spec": spec.to_json(),
            "validation": choices[name].get("utility"),
            "chose": choices[name].get("chose"),
            **truth(name),
        }
        for name, spec in rivals.items()
    ]
    lap("rest")

    def key(entry: Line | None) -> str | None:
        return LossSpec.from_json(entry["spec"]).key if entry else None

    head = {
        "type": "study",
        "scenario": scenario.name,
        "kind": scenario.kind,
        "repeat": repeat,
        "task": problem.task.kind,
        "metric": problem.metric.name,
        "direction": problem.metric.direction,
        "rows": {"train": len(problem.train), "test": len(problem.test)},
        "verdict": result["verdict"],
        "recommended": key(result["best"]),
        "searched": key(result["searched"]),
        "baselines": {entry["name"]: key(entry) for entry in result["baselines"]},
        "trials": result["trials"],
        "cpu_seconds": cost,
    }
    return [head, *lines]


def _further(problem: Any, records: Sequence[Any], seed: int, lap: Any) -> tuple[dict[int, Any], dict[int, Any]]:
    """Utilities on further draws by number of the trial, at the learning rate that its trial found best."""
    import numpy as np

    from benchmarks.quality import fitting
    from losssearch.data import draws, load, make_replicas, partition
    from losssearch.losses.spec import LossSpec
    from losssearch.training.plan import without_rungs

    given = problem.given
    sensitive = problem.scenario.sensitive or None
    dataset = load((given.features, given.target), task=given.task, positive=given.positive, sensitive=sensitive)
    parts = partition(dataset, seed)
    found: list[dict[int, Any]] = []
    for stage, purposes, rows in (
        ("narrow", NARROW, parts.search),
        ("wide", WIDE, np.sort(np.concatenate((parts.search, parts.confirmation)))),
    ):
        seen: dict[int, Any] = {record.number: [] for record in records}
        for purpose, count in purposes:
            drawn = draws(dataset, rows, seed=seed, count=count, purpose=purpose)
            replicas = make_replicas(dataset, drawn)
            plan = without_rungs(fitting.plan_for(replicas))
            specs, rates = [LossSpec.from_json(r.spec) for r in records], [(r.rate,) for r in records]
            outcomes = fitting.train(problem, replicas, specs, plan, rates=rates)
            for record, outcome in zip(records, outcomes, strict=True):
                seen[record.number] += outcome.utilities or [None] * count
        lap(stage)
        found.append(seen)
    return found[0], found[1]


def directions(problem: Any, specs: Sequence[Any]) -> list[list[float]]:
    """The directions of the losses' gradients on the screening's probes, as coordinates whose products are theirs.

    Each probe (outputs of the untrained model, and those with noise of one and three on them) at each progress is
    normalised on its own, all are put in a row, and rotated into the space that the losses span.
    """
    import torch

    from benchmarks.quality.fitting import MODEL
    from losssearch.models import build_model
    from losssearch.study.proposing.probe import SIGNED
    from losssearch.study.proposing.screening import Screen

    class Probes(Screen):
        def gradients(self) -> torch.Tensor:
            probes = torch.cat((self._initial[:, :, :SIGNED], self._noisy))
            return self._along_progress(specs, probes).double().transpose(0, 1).flatten(3)

    replicas = problem.replicas("tuning", 1)
    model = build_model(MODEL, replicas.width, problem.task.width(replicas.classes))
    gradients = Probes(model, replicas, None, problem.task.kind).gradients()
    flat = torch.nn.functional.normalize(gradients, dim=-1).nan_to_num().flatten(1)
    flat = flat / (gradients.shape[1] * gradients.shape[2]) ** 0.5
    left, size, _ = torch.linalg.svd(flat, full_matrices=False)
    return [[round(v, 6) for v in row] for row in (left * size).tolist()]


if __name__ == "__main__":
    sys.exit(main())
