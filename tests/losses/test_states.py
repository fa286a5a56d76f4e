"""What is added from outside: states of every mover, a weighting, a schedule, a reduction and a balance, one file each.

The oracle of the population is each loss alone; of the exported loss, the searched one.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from losssearch.data.batch import Sizes
from losssearch.errors import SpecError, UnknownNameError
from losssearch.export.bundle import load_loss, write_bundle
from losssearch.losses import balance, reduction, schedule, term, weighting
from losssearch.losses.balance import Balance
from losssearch.losses.compose import ComposedLoss, compose
from losssearch.losses.population import PopulationLoss
from losssearch.losses.reduction import Reduction
from losssearch.losses.spec import LossSpec
from losssearch.losses.weighting import Weighting
from losssearch.training.boosting.pieces import pieces_of

MODULES = Path(__file__).parents[1] / "extensions/modules"
REPLICAS, ROWS, BATCH = 2, 40, 14

SPECS: list[dict[str, Any]] = [
    {"parts": [{"term": "own_network"}]},
    {"parts": [{"term": "squared"}, {"term": "absolute", "weight": {"learned": "own_floor", "floor": 0.2}}]},
    {
        "parts": [
            {"term": "squared"},
            {"term": "absolute", "weight": {"schedule": "own_cosine", "start": 1.0, "end": 0.1}},
        ],
        "balance": {"own_running": 0.9},
    },
    {
        "parts": [
            {"term": "huber", "delta": {"schedule": "own_cosine", "start": 2.0, "end": 0.5}},
            {"term": "own_hardness"},
        ],
        "balance": {"own_running": 0.5},
    },
    {"parts": [{"term": "own_dual", "reduction": {"own_power": 3.0}}]},
    {"parts": [{"term": "huber", "delta": {"schedule": "linear", "start": 2.0, "end": 0.5}}]},
]


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """The modules of the extensions, known to this test alone."""
    registries: list[dict[str, Any]] = [
        vars(module)["_registry"] for module in (term, weighting, schedule, reduction, balance)
    ]
    before = [dict(known) for known in registries]
    names = ("own_network", "own_weighting", "own_balance", "own_rows", "own_climbing")
    for name in names:
        spec = importlib.util.spec_from_file_location(name, MODULES / f"{name}.py")
        assert spec
        assert spec.loader
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    yield
    for known, old in zip(registries, before, strict=True):
        known.clear()
        known.update(old)
    for name in names:
        del sys.modules[name]


@pytest.fixture
def population() -> PopulationLoss:
    return PopulationLoss([LossSpec.from_json(spec) for spec in SPECS], sizes=Sizes(0, rows=ROWS))


def drawn(source: torch.Generator, members: int) -> tuple[Tensor, dict[str, Tensor]]:
    outputs = torch.randn(REPLICAS, members, BATCH, generator=source)
    index = torch.stack([torch.randperm(ROWS, generator=source)[:BATCH] for _ in range(REPLICAS)])
    return outputs, {"target": torch.randn(REPLICAS, BATCH, generator=source), "index": index}


def alone(population: PopulationLoss, learned: Tensor, r: int, k: int) -> ComposedLoss:
    loss = compose(population.specs[k], rows=ROWS)
    loss.set_learned(population.learned(k, learned[r, k]))
    return loss


def test_the_population_is_each_loss_alone(population: PopulationLoss) -> None:
    """Gradients by outputs and by what is learned, over batches that move what is carried."""
    source, members = torch.Generator().manual_seed(0), len(SPECS)
    states, learned = population.start([3, 4]), population.start_learned([3, 4])
    assert not torch.equal(learned[0, 0], learned[1, 0])  # a random start is the replica's own
    losses = {(r, k): alone(population, learned, r, k) for r in range(REPLICAS) for k in range(members)}
    for step in range(4):
        outputs, batch = drawn(source, members)
        slopes, by_learned, after = population.slopes(outputs, batch, {}, learned, 0.2 * step, states=states)
        states = population.carried(states, after, batch)
        for (r, k), loss in losses.items():
            leaf = outputs[r, k].clone().requires_grad_()
            value = loss(leaf, batch["target"][r], index=batch["index"][r], progress=0.2 * step)
            own = [loss.learned[name] for name in population.learned(k, learned[r, k])]
            slope, *rest = torch.autograd.grad(value, [leaf, *own], materialize_grads=True)
            flat = torch.cat([torch.zeros(0), *(part.flatten() for part in rest)])
            torch.testing.assert_close(slopes[r, k], slope, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(by_learned[r, k, : len(flat)], flat, rtol=1e-5, atol=1e-6)
    kept = population.apart(states)
    for (r, k), loss in losses.items():
        for name, value in kept.items():
            if name[0] == k:
                place, own = name[1].split("_", 1)
                torch.testing.assert_close(value[r], loss.get_buffer(f"{own}_{place}"), rtol=1e-5, atol=1e-6)


def test_members_keep_their_own_states_where_others_leave(population: PopulationLoss) -> None:
    source = torch.Generator().manual_seed(1)
    outputs, batch = drawn(source, len(SPECS))
    learned = population.start_learned([0, 1])
    states = population.start([0, 1])
    _, _, after = population.slopes(outputs, batch, {}, learned, 0.5, states=states)
    states = population.carried(states, after, batch)
    chosen = [3, 2]
    apart = population.apart(states)
    kept = {(chosen.index(k), name): value for (k, name), value in apart.items() if k in chosen}
    fewer = population.like([population.specs[k] for k in chosen])
    after = fewer.apart(fewer.together(kept))
    assert after.keys() == kept.keys()
    assert all(torch.equal(after[key], kept[key]) for key in kept)
    assert {name for _, name in kept} == {"balance_size", "1_past"}


CHECKED = """
import runpy, sys
for file in sys.argv[1:]:
    try:
        runpy.run_path(file, run_name="__main__")
    except SystemExit as ended:
        assert not ended.code, (file, ended.code)
    print("checked", file)
"""
"""Has each exported file check itself, in one process: to start one takes longer than all of it."""


def test_the_exported_loss_is_the_searched_one(population: PopulationLoss, tmp_path: Path) -> None:
    learned = population.start_learned([7])
    files = []
    for place, spec in enumerate(population.specs):
        own = population.learned(place, learned[0, place])
        write_bundle(tmp_path / str(place), spec, task="regression", learned=own)
        files.append(str(tmp_path / str(place) / "loss.py"))
        read = load_loss(tmp_path / str(place))
        for name, value in own.items():
            torch.testing.assert_close(read.learned[name].detach(), value)
    program = [sys.executable, "-I", "-c", CHECKED, *files]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("checked ")] == [f"checked {f}" for f in files]


def test_a_variable_that_climbs_has_the_reverse_of_its_gradient() -> None:
    loss = compose({"parts": [{"term": "own_dual"}]})
    output, target = torch.tensor([2.0, -1.0]), torch.zeros(2)
    level = loss.learned["0_level"]
    (slope,) = torch.autograd.grad(loss(output, target), level)
    with torch.no_grad():
        before = loss(output, target)
        level += 1e-3
        risen = loss(output, target) - before
    torch.testing.assert_close(-slope, risen / 1e-3, rtol=1e-2, atol=1e-3)


def test_a_schedule_at_a_hyperparameter_is_the_value_at_that_time() -> None:
    output, target = torch.linspace(-3, 3, 9), torch.zeros(9)
    moving = compose(SPECS[5])
    for progress, delta in ((0.0, 2.0), (0.5, 1.25), (1.0, 0.5)):
        fixed = compose({"parts": [{"term": "huber", "delta": delta}]})
        torch.testing.assert_close(moving(output, target, progress=progress), fixed(output, target))


def test_what_trees_cannot_move_is_refused_in_one_line() -> None:
    for spec, rule in ((SPECS[0], "train a network"), (SPECS[2], "sum of its parts"), (SPECS[3], "sum of its parts")):
        with pytest.raises(SpecError, match=rule) as caught:
            pieces_of(LossSpec.from_json(spec), {}, Sizes(0, rows=ROWS))
        assert "\n" not in str(caught.value)


def test_an_unknown_kind_is_refused_everywhere() -> None:
    for make in (lambda: Weighting("nobody"), lambda: Reduction("nobody"), lambda: Balance("nobody")):
        with pytest.raises(UnknownNameError):
            make()
    for part in ({"weight": {"learned": "nobody"}}, {"weight": {"schedule": "nobody"}}, {"reduction": "nobody"}):
        with pytest.raises(SpecError):
            LossSpec.from_json({"parts": [{"term": "squared", **part}]})
    with pytest.raises(SpecError):
        LossSpec.from_json({"parts": [{"term": "squared"}], "balance": "nobody"})
    spec = LossSpec.from_json(SPECS[1])
    del vars(weighting)["_registry"]["own_floor"]  # what another process declared
    for use in (spec.formula, lambda: compose(spec), lambda: PopulationLoss([spec])):
        with pytest.raises((KeyError, UnknownNameError)):
            use()


def test_a_state_for_each_row_needs_the_numbers_of_rows() -> None:
    loss = {"parts": [{"term": "own_hardness"}]}
    with pytest.raises(SpecError, match="give their number, rows="):
        compose(loss)
    with pytest.raises(SpecError, match="give the numbers of the samples, index="):
        compose(loss, rows=4)(torch.zeros(2), torch.zeros(2))
    population = PopulationLoss([LossSpec.from_json(loss)], sizes=Sizes(0, rows=4))
    with pytest.raises(SpecError, match="rows need their numbers"):
        population(torch.zeros(1, 1, 2), {"target": torch.zeros(1, 2)}, {}, population.initial[None], 0.0)
