"""A population that memory does not hold at once: in slices, with the same result."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from losssearch.data.replicas import Replicas
from losssearch.judging.metric import MetricJudge
from losssearch.losses.population import PopulationLoss
from losssearch.losses.population_values import PopulationValues
from losssearch.losses.spec import LossSpec
from losssearch.models import build_model
from losssearch.models.allocation import is_out_of_memory
from losssearch.training import (
    Candidate,
    Outcome,
    TrainingPlan,
    capacity,
    members,
    population_training,
    train_population,
    trainer,
)
from losssearch.training.adam import StackedAdam
from losssearch.training.capacity import free_memory, members_at_once
from losssearch.training.outcome import HALVED
from losssearch.training.slices import slices

REFUSALS = {
    "CPU": lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
    "device": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    "numpy": lambda: MemoryError("Unable to allocate 1 TiB"),
}
PLAN = TrainingPlan(epochs=4, batch_size=16, rungs=(2,), patience=4)
WEIGHT = {"learned": "uncertainty"}


class NormNet(nn.Module):
    """Its running statistics change while it runs forwards, before memory runs out."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.BatchNorm1d(features), nn.Linear(features, 4), nn.ReLU(), nn.Linear(4, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def train(replicas: Replicas, model: Any, only: slice = slice(None)) -> list[Outcome]:
    specs = [[{"term": "squared"}], [{"term": "huber", "weight": WEIGHT}], [{"term": "general_robust"}]]
    candidates = [Candidate(LossSpec.from_json({"parts": spec}), (2e-3, 2e-2)) for spec in specs][only]
    built = build_model(model, replicas.width, 1)
    return train_population(built, candidates, replicas, PLAN, MetricJudge("mae", "regression", replicas), hold=True)


def check_same(found: list[Outcome], expected: list[Outcome]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.state, ours.rate, ours.epochs) == (theirs.state, theirs.rate, theirs.epochs)
        assert ours.learned.keys() == theirs.learned.keys()
        for name, kept in ours.learned.items():
            np.testing.assert_allclose(kept, theirs.learned[name], rtol=1e-5, atol=1e-6)
        for name in ("utilities", "rungs"):
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-5, atol=1e-6)
        for name in theirs.held:
            np.testing.assert_allclose(ours.held[name], theirs.held[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model", ["mlp", NormNet])
@pytest.mark.parametrize("refusal", REFUSALS)
def test_halves_until_it_fits_and_gives_the_same(
    replicas: Replicas, model: Any, refusal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rungs included; oracle: the population that was never divided."""
    whole, evaluate, asked = train(replicas, model), PopulationValues.losses, []

    def limited(self: PopulationValues, outputs: Tensor, *others: Any, **named: Any) -> Tensor:
        asked.append(outputs.shape[1])
        if outputs.shape[1] > 2:
            error = REFUSALS[refusal]()
            raise error
        return evaluate(self, outputs, *others, **named)

    monkeypatch.setattr(PopulationValues, "losses", limited)
    check_same(train(replicas, model), whole)
    assert asked[:5] == [6, 3, 2, 2, 2]
    assert max(asked[2:]) == 2


def test_what_does_not_fit_one_by_one_is_an_error(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: PopulationValues, *others: Any, **named: Any) -> Tensor:
        raise MemoryError

    monkeypatch.setattr(PopulationValues, "losses", refuse)
    with pytest.raises(MemoryError):
        train(replicas, "mlp")


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_state_that_does_not_fit_is_trained_in_halves(
    replicas: Replicas, refusal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the same halves asked for one by one. Room is for the members of one candidate, which are two."""
    asked, make = [], StackedAdam.__init__

    def limited(self: StackedAdam, parameters: Tensor, *others: Any, **named: Any) -> None:
        asked.append(parameters.shape[1])
        if parameters.shape[1] > 2:
            error = REFUSALS[refusal]()
            raise error
        make(self, parameters, *others, **named)

    alone = [train(replicas, "mlp", only=slice(at, at + 1))[0] for at in range(3)]
    monkeypatch.setattr(StackedAdam, "__init__", limited)
    found = train(replicas, "mlp")
    assert asked == [6, 4, 2, 2, 2]
    assert [outcome.reason for outcome in found] == [HALVED] * 3
    check_same(found, alone)


def test_a_state_of_one_candidate_that_does_not_fit_is_an_error(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: StackedAdam, *others: Any, **named: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(StackedAdam, "__init__", refuse)
    with pytest.raises(MemoryError):
        train(replicas, "mlp")


def test_parts_chosen_beforehand_give_the_same(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(replicas, "mlp")
    monkeypatch.setattr(population_training, "members_at_once", lambda *given, **more: 4)
    check_same(train(replicas, "mlp"), whole)


@pytest.mark.parametrize("refusal", REFUSALS)
def test_refusals_are_told_from_other_errors(refusal: str) -> None:
    assert is_out_of_memory(REFUSALS[refusal]())
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))


REFUSED = [
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"),
    RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
    RuntimeError("CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
    RuntimeError('NVML_SUCCESS == r INTERNAL ASSERT FAILED at "CUDACachingAllocator.cpp":838, please report a bug'),
    RuntimeError("HIP out of memory. Tried to allocate 2.00 GiB"),
    getattr(torch, "AcceleratorError", RuntimeError)("CUDA error: out of memory"),
]
OTHERS = [
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasSgemm(...)`"),
    RuntimeError("CUDA error: device-side assert triggered"),
    ValueError("CUDA error: out of memory"),
]


def test_every_library_of_a_device_may_say_it() -> None:
    assert [str(error) for error in REFUSED if not is_out_of_memory(error)] == []
    assert [str(error) for error in OTHERS if is_out_of_memory(error)] == []


@pytest.mark.parametrize("place", ["step", "state"])
def test_what_a_refused_step_held_is_gone_before_memory_is_given_back(
    replicas: Replicas, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where a frame on the way holds the error itself, so that no count of references falls to nothing."""
    held: list[weakref.ref[Tensor]] = []
    given_back: list[list[bool]] = []

    def refuse(*shape: int) -> None:
        large = torch.zeros(shape)
        held.append(weakref.ref(large))
        error = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED")
        raise error

    module, owner, name = (
        (members, PopulationValues, "losses") if place == "step" else (trainer, StackedAdam, "__init__")
    )
    work = getattr(owner, name)

    def limited(self: Any, given: Tensor, *others: Any, **named: Any) -> Any:
        if given.shape[1] > 2:
            refuse(*given.shape)
        return work(self, given, *others, **named)

    monkeypatch.setattr(owner, name, limited)
    monkeypatch.setattr(module, "give_back", lambda device: given_back.append([one() is None for one in held]))
    gc.disable()
    try:
        train(replicas, "mlp")
    finally:
        gc.enable()
    assert given_back
    assert all(all(gone) for gone in given_back), given_back


def test_the_whole_population_is_gone_while_its_halves_are_trained(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where memory runs out in the middle of a training, whose state is then large."""
    alive: list[weakref.ref[Any]] = []
    seen: list[int] = []
    training = population_training.PopulationTraining
    make, note = training.__init__, training._train_epoch

    def made(self: Any, *given: Any) -> None:
        alive.append(weakref.ref(self))
        make(self, *given)

    def epoch(self: Any, number: int) -> None:
        seen.append(sum(one() is not None for one in alive))
        note(self, number)
        if len(self.candidates) > 1:
            refused = torch.OutOfMemoryError("CUDA out of memory")
            raise refused

    monkeypatch.setattr(training, "__init__", made)
    monkeypatch.setattr(training, "_train_epoch", epoch)
    gc.disable()
    try:
        found = train(replicas, "mlp")
    finally:
        gc.enable()
    assert [outcome.reason for outcome in found] == [HALVED] * 3
    assert set(seen) == {1}


def test_a_users_module_that_runs_out_of_memory_is_not_blamed(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever says it: the population is halved, as for a built-in model."""
    whole, forward = train(replicas, NormNet), NormNet.forward
    left = [3]

    def short(self: NormNet, x: Tensor) -> Tensor:
        if len(x) == PLAN.batch_size and left[0]:
            left[0] -= 1
            error = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
            raise error
        return forward(self, x)

    monkeypatch.setattr(NormNet, "forward", short)
    check_same(train(replicas, NormNet), whole)
    assert left == [0]


class Card:
    total_memory = 80 << 30


def test_a_split_on_a_device_depends_on_nothing_but_the_device_and_the_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """How a population is split decides the last digits there; what is free changes with every study."""

    def momentary(*given: Any) -> tuple[int, int]:
        raise AssertionError("what is free at the moment was asked for")

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Card)
    for name in ("mem_get_info", "memory_reserved", "memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, momentary)
    place = torch.device("cuda")
    found = [capacity.step_memory(place, share) for share in (1.0, 0.25, 0.125, 0.05, 0.01)]
    gib = 1 << 30
    assert found == [capacity.MOST, capacity.MOST, capacity.MOST, 2 * gib, int(0.4 * gib)]
    assert members_at_once({"weight0": (8, 64)}, 10_000, 3, 256, place, 0.01) == int(0.4 * gib) // (16 * 3 * 256 * 64)


@pytest.mark.parametrize("workers", [1, 2, 4, 8, 64])
def test_steps_of_all_workers_fit_the_machine_together(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "free_memory", lambda: 1 << 36)
    assert workers * capacity.step_memory(torch.device("cpu"), 1 / workers) <= (1 << 36) // 2


def test_more_memory_takes_more_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two layers of 64 and 10 units, 32 rows, one replica: 4 bytes × 4 copies × 32 × 74 = 37,888 bytes a member."""
    shapes = {"weight0": (8, 64), "bias0": (64,), "weight1": (64, 10), "bias1": (10,)}
    found = []
    for free in (0, 4 * 37_888 * 3, 4 * 37_888 * 3 - 1, 1 << 40):
        monkeypatch.setattr(capacity, "free_memory", lambda free=free: free)
        found.append(members_at_once(shapes, 100, 1, 32, torch.device("cpu")))
    assert found == [1, 3, 2, 100]


def test_this_machine_has_memory() -> None:
    assert free_memory() > 1 << 20


def test_a_control_group_limits_it(tmp_path: Path) -> None:
    (tmp_path / "memory.current").write_text("300\n")
    (tmp_path / "memory.max").write_text("1000\n")
    assert capacity._group(tmp_path) == 700
    (tmp_path / "memory.max").write_text("max\n")
    assert capacity._group(tmp_path) is None
    assert capacity._group(tmp_path / "absent") is None


@pytest.mark.parametrize(("most", "sizes"), [(9, [7]), (7, [7]), (6, [4, 3]), (3, [3, 3, 1]), (1, [1] * 7)])
def test_parts_cover_all_members_in_order(most: int, sizes: list[int]) -> None:
    loss = PopulationLoss([LossSpec.from_json({"parts": [{"term": "squared"}]})] * 7)
    found = slices(build_model("linear", 3, 1), loss, most)
    assert [len(part.loss.specs) for part in found] == sizes
    assert [m for part in found for m in range(7)[part.members]] == list(range(7))
