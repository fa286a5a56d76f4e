"""A small regression task, and judges that say what a test wants them to say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from losssearch.data import draws, load, make_replicas, partition
from losssearch.data.replicas import Replicas


class ScriptedJudge:
    """Gives the utilities of a script, whatever the members put out, and keeps what they put out.

    ``script(epoch, members)`` is called with the epoch, from 1, and the number of members; it gives
    utilities that broadcast to ``[replicas, members]``.
    """

    def __init__(self, script: Callable[[int, int], Tensor | float]) -> None:
        self.script = script
        self.outputs: list[Tensor] = []

    def __call__(self, outputs: Tensor, target: Tensor, tuned: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        assert tuned.shape == outputs.shape[1:2]
        self.outputs.append(outputs)
        utility = torch.as_tensor(self.script(len(self.outputs), outputs.shape[1]), dtype=torch.float32)
        return utility.expand(outputs.shape[:2]), lambda other: other + 100

    @property
    def epochs(self) -> int:
        return len(self.outputs)


@pytest.fixture(scope="session")
def replicas() -> Replicas:
    """Two draws of the diabetes data; the validation rows are held under "same" as well."""
    dataset = load("builtin:diabetes")
    parts = partition(dataset, seed=0)
    drawn = draws(dataset, parts.search, seed=0, count=2, purpose="test")
    made = make_replicas(dataset, drawn, held={"test": parts.test})
    made.held["same"] = made.validation  # type: ignore[index]
    return made


@pytest.fixture
def judge() -> type[ScriptedJudge]:
    return ScriptedJudge


@pytest.fixture
def by_epoch() -> Callable[[Sequence[float]], ScriptedJudge]:
    """A judge that gives all members the utility of the epoch."""
    return lambda values: ScriptedJudge(lambda epoch, members: values[epoch - 1])
