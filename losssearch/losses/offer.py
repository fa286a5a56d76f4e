"""The named tensors that terms read, made of what a model puts out, a batch and its facts.

A term names what it reads; a `Provider` says how such a tensor is made. The standard ones are in
`losssearch.losses.inputs`; a kind of task may add names of its own (a rate, a second head).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from torch import Tensor

from losssearch.errors import SpecError
from losssearch.losses.term_rules import SAMPLE_WEIGHT

if TYPE_CHECKING:
    from losssearch.data.batch import Batch, Sizes

Make: TypeAlias = "Callable[..., Tensor]"
"""From the output ``[batch]`` or ``[batch, columns]`` of one member, its batch and the facts to a named tensor; or from
other named tensors."""

Once: TypeAlias = "Callable[[Batch, Sizes, int], Tensor]"
"""From a batch, the sizes, and the place of the row axis (1 in a stacked batch, 0 otherwise) to a field."""


@dataclass(frozen=True)
class Provider:
    """How one tensor that terms read is made.

    Args:
        make: ``make(output, batch, facts)`` of one member; it runs under ``torch.func.vmap``, and only where a term
            reads the tensor: no in-place writes, no number read out of a tensor.
        summary: What it gives, and in which shape.
        fields: The fields of a batch that it needs.
        facts: The facts that it needs.
        once: What depends on the batch alone and is best computed outside ``vmap``. It is computed once for all members
            from ``fields``, and ``make`` finds it in the batch under the provider's own name.
        ask: What a caller who gave none of ``fields`` or ``facts`` is asked for.
        per_sample: Whether it is the same for a sample alone; if not, private training refuses it.
        of: Other tensors of the same offer, which ``make`` then takes in place of output, batch and facts. They must be
            made of these themselves.
        columns: How many columns it has, where the kind of task fixes that; 0 where there is one per class.
    """

    make: Make
    summary: str
    fields: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    once: Once | None = None
    ask: str = ""
    per_sample: bool = True
    of: tuple[str, ...] = ()
    columns: int = 0


@dataclass(frozen=True)
class Offer:
    """What terms may read: a provider for each name."""

    providers: Mapping[str, Provider]

    def __or__(self, more: Mapping[str, Provider]) -> Offer:
        """This offer with further names; one of the same name takes the place of the old."""
        return replace(self, providers={**self.providers, **more})

    def only(self, names: Iterable[str]) -> Offer:
        """Those of the names that are in this offer."""
        kept = frozenset(names)
        return replace(self, providers={name: one for name, one in self.providers.items() if name in kept})

    def sized(self, sizes: Sizes) -> Sizes:
        """The sizes with the number of columns that are predicted, where this is no class each."""
        predicted = self.providers.get("predicted")
        return sizes if predicted is None else replace(sizes, columns=predicted.columns)

    def reading(self, reads: Iterable[str]) -> Reading:
        """What it takes to make the tensors ``reads``; raises `SpecError` for a name that nothing here provides."""
        wanted = frozenset(reads)
        if missing := sorted(wanted - set(self.providers)):
            raise SpecError(
                f"a term of this loss reads {', '.join(missing)}, which this kind of task does not offer; it offers: "
                f"{', '.join(self.providers)}"
            )
        wanted |= {name for read in wanted for name in self.providers[read].of}
        return Reading({name: one for name, one in self.providers.items() if name in wanted})

    def of_other_samples(self, reads: Iterable[str]) -> list[str]:
        """Those of ``reads`` that speak of other samples, too."""
        return sorted(name for name in reads if not self.providers[name].per_sample)


class Reading:
    """The providers of the tensors that some terms read.

    ``names`` are these tensors, with those that they are made of. ``fields`` and ``facts`` are what a batch and its
    facts must hold; ``derived`` what `shared` adds to the batch, and ``own_fields`` what each member needs of it then.
    """

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._providers = dict(providers)
        self._makers = tuple((name, one.make) for name, one in self._providers.items() if not one.of)
        self._derived = tuple((name, one.make, one.of) for name, one in self._providers.items() if one.of)
        self._once = tuple((name, one.once) for name, one in self._providers.items() if one.once)
        self.derived = tuple(name for name, _ in self._once)
        self.names = frozenset(self._providers)
        self.fields = _union(one.fields for one in self._providers.values())
        self.facts = _union(one.facts for one in self._providers.values())
        self.own_fields = _union((name,) if one.once else one.fields for name, one in self._providers.items())

    def require_read(self, given: Iterable[str]) -> None:
        """Raise `SpecError` for a name that is none of ``fields`` and ``facts``."""
        known = (*self.fields, *self.facts)
        if unread := sorted(set(given) - set(known)):
            raise SpecError(f"no term of this loss reads {', '.join(unread)}; its terms read: {', '.join(known)}")

    def shared(self, batch: Batch, sizes: Sizes, row_axis: int) -> Batch:
        """The batch with what is computed once for all members."""
        if not self._once:
            return batch
        try:
            return {**batch, **{name: once(batch, sizes, row_axis) for name, once in self._once}}
        except KeyError:
            self._require(batch, None)
            raise

    def named(self, output: Tensor, batch: Batch, facts: Batch) -> dict[str, Tensor]:
        """The tensors of one batch of one member by name, and the weights of its samples where it has some.

        ``output``: ``[batch]``, ``[batch, 1]`` or ``[batch, columns]``. Raises `SpecError` where a field or fact is
        missing, or where shapes do not fit: broadcasting would give a number that means nothing.
        """
        if output.dim() not in (1, 2):
            raise SpecError(f"an output must be [batch], [batch, 1] or [batch, columns], got {list(output.shape)}")
        try:
            found: dict[str, Tensor] = {name: make(output, batch, facts) for name, make in self._makers}
            for name, make, of in self._derived:
                found[name] = make(*(found[read] for read in of))
        except KeyError:
            self._require(batch, facts)
            raise
        if "weight" in batch:
            found[SAMPLE_WEIGHT] = batch["weight"].to(output.dtype)
        return found

    def _require(self, batch: Batch, facts: Batch | None) -> None:
        for name, one in self._providers.items():
            needed = one.fields if facts is None or not one.once else (name,)
            if not batch.keys() >= set(needed) or (facts is not None and not facts.keys() >= set(one.facts)):
                raise SpecError(f"a term of this loss reads {name}: give {one.ask or name}")


def _union(names: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for own in names for name in own))
