"""When the models of a population start anew in mid-training, because a term of their loss asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from losssearch.losses.spec import LossSpec
from losssearch.training.anew import Anew


class Restarts:
    """The shares of the training at which each member's model starts anew, and what it starts from.

    ``weights`` ``[R, 1, P]`` and ``buffers`` ``[R, 1, ...]`` are those that all members of a replica start from; they
    are kept only where a loss asks for them.
    """

    def __init__(self, specs: Sequence[LossSpec], weights: Tensor, buffers: Mapping[str, Tensor]) -> None:
        self._to_come = [spec.restart_at for spec in specs]
        self._any, device = any(self._to_come), weights.device
        self.weights = weights.clone() if self._any else weights[..., :0]
        self.buffers = {name: value.clone() for name, value in buffers.items()} if self._any else {}
        self._waits = self._mask(device)
        self._earlier = torch.full((len(weights), len(specs)), -torch.inf, dtype=torch.float64, device=device)
        self._steps, self._begun = 0, dict[int, int]()
        self._anew: Anew | None = None

    def _mask(self, device: torch.device) -> Tensor:
        return torch.tensor([bool(own) for own in self._to_come], dtype=torch.bool).to(device)

    def stepped(self) -> Anew | None:
        """Count a step; who has started anew, with the steps since. None: nobody."""
        self._steps += 1
        if self._anew is not None:
            self._anew = Anew(self._anew.members, self._anew.steps + 1)
        return self._anew

    def _count(self) -> None:
        if self._begun:
            since = torch.tensor([self._steps - begun for begun in self._begun.values()], dtype=torch.float64)
            device = self._waits.device
            self._anew = Anew(torch.tensor(list(self._begun)).to(device), since.to(device))

    def due(self, progress: float) -> list[int]:
        """The members that start anew before the step at this ``progress``; each is named once for each of its shares.

        Several shares that have passed since the last step are one.
        """
        if not self._any:
            return []
        found = [member for member, own in enumerate(self._to_come) if own and own[0] <= progress]
        for member in found:
            self._to_come[member] = tuple(at for at in self._to_come[member] if at > progress)
            self._begun[member] = self._steps
        if found:
            self._waits = self._mask(self._waits.device)
            self._count()
        return found

    def waiting(self, running: Tensor) -> Tensor:
        """``running`` ``[R, K]``, and with them all members that are still to start anew: no patience ends these."""
        return running | self._waits if self._any else running

    def remember(self, members: Tensor, best: Tensor) -> None:
        """Keep the ``best`` utilities ``[R, K]`` of ``members`` that start anew."""
        self._earlier[:, members] = torch.maximum(self._earlier, best)[:, members]

    def with_earlier(self, best: Tensor) -> Tensor:
        """The best utilities ``[R, K]`` with those from before a member started anew, where these are better."""
        return torch.maximum(best, self._earlier) if self._any else best

    def keep(self, chosen: Sequence[int], members: Tensor) -> None:
        """Keep only the ``chosen`` members, which ``members`` ``[kept]`` names on the device."""
        self._to_come = [self._to_come[member] for member in chosen]
        self._begun = {place: self._begun[old] for place, old in enumerate(chosen) if old in self._begun}
        self._anew = None
        self._count()
        self._waits, self._earlier = self._waits[members], self._earlier[:, members]
