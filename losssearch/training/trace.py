"""What the training of a finalist went through: kept for pictures and for the file of labels, it changes no result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from losssearch.losses.kept import kept_states

if TYPE_CHECKING:
    from losssearch.data.batch import Batch
    from losssearch.data.replicas import Replicas
    from losssearch.training.members import Members

MOST_NUMBERS = 256
"""Numbers of a state that is kept epoch by epoch; larger ones, such as the weights of an adversary, are not."""

MOST_BYTES = 256 << 20
"""What tables of training rows may take of one finalist; larger ones stay with the worker."""

PROBED = 2_048
"""Training rows whose outputs are kept, where a loss keeps something for each of them."""

Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Trace:
    """The training of one finalist in ``R`` replicas.

    ``utilities`` ``[epochs, R]``: on validation, after each epoch. ``states``: what the loss kept, by name
    (``0_level``), ``[epochs + 1, R, ...]``, from before the first epoch on; what the validation loss moves as it was in
    the training that found it. ``rows``: what it kept for each training row at the end, ``[R, N, ...]``.
    ``balance`` ``[epochs, R, parts]``: how much the balance lets each part count, after each epoch; None for a sum.
    ``replica``: the one whose learned values are handed over; ``outputs``: those of its first training rows at the best
    epoch, ``[rows]`` or ``[rows, columns]``, with their ``target`` as the loss read it. None unless it keeps something
    by row.
    """

    utilities: npt.NDArray[np.float64]
    replica: int = 0
    balance: Array | None = None
    states: Mapping[str, Array] = field(default_factory=dict)
    rows: Mapping[str, Array] = field(default_factory=dict)
    outputs: Array | None = None
    target: npt.NDArray[Any] | None = None


class Recorder:
    """Notes, epoch by epoch, what the members of a population reach and what their losses keep.

    For populations that no rung makes smaller. ``moves``: whether the hypergradient moves something now.
    """

    def __init__(self, members: Members, *, moves: bool) -> None:
        self._members = members
        kept = {
            (member, own.key): own
            for member, spec in enumerate(members.loss.specs)
            for own in kept_states(spec, members.loss.sizes)
        }
        small = {key for key, own in kept.items() if torch.Size(own.shape).numel() <= MOST_NUMBERS}
        self._learned = small & {key for key, own in kept.items() if own.state.optimised}
        self._carried = small & {key for key, own in kept.items() if own.state.carried and not own.state.by_row}
        self._validated = {key for key in self._carried if kept[key].state.by_validation}
        if not moves:
            self._carried -= self._validated
        self.balanced = any(not spec.balance.is_sum for spec in members.loss.specs)
        """Whether a loss has a balance, so that the end of an epoch is told with its last batch."""
        self._balances: list[Tensor] = []
        self._utilities: list[Tensor] = []
        self._noted: list[dict[tuple[int, str], Tensor]] = []
        self._note()

    def epoch(self, utility: Tensor, last: tuple[Batch, Batch, float] | None) -> None:
        """Note the end of an epoch: utilities ``[R, K]``, and the states as they are now.

        ``last``: the epoch's last batch, the facts, and the progress; read where a loss has a balance.
        """
        self._utilities.append(utility)
        if self.balanced and last is not None:
            self._balances.append(self._members.part_weights(*last))
        self._note()

    def _note(self) -> None:
        found: dict[tuple[int, str], Tensor] = {}
        if self._carried:
            states = self._members.states
            found = {key: states[key].clone() for key in self._carried}
        if self._learned:
            _, learned = self._members.split(self._members.flat)
            learned = learned.detach().clone()
            for member in {member for member, _ in self._learned}:
                own = self._members.loss.learned
                rows = [own(member, row) for row in learned[:, member]]
                for key in rows[0]:
                    if (member, key) in self._learned:
                        found[member, key] = torch.stack([row[key] for row in rows])
        self._noted.append(found)

    def trace(self, member: int, replica: int) -> Trace:
        """What is known of a member, without its rows."""
        utilities = torch.stack(self._utilities)[:, :, member].double().cpu().numpy()
        states: dict[str, Array] = {}
        for of, name in sorted(self._learned | self._carried):
            if of == member:
                noted = torch.stack([found[of, name] for found in self._noted])
                if (of, name) in self._validated:  # with the two moments of the optimiser that moves it
                    noted = noted[:, :, 0]
                states[name] = noted.float().cpu().numpy()
        spec, balance = self._members.loss.specs[member], None
        if self._balances and not spec.balance.is_sum:
            balance = torch.stack(self._balances)[:, :, member, : len(spec.parts)].float().cpu().numpy()
        return Trace(utilities, replica, balance, states)


def with_moves(trace: Trace | None, found: Trace | None) -> Trace | None:
    """The trace with what an earlier training of the same candidate has moved by the validation loss."""
    if trace is None or found is None:
        return trace
    return replace(trace, states={**found.states, **trace.states})


def with_rows(
    traces: Mapping[int, Trace], chosen: Mapping[int, int], members: Members, replicas: Replicas
) -> dict[int, Trace]:
    """The traces with what losses keep for each training row, and the outputs of some of these rows.

    ``chosen``: the member of each trace.
    """
    if replicas.stream is not None:  # rows on disk are numbered by their places in the file
        return dict(traces)
    rows = {number: rows_kept(members, chosen[number]) for number in traces}
    if not any(rows.values()):
        return dict(traces)
    features, target = (replicas.train[name][:, :PROBED] for name in ("features", "target"))
    outputs = members.outputs(features, best=True)
    found = dict(traces)
    for number, own in rows.items():
        if own:
            place = traces[number].replica
            known = outputs[place, chosen[number]].cpu().numpy(), target[place].cpu().numpy()
            found[number] = replace(traces[number], rows=own, outputs=known[0], target=known[1])
    return found


def rows_kept(members: Members, member: int) -> dict[str, Array]:
    """What the loss of a member keeps for each training row, ``[R, N, ...]``; nothing where that is too large."""
    by_row = {own.key for own in kept_states(members.loss.specs[member], members.loss.sizes) if own.state.by_row}
    tables = {key: own for (of, key), own in members.states.items() if of == member and key in by_row}
    if sum(4 * own.numel() for own in tables.values()) > MOST_BYTES:
        return {}
    return {key: own.float().cpu().numpy() for key, own in tables.items()}
