"""What PyTorch is set to in the caller's process: the same after a study as before, whatever else runs meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import losssearch as ls
from losssearch.models.randomness import own_draws, seed_draws
from losssearch.training import products
from losssearch.training.products import quick_products
from losssearch.training.threads import one_thread


def settings() -> dict[str, Any]:
    """Everything of PyTorch's that a study touches, and the random numbers that come next."""
    return {
        "precision": torch.backends.mkldnn.matmul.fp32_precision,
        "threads": torch.get_num_threads(),
        "threads of a new thread": in_a_new_thread(torch.get_num_threads),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
        "draws": torch.default_generator.get_state().tolist(),
        "draws of NumPy": np.random.get_state()[1].tolist(),  # type: ignore[union-attr]  # noqa: NPY002
        "dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
    }


def in_a_new_thread(task: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(task).result()


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("made", [quick_products, one_thread])
def test_of_two_that_overlap_the_first_may_end_first(
    made: Callable[[], AbstractContextManager[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In two threads, in the order begin, begin, end, end."""
    monkeypatch.setattr(products, "onednn_is_exact", lambda: True)
    before = settings()
    begun, over = threading.Event(), threading.Event()

    def second() -> None:
        with made():
            begun.set()
            over.wait(60)

    other = threading.Thread(target=second)
    with made():
        other.start()
        assert begun.wait(60)
    over.set()
    other.join()
    assert settings() == before


def test_one_thread_is_that_of_the_caller_alone() -> None:
    with one_thread():
        assert torch.get_num_threads() == 1
        assert in_a_new_thread(torch.get_num_threads) == 2
    assert torch.get_num_threads() == 2


def test_draws_of_two_threads_do_not_mix() -> None:
    before = settings()
    both = threading.Barrier(2, timeout=60)

    def drawn(seed: int) -> list[float]:
        both.wait()
        with own_draws() as devices:
            seed_draws(seed, devices)
            numbers = []
            for _ in range(200):
                numbers.append(float(torch.rand(())))
                threading.Event().wait(1e-4)  # the other thread's turn
            return numbers

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(drawn, (1, 2)))
    for seed, numbers in zip((1, 2), found, strict=True):
        generator = torch.Generator().manual_seed(seed)
        assert numbers == [float(torch.rand((), generator=generator)) for _ in range(200)]
    assert settings() == before


def noisy(loss: nn.Module, trial: ls.TrialHandle) -> float:
    """A training function that draws from PyTorch's own generator and NumPy's, and leaves threads time to meddle."""
    torch.set_num_threads(1)
    weight = torch.randn(3, requires_grad=True)
    for _ in range(3):
        rows = torch.randn(8, 3)
        (slope,) = torch.autograd.grad(loss(rows @ weight, (rows[:, 0] > 0).long()), weight)
        threading.Event().wait(1e-3)
        weight = (weight - 0.5 * slope * (1 + 0.1 * np.random.rand())).detach().requires_grad_()  # noqa: NPY002
    return float(weight.detach()[0] / weight.detach().norm())


def function_study(folder: Any, seed: int) -> str:
    result = ls.search(
        train=noisy, metric="cosine", task="binary", trials=4, epochs=1, confirm_seeds=2, rates=(0.1,), workers=0,
        mlflow=False, verbose=0, seed=seed, out=folder,
    )  # fmt: skip
    return str(result.leaderboard.to_json())


def test_studies_of_a_function_leave_all_as_it_was_and_do_not_meet(tmp_path: Any) -> None:
    """Two after each other and two at once: what each finds is what it finds alone."""
    before = settings()
    alone = [function_study(tmp_path / f"alone{seed}", seed) for seed in (0, 1)]
    assert settings() == before
    assert alone[0] != alone[1]
    with ThreadPoolExecutor(2) as pool:
        at_once = list(pool.map(lambda seed: function_study(tmp_path / f"together{seed}", seed), (0, 1)))
    assert at_once == alone
    assert settings() == before


def dropout(features: int, outputs: int) -> nn.Module:
    """A model that cannot be stacked, so that its draws are PyTorch's own."""
    return nn.Sequential(nn.Linear(features, 4), nn.ReLU(), nn.Dropout(0.3), nn.Linear(4, outputs))


def data_study(folder: Any, model: Any, seed: int) -> str:
    draws = np.random.default_rng(0)
    features = draws.normal(size=(120, 3)).astype("float32")
    labels = (features[:, 0] + 0.5 * draws.normal(size=120) > 0).astype(int)
    result = ls.search(
        (features, labels), model=model, metric="roc_auc", trials=4, epochs=2, draws=1, confirm_seeds=2, rates=(0.01,),
        workers=0, mlflow=False, verbose=0, seed=seed, out=folder,
    )  # fmt: skip
    return str(result.leaderboard.to_json())


@pytest.mark.nightly
@pytest.mark.parametrize("model", ["mlp", dropout])
def test_studies_of_data_leave_all_as_it_was_and_do_not_meet(model: Any, tmp_path: Any) -> None:
    before = settings()
    alone = [data_study(tmp_path / f"alone{seed}", model, seed) for seed in (0, 1)]
    assert settings() == before
    with ThreadPoolExecutor(2) as pool:
        at_once = list(pool.map(lambda seed: data_study(tmp_path / f"together{seed}", model, seed), (0, 1)))
    assert at_once == alone
    assert settings() == before
