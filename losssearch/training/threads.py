"""How many threads PyTorch computes on, for the calling thread alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

import torch

_LOCK = threading.Lock()


def one_thread() -> AbstractContextManager[None]:
    """PyTorch on one thread: sums split over threads round differently, and small products only wait for them."""
    return torch_threads(1)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """PyTorch on ``count`` threads in the calling thread; as it was before, at the end.

    Other threads of the program are not affected, nor are those that start meanwhile.
    """
    before, owner = torch.get_num_threads(), threading.get_ident()
    if before == count:
        yield
        return
    _keeping_new_threads(lambda: torch.set_num_threads(count))
    try:
        yield
    finally:
        if threading.get_ident() == owner:  # a generator that was dropped may be closed by any thread
            _keeping_new_threads(lambda: torch.set_num_threads(before))


@contextmanager
def users_threads(count: int) -> Iterator[None]:
    """The same for a user's code, which may set the number itself; that is undone."""
    before, initial = torch.get_num_threads(), _in_a_new_thread(torch.get_num_threads)
    _keeping_new_threads(lambda: torch.set_num_threads(count))
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _in_a_new_thread(lambda: torch.set_num_threads(initial))


def _keeping_new_threads(change: Callable[[], None]) -> None:
    """Make a change that is meant for the calling thread; `torch.set_num_threads` also changes how new ones begin."""
    with _LOCK:
        initial = _in_a_new_thread(torch.get_num_threads)
        try:
            change()
        finally:
            _in_a_new_thread(lambda: torch.set_num_threads(initial))


def _in_a_new_thread(task: Callable[[], int | None]) -> int:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(task).result() or 0
