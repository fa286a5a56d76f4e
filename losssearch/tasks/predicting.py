"""From what a model puts out to what metrics read, by the head that each member's loss reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from losssearch.losses.spec import LossSpec
from losssearch.tasks.heads import Head
from losssearch.tasks.task import Task


@dataclass(frozen=True)
class Predicting:
    """Reads the outputs of members whose losses read different heads of one kind of task.

    Args:
        task: A task whose heads share their columns.
        classes: How many classes the target has, 0 where it is numbers.
    """

    task: Task
    classes: int

    @classmethod
    def of(cls, task: Task, classes: int) -> Predicting | None:
        """What reads the outputs of a task's models; None where metrics read them as they are."""
        return cls(task, classes) if task.shared else None

    def head(self, spec: LossSpec) -> Head:
        """The head that made the prediction of a model trained with this loss; see `Task.head`."""
        return self.task.head(spec.reads, self.classes)

    def __call__(self, outputs: Tensor, heads: Sequence[Head], facts: Mapping[str, Tensor]) -> Tensor:
        """Outputs ``[R, K, N]`` or ``[R, K, N, columns]`` of K members as their ``heads`` say that metrics read them.

        ``facts``: ``[R, ...]``. Members with one head, or a single head for all members, are read together.
        """
        wide = outputs.unsqueeze(-1) if outputs.dim() == len("RKN") else outputs
        known = {name: value[:, None, None] for name, value in facts.items()}
        names = [head.name for head in heads]
        found: Tensor | None = None
        for head in dict(zip(names, heads, strict=True)).values():
            assert head.predict is not None  # noqa: S101  (heads that share columns say how they predict)
            own = torch.tensor([place for place, name in enumerate(names) if name == head.name], device=outputs.device)
            whole = len(own) == len(names)
            chosen = wide if whole else wide.index_select(1, own)
            read = head.predict(chosen[..., : head.width], known)
            if whole:
                return read
            if found is None:
                found = read.new_zeros(read.shape[0], len(names), *read.shape[2:])
            found = found.index_copy(1, own, read.to(found.dtype))
        assert found is not None  # noqa: S101  (there are members)
        return found
